"""What a gateway under test sends is untrusted: every rule of `gateway check` takes any answer."""

import io
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cidery.gateway.check import bodies
from cidery.gateway.check.compare import differences
from cidery.gateway.check.dag import dag, fixture
from cidery.gateway.check.model import Answer, Site
from cidery.gateway.check.names import V1_AND_V2, records, value_of
from cidery.gateway.check.table import table

SMALL = "trustless_gateway_car/subdir-with-two-single-block-files.car"
TABLE = table(Site("http", "example.com:8080"))


def archive(kind: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as writer:
        member = tarfile.TarInfo("a/b")
        member.size, member.type = 3, kind
        writer.addfile(member, io.BytesIO(b"abc"))
    return file.getvalue()


GOOD = [
    fixture(SMALL),
    archive(tarfile.REGTYPE),
    archive(tarfile.GNUTYPE_SPARSE),
    archive(tarfile.XHDTYPE),
    fixture(next(record.path for record in records() if record.name == V1_AND_V2)),
    b'{"a": 1}',
]
RULES = [
    bodies.Car((dag(SMALL).root,)),
    bodies.Tar((("a/b", b"abc"),)),
    bodies.Record(V1_AND_V2, value_of(V1_AND_V2)),
    bodies.Json({"a": 1}),
    bodies.Text(("a",), ("b",)),
    bodies.Parts(b"abc", ((0, 1),), "text/plain"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, min(len(data), 600) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@given(body=damaged() | st.binary(max_size=2000))
@example(body=b"[" * 100_000)
@example(body=b'{"a":' * 100_000)
def test_any_body_is_right_or_has_differences_in_words(rule, body: bytes) -> None:  # type: ignore[no-untyped-def]
    assert all(isinstance(fault, str) and fault for fault in rule.faults(Answer(200, (), body), None))


@given(
    check=st.sampled_from(TABLE),
    status=st.integers(100, 599),
    names=st.lists(st.sampled_from(["Etag", "Cache-Control", "Content-Type", "Location"]), max_size=4),
    value=st.text(st.characters(max_codepoint=255)),
    body=damaged(),
)
def test_any_answer_can_be_compared(check, status: int, names: list[str], value: str, body: bytes) -> None:  # type: ignore[no-untyped-def]
    answer = Answer(status, tuple((name, value) for name in names), body)
    assert all(isinstance(fault, str) for fault in differences(check.expect, answer, answer))
