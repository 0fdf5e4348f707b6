"""Whatever fields answers have, and whatever table their client allows, the client reads them as they are."""

from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from cidery.http.h2_fields import MAX_TABLE, SHARED, FieldEncoder

NAMES = st.one_of(
    st.sampled_from([*sorted(SHARED), b":status", b"etag", b"date", b"content-length", b"location", b"x-ipfs-path"]),
    st.from_regex(rb"[a-z0-9-]{1,200}", fullmatch=True),
)
VALUES = st.one_of(st.sampled_from([b"", b"200", b"304", b"*", b"bytes"]), st.binary(max_size=400))
BLOCKS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
SIZES = st.one_of(st.none(), st.integers(0, 2 * MAX_TABLE))


@given(st.lists(st.tuples(SIZES, BLOCKS), max_size=20))
def test_a_client_reads_the_fields_that_were_written(steps) -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    for size, fields in steps:
        if size is not None:
            encoder.header_table_size = size
            decoder.max_allowed_table_size = size
        assert decoder.decode(encoder.encode(fields), raw=True) == fields


def test_the_fields_that_answers_share_are_sent_once() -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    fields = [(name, b"a value of some length") for name in sorted(SHARED)]
    first, second = encoder.encode(fields), encoder.encode(fields)
    assert len(second) == len(fields) < len(first) / 10
    assert decoder.decode(first, raw=True) == decoder.decode(second, raw=True) == fields
