"""The format in which workers of the gateway ask the daemon: what is written is read, and any bytes are, or refused."""

from hypothesis import given
from hypothesis import strategies as st

from cidery.core.misses import (
    MAX_AHEAD,
    Asked,
    AskedReader,
    BadMisses,
    FrameReader,
    NotFoundThere,
    Verb,
    asked,
    asked_on,
    failed,
    found,
)
from cidery.core.session import NotStored
from cidery.errors import CideryError
from cidery.exchange.terms import Terms
from cidery.multiformats.cid import CID

CIDS = st.binary(max_size=40).map(CID.of)
STEP = st.integers(1, 50)


def pieces(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]


@given(st.lists(st.tuples(st.sampled_from([Verb.GET, Verb.EXPECT, Verb.AHEAD]), CIDS), max_size=5), STEP)
def test_questions_are_read_as_they_were_asked(questions: list[tuple[Verb, CID]], step: int) -> None:
    data = b"".join(asked(verb, cid) for verb, cid in questions) + asked(Verb.NAME, name="k51x")
    reader = AskedReader()
    read = [one for piece in pieces(data, step) for one in reader.receive_data(piece)]
    assert read == [*(Asked(verb, (cid,)) for verb, cid in questions), Asked(Verb.NAME, name="k51x")]


@given(st.booleans(), st.booleans())
def test_terms_are_read_as_they_were_said(paced: bool, public: bool) -> None:
    terms = Terms(paced, public)
    assert AskedReader().receive_data(asked_on(terms)) == [Asked(Verb.TERMS, terms=terms)]


def test_a_hint_is_bounded() -> None:
    cid = CID.parse("bafkqaaa")
    assert AskedReader().receive_data(asked(Verb.AHEAD, *[cid] * (MAX_AHEAD + 9)))[0].cids == (cid,) * MAX_AHEAD


@given(st.lists(st.binary(max_size=100), max_size=5), STEP)
def test_answers_are_read_as_they_were_given(blocks: list[bytes], step: int) -> None:
    missing = NotStored(CID.parse("bafkqaaa"))
    data = b"".join(b"".join(found(block)) + failed(missing) for block in blocks)
    reader = FrameReader()
    read = [one for piece in pieces(data, step) for one in reader.receive_data(piece)]
    assert read[::2] == blocks
    assert all(isinstance(one, NotFoundThere) and str(one) == str(missing) for one in read[1::2])


LINES = [b"found 3\nabc", b"get bafkqaaa\n", b"terms paced\n", b"terms x\n", b"failed missing x\n"]


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(LINES))))
def test_any_bytes_are_read_or_refused(parts: list[bytes]) -> None:
    for reader in (AskedReader(), FrameReader()):
        try:
            for part in parts:
                for one in reader.receive_data(part):
                    assert isinstance(one, Asked | bytes | CideryError)
        except BadMisses:
            continue
