"""Records of names: ``/ipns/NAME?format=ipns-record``.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/#ipns-record-responses-application-vnd-ipfs-ipns-record
"""

from cidery.gateway.check.bodies import Record
from cidery.gateway.check.headers import Has, Is, Like, Present
from cidery.gateway.check.leaves.usual import INLINED_HELLO, RECORD_TYPE, by_accept, get, own, same_head, tagged
from cidery.gateway.check.model import Check, Site, ask, expect
from cidery.gateway.check.names import V1_AND_V2, V1_BROKEN, V1_MISMATCHED, V1_ONLY, V2_BROKEN, V2_ONLY, value_of

LEAF = "trustless-ipns-gateway"
HALF_AN_HOUR = "public, max-age=1800"


def checks(site: Site) -> list[Check]:
    headers = (
        Has("Content-Disposition", ("attachment;",)),
        Has("Content-Type", (RECORD_TYPE,)),
        Has("Cache-Control", (HALF_AN_HOUR,)),
    )
    found: list[Check] = []
    for by in ("?format", "Accept"):
        for name, what in ((V1_AND_V2, "with both signatures"), (V2_ONLY, "with the second signature only")):
            asked = (
                ask(f"/ipns/{name}?format=ipns-record")
                if by == "?format"
                else ask(f"/ipns/{name}", by_accept(RECORD_TYPE))
            )
            expected = expect(None, *headers, body=Record(name, value_of(name)))
            found.append(get(LEAF, f"a record {what}, by {by}", asked, expected))
    named = "filename=test%D1%82%D0%B5%D1%81%D1%82.ipns-record&format=ipns-record"
    wanted = "attachment; filename=\"test____.ipns-record\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.ipns-record"
    found.append(
        get(
            LEAF,
            "?filename names the attachment",
            ask(f"/ipns/{V1_AND_V2}?{named}"),
            expect(None, Has("Content-Disposition", (wanted,))),
        )
    )
    return found + _ours()


def _ours() -> list[Check]:
    asked = ask(f"/ipns/{V1_AND_V2}?format=ipns-record")
    failing = expect((500, 599))
    return [
        own(
            LEAF,
            "a record is answered with 200 and its type exactly",
            asked,
            expect(200, Is("Content-Type", RECORD_TYPE), Present("Etag")),
        ),
        own(
            LEAF,
            "a record has its default name",
            asked,
            expect(200, Like("Content-Disposition", r'filename="[^"]+\.ipns-record"')),
        ),
        own(
            LEAF,
            "a record with a broken first signature is valid",
            ask(f"/ipns/{V1_BROKEN}?format=ipns-record"),
            expect(200, body=Record(V1_BROKEN, value_of(V1_BROKEN))),
        ),
        own(LEAF, "a record with the first signature only fails", ask(f"/ipns/{V1_ONLY}?format=ipns-record"), failing),
        own(LEAF, "a record whose two values differ fails", ask(f"/ipns/{V1_MISMATCHED}?format=ipns-record"), failing),
        own(
            LEAF, "a record with a broken second signature fails", ask(f"/ipns/{V2_BROKEN}?format=ipns-record"), failing
        ),
        own(
            LEAF,
            "a record of something below a name is refused",
            ask(f"/ipns/{V1_AND_V2}/below?format=ipns-record"),
            expect(400),
        ),
        own(
            LEAF,
            "a record of something immutable is refused",
            ask(f"/ipfs/{INLINED_HELLO}?format=ipns-record"),
            expect(400),
        ),
        own(
            LEAF,
            "Content-Location names the form that Accept chose",
            ask(f"/ipns/{V1_AND_V2}", by_accept(RECORD_TYPE)),
            expect(200, Is("Content-Location", f"/ipns/{V1_AND_V2}?format=ipns-record")),
        ),
        same_head(LEAF, "a record", asked, Is("Content-Type", RECORD_TYPE), Has("Cache-Control", (HALF_AN_HOUR,))),
        *tagged(LEAF, "a record", asked),
    ]
