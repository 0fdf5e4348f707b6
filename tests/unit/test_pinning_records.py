"""What pinning services are asked and answer."""

import json
from typing import Any

import pytest

from cidery.multiformats.cid import CID
from cidery.pinning.records import (
    MAX_CIDS,
    MAX_HINTS,
    OTHER_STATUS,
    BadAnswer,
    Query,
    decode_failure,
    decode_results,
    decode_status,
    encode_pin,
)

CID_TEXT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def status(**changes: Any) -> dict[str, Any]:
    """A PinStatus of the specification's examples."""
    return {
        "requestid": "UniqueIdOfPinRequest",
        "status": "queued",
        "created": "2020-07-27T17:32:28Z",
        "pin": {"cid": CID_TEXT, "name": "PreciousData.pdf"},
        "delegates": [f"/ip4/203.0.113.1/tcp/4001/p2p/{PEER}"],
        "info": {"status_details": "Queue position: 7 of 9"},
    } | changes


def decoded(value: Any) -> Any:
    return decode_status(json.dumps(value).encode())


def test_a_status_is_read_whole() -> None:
    pin = decoded(status())
    assert (pin.request_id, pin.status, str(pin.cid), pin.name) == (
        "UniqueIdOfPinRequest",
        "queued",
        CID_TEXT,
        "PreciousData.pdf",
    )
    assert [str(addr) for addr in pin.delegates] == [f"/ip4/203.0.113.1/tcp/4001/p2p/{PEER}"]
    assert pin.details == "Queue position: 7 of 9" and pin.created.text == "2020-07-27T17:32:28Z"


def test_what_is_optional_may_be_absent_or_null() -> None:
    bare = decoded(status(pin={"cid": CID_TEXT, "name": None}, delegates=None, info=None))
    assert (bare.name, bare.delegates, bare.details) == ("", (), "")
    assert decoded(status(status="archived")).status == OTHER_STATUS
    odd = decoded(status(delegates=["/nonsense/1", 7, "/dnsaddr/pin-service.example.com"]))
    assert [str(addr) for addr in odd.delegates] == ["/dnsaddr/pin-service.example.com"]


@pytest.mark.parametrize(
    "changes",
    [
        {"requestid": ""},
        {"requestid": ".."},
        {"requestid": "a b"},
        {"requestid": "x" * 1025},
        {"requestid": "\ud800"},
        {"requestid": 5},
        {"status": None},
        {"created": "yesterday"},
        {"created": "2020-13-27T17:32:28Z"},
        {"created": 1595871148},
        {"pin": None},
        {"pin": {"cid": "nonsense"}},
        {"pin": {"cid": CID_TEXT, "name": ["x"]}},
    ],
)
def test_what_breaks_the_specification_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        decoded(status(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"count":NaN,"results":[]}'])
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    for decode in (decode_status, decode_results):
        with pytest.raises(BadAnswer):
            decode(data)
    assert decode_failure(data) is None


@pytest.mark.parametrize(
    "value",
    [
        {"count": 0, "results": [status()]},
        {"count": 3, "results": []},
        {"count": True, "results": [status()]},
        {"count": 1 << 31, "results": [status()]},
        {"count": 1, "results": None},
        {"count": 2000, "results": [status()] * 1001},
    ],
)
def test_lists_that_contradict_themselves_are_refused(value: Any) -> None:
    with pytest.raises(BadAnswer):
        decode_results(json.dumps(value).encode())


def test_moments_are_compared_to_the_last_digit() -> None:
    texts = ["2020-07-27T17:32:28Z", "2020-07-27T17:32:28.000000001Z", "2020-07-27T17:32:28.1Z"]
    later = ["2020-07-27T19:32:29+02:00", "2020-07-27T17:32:30-00:00"]
    moments = [decoded(status(created=text)).created for text in [*texts, *later]]
    assert sorted(moments) == moments and len(set(moments)) == len(moments)


def test_a_query_asks_for_lists_with_commas_and_few_cids_at_a_time() -> None:
    cids = tuple(CID(1, codec, CID.parse(CID_TEXT).multihash) for codec in range(0x300000, 0x300000 + MAX_CIDS + 1))
    first, second = Query(name="n", cids=(*cids, cids[0]), statuses=("queued", "failed")).parts()
    assert len(first.cids) == MAX_CIDS and len(second.cids) == 1
    assert second.parameters(limit=5, before="2020-07-27T17:32:28Z") == [
        ("cid", str(cids[-1])),
        ("name", "n"),
        ("status", "queued,failed"),
        ("before", "2020-07-27T17:32:28Z"),
        ("limit", "5"),
    ]
    assert Query().parts() == [Query()] and Query().parameters(limit=1) == [("limit", "1")]


def test_a_pin_carries_its_name_and_not_too_many_origins() -> None:
    cid = CID.parse(CID_TEXT)
    assert json.loads(encode_pin(cid)) == {"cid": CID_TEXT}
    sent = json.loads(encode_pin(cid, "ü", [f"/ip4/192.0.2.1/tcp/{port}" for port in range(1, 40)]))
    assert sent["name"] == "ü" and len(sent["origins"]) == MAX_HINTS
