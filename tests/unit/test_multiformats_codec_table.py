"""The names and numbers of codecs against the official table."""

from pathlib import Path

from cidery.multiformats import multicodec
from cidery.multiformats.ipld_codecs import IPLD_CODECS

TABLE = Path(__file__).parents[1] / "vectors" / "multicodec" / "table.csv"


def test_every_codec_of_the_kind_ipld_is_in_the_table_with_its_number():
    rows = [line.split(",") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    assert {row[0].strip(): int(row[2], 16) for row in rows if row[1].strip() == "ipld"} == IPLD_CODECS


def test_the_codecs_that_are_spoken_here_have_the_numbers_of_the_table():
    spoken = {name: getattr(multicodec, name.upper().replace("-", "_"), number) for name, number in IPLD_CODECS.items()}
    assert spoken == IPLD_CODECS and spoken["dag-pb"] == 0x70
