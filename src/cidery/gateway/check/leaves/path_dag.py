"""Documents: DAG-JSON, DAG-CBOR, and the plain codecs.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#accept-request-header, IPIP-0523, IPIP-0524
"""

import json

from cidery.gateway.check.bodies import Bytes, Json, Nothing, SameAsFirst, Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Absent, Has, Is, Present
from cidery.gateway.check.leaves.path_unixfs import FOREIGN, FOREIGN_FILE
from cidery.gateway.check.leaves.usual import (
    BY_NAME,
    GENERATED,
    IMMUTABLE,
    NOWHERE,
    RAW_TYPE,
    by_accept,
    get,
    own,
    ranges,
    same_head,
    strict_ranges,
    tagged,
)
from cidery.gateway.check.model import Ask, BodyRule, Check, Site, ask, expect
from cidery.gateway.check.names import DAG_CBOR, DAG_JSON
from cidery.multiformats.cid import CID

LEAF = "path-dag-gateway"
BOTH = (LEAF, "path-ipns-gateway")
FOLDER = "path_gateway_dag/"
FORMATS = (("json", "inline"), ("cbor", "attachment"))
"""Each codec, and how browsers are told to show it."""
HTML = by_accept("text/html")


def checks(site: Site) -> list[Check]:
    found = [*_files(), *_mismatches()]
    for form, shown in FORMATS:
        found += _plain(form, shown)
    found += _paths()
    for form, shown in FORMATS:
        found += _native(form, shown)
    found.append(
        get(
            LEAF,
            "DAG-CBOR as a page, whatever its headers",
            ask(f"/ipfs/{_document('cbor')[0]}/", HTML),
            expect(body=Text(("</html>",))),
        )
    )
    for form, name in (("json", DAG_JSON), ("cbor", DAG_CBOR)):
        found += _named(form, name)
    return found + _ours()


def _document(form: str) -> tuple[CID, bytes, BodyRule]:
    """The root of the fixture for traversal, its bytes, and what an answer has to hold."""
    tree = dag(f"{FOLDER}dag-{form}-traversal.car")
    data = tree.block()
    return tree.root, data, Json(json.loads(data)) if form == "json" else Bytes(data)


def _files() -> list[Check]:
    """JSON in a UnixFS file."""
    tree = dag(FOLDER + "gateway-json-cbor.car")
    path = f"/ipfs/{tree.cid(*FOREIGN, 't.json')}"
    expected = expect(200, Is("Content-Type", "application/json"), body=Bytes(tree.block(*FOREIGN, "t.json")))
    return [
        get(LEAF, "a file of JSON is that", ask(path), expected),
        get(LEAF, "a file of JSON by Accept", ask(path, by_accept("application/json")), expected),
        get(
            LEAF, "?format=json beats Accept of a raw block", ask(f"{path}?format=json", by_accept(RAW_TYPE)), expected
        ),
    ]


def _mismatches() -> list[Check]:
    """Nothing is converted from one codec to another (IPIP-0524)."""
    file = dag(FOLDER + "gateway-json-cbor.car").cid(*FOREIGN, FOREIGN_FILE)
    in_json, in_cbor = _document("json")[0], _document("cbor")[0]
    return [
        get(LEAF, f"{what} is refused", asked, expect(406))
        for what, asked in (
            ("a file as DAG-JSON", ask(f"/ipfs/{file}?format=dag-json")),
            ("a file as DAG-CBOR", ask(f"/ipfs/{file}?format=dag-cbor")),
            ("a file as DAG-JSON, by Accept,", ask(f"/ipfs/{file}", _dag("json"))),
            ("DAG-JSON as DAG-CBOR", ask(f"/ipfs/{in_json}?format=dag-cbor")),
            ("DAG-CBOR as DAG-JSON", ask(f"/ipfs/{in_cbor}?format=dag-json")),
            ("DAG-CBOR as DAG-JSON, by Accept,", ask(f"/ipfs/{in_cbor}", _dag("json"))),
        )
    ]


def _dag(form: str) -> dict[str, str]:
    return by_accept(f"application/vnd.ipld.dag-{form}")


def _plain(form: str, shown: str) -> list[Check]:
    tree = dag(f"{FOLDER}plain-{form}.car")
    path, data, media_type = f"/ipfs/{tree.root}", tree.block(), f"application/{form}"
    disposed = Has("Content-Disposition", (f'{shown}; filename="{tree.root}.{form}"',))
    found: list[Check] = []
    for what, asked in (
        ("without a format", ask(path)),
        ("by ?format", ask(f"{path}?format={form}")),
        ("by Accept", ask(path, by_accept(media_type))),
    ):
        name = f"plain {form.upper()} {what}"
        found.append(get(LEAF, name, asked, expect(200, disposed, body=Bytes(data))))
        found += ranges(LEAF, name, asked, data, media_type, also=(disposed,))
    return found


def _paths() -> list[Check]:
    found: list[Check] = []
    for form in ("json", "cbor"):
        path, name = f"/ipfs/{_document(form)[0]}", f"DAG-{form.upper()}"
        end: BodyRule = Json({"hello": "this is not a link"})
        if form == "cbor":
            end = Bytes(b"\xa1\x65hello\x72this is not a link")
        found += [
            get(LEAF, f"a path that ends inside {name}", ask(f"{path}/foo?format=dag-{form}"), expect(501)),
            get(
                LEAF,
                f"a path through links of {name}",
                ask(f"{path}/foo/link/bar?format=dag-{form}"),
                expect(200, body=end),
            ),
            get(LEAF, f"a path that does not exist in {name}", ask(f"{path}/foo/i-do-not-exist"), expect(404)),
        ]
    return found


def _native(form: str, shown: str) -> list[Check]:
    cid, data, body = _document(form)
    path, codec, media_type = f"/ipfs/{cid}", f"DAG-{form.upper()}", f"application/vnd.ipld.dag-{form}"
    plain = Is("Content-Type", f"application/{form}")
    headers = (
        Is("Content-Type", media_type),
        Is("Content-Length", str(len(data))),
        Has("Content-Disposition", (f'{shown}; filename="{cid}.{form}"',)),
    )
    tag = Has("Etag", (f"{cid}.dag-{form}",))
    kept = (tag, Present("X-Ipfs-Path"), Present("X-Ipfs-Roots"), Has("Cache-Control", (IMMUTABLE,)))
    head = (Has("Content-Type", (media_type,)), Present("Content-Length"))
    by_format, by_type = ask(f"{path}?format=dag-{form}"), ask(path, _dag(form))
    named, saved = f"filename=foobar.{form}", f"download=true&filename=foobar.{form}"
    absent = ask(f"/ipfs/{NOWHERE}", {"Cache-Control": "only-if-cached"}, method="HEAD")
    page = (Has("Etag", ("DagIndex-",)), Has("Content-Type", ("text/html",)), Absent("Content-Disposition"), GENERATED)
    return [
        get(LEAF, f"{codec} without a format", ask(path), expect(200, body=body)),
        get(LEAF, f"{codec} by ?format", by_format, expect(200, body=body)),
        get(LEAF, f"{codec} by Accept", by_type, expect(200, body=body)),
        get(LEAF, f"{codec} as plain, by ?format", ask(f"{path}?format={form}"), expect(200, plain, body=body)),
        get(
            LEAF,
            f"{codec} as plain, by Accept",
            ask(path, by_accept(f"application/{form}")),
            expect(200, plain, body=body),
        ),
        get(LEAF, f"{codec} has its headers", by_type, expect(None, *headers)),
        get(
            LEAF,
            f"?filename names {codec}",
            ask(f"{path}?{named}", _dag(form)),
            expect(None, Has("Content-Disposition", (f'{shown}; filename="foobar.{form}"',))),
        ),
        get(
            LEAF,
            f"?download=true saves {codec}",
            ask(f"{path}?{saved}", _dag(form)),
            expect(None, Has("Content-Disposition", (f'attachment; filename="foobar.{form}"',))),
        ),
        get(LEAF, f"{codec} may be kept for ever", by_type, expect(None, *kept)),
        get(LEAF, f"HEAD of {codec} without a format", ask(path, method="HEAD"), expect(200, *head)),
        get(LEAF, f"HEAD of {codec} by ?format", by_format._replace(method="HEAD"), expect(200, tag, *head)),
        get(LEAF, f"HEAD with only-if-cached, of what is not stored ({form})", absent, expect(412)),
        get(LEAF, f"{codec} as a page", ask(f"{path}/", HTML), expect(200, *page, body=Text(("</html>",)))),
    ]


def _named(form: str, name: str) -> list[Check]:
    cid, path, codec = _document(form)[0], f"/ipns/{name}", f"DAG-{form.upper()}"
    query = f"?format=dag-{form}"
    headers = (
        Is("Content-Type", f"application/vnd.ipld.dag-{form}"),
        Is("Etag", f'"{cid}.dag-{form}"'),
        Present("X-Ipfs-Path"),
        Present("X-Ipfs-Roots"),
    )
    page = (Has("Etag", ("DagIndex-",)), Has("Content-Type", ("text/html",)), Absent("Content-Disposition"), BY_NAME)

    def same(what: str, suffix: str) -> Check:
        first: Ask = ask(f"/ipfs/{cid}{suffix}")
        return Check(BOTH, f"{codec} by a name, {what}", ask(path + suffix), expect(body=SameAsFirst()), first=first)

    return [
        same("without a format", ""),
        same("by ?format", query),
        Check(BOTH, f"{codec} by a name has its headers", ask(path, _dag(form)), expect(None, *headers)),
        Check(
            BOTH, f"{codec} by a name as a page", ask(f"{path}/", HTML), expect(None, *page, body=Text(("</html>",)))
        ),
    ]


def _ours() -> list[Check]:
    found: list[Check] = []
    for form, _ in FORMATS:
        cid, data, body = _document(form)
        path, codec, media_type = f"/ipfs/{cid}", f"DAG-{form.upper()}", f"application/vnd.ipld.dag-{form}"
        by_format = ask(f"{path}?format=dag-{form}")
        for what, asked, typed in (
            ("without a format", ask(path), media_type),
            ("by Accept", ask(path, _dag(form)), media_type),
            ("as plain, by Accept", ask(path, by_accept(f"application/{form}")), f"application/{form}"),
        ):
            found += strict_ranges(LEAF, f"{codec} {what}", asked, data, typed)
        found += [
            *tagged(LEAF, codec, by_format),
            same_head(LEAF, codec, by_format, Is("Content-Length", str(len(data)))),
            own(
                LEAF,
                f"{codec} does not let its type be guessed",
                by_format,
                expect(200, Is("X-Content-Type-Options", "nosniff")),
            ),
            own(LEAF, f"a page of {codec} needs its slash", ask(path, HTML), expect(301, Is("Location", f"{path}/"))),
            own(
                LEAF,
                f"the form of {codec} beats a page",
                ask(f"{path}?format=dag-{form}", HTML),
                expect(200, body=body),
            ),
            own(LEAF, f"a path that ends inside {codec}, without a format", ask(f"{path}/foo"), expect(501)),
            own(
                LEAF,
                f"a path that does not exist in {codec}, by ?format",
                ask(f"{path}/foo/i-do-not-exist?format=dag-{form}"),
                expect(404),
            ),
            own(
                LEAF,
                f"{codec} as a block",
                ask(f"{path}?format=raw"),
                expect(200, Is("Content-Type", RAW_TYPE), body=Bytes(data)),
            ),
            own(
                LEAF,
                f"Content-Location names the form of {codec} that Accept chose",
                ask(path, _dag(form)),
                expect(200, Is("Content-Location", f"{path}?format=dag-{form}")),
            ),
            own(
                LEAF,
                f"HEAD of a page of {codec}",
                ask(f"{path}/", HTML, method="HEAD"),
                expect(200, Has("Content-Type", ("text/html",)), body=Nothing()),
            ),
        ]
    return found
