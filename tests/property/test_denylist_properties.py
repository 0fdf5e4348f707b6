"""Denylists fed with anything: a rule, nothing, or BadRule; and of many rules always the last that matches."""

from hypothesis import given
from hypothesis import strategies as st

from cidery.denylist.denylists import Denylists
from cidery.denylist.header import BadHeader, Header, parse_header, split_header
from cidery.denylist.rule_list import RuleList
from cidery.denylist.rules import BadRule, parse_line
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

CIDS = [CID.of(bytes([number]), RAW) for number in range(3)]
PIECES = st.sampled_from(
    ["/ipfs/", "/ipns/", "//", "!", "*", "/", " ", "a:b", "%", "%ff", "Qm", "b", *map(str, CIDS), "é", "\0"]
)
LINES = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=8).map("".join))
PATHS = st.sampled_from(["", "a", "ab", "a/b", "abc/d"])


@given(LINES)
def test_any_line_is_a_rule_or_nothing_or_named(line: str) -> None:
    try:
        parse_line(line)
    except BadRule:
        pass  # its own error


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list(data: bytes) -> None:
    lines = data.split(b"\n")
    rules = RuleList("x.deny", Header())
    assert rules.add_lines(lines, 0) == len(data) + 1
    rules.seal()
    assert rules.rules + rules.bad_lines <= len(lines)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_header_is_read_or_refused(data: bytes) -> None:
    header, start = split_header(data)
    assert start <= len(data)
    try:
        parse_header(header if header is not None else data)
    except BadHeader:
        pass  # its own error


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(CIDS), PATHS, st.booleans()), max_size=12),
    st.sampled_from(CIDS),
    PATHS,
)
def test_the_last_rule_that_matches_decides(rules: list[tuple[bool, CID, str, bool]], root: CID, path: str) -> None:
    lines, of_block, of_path = [], False, False
    for allow, cid, rule_path, prefix in rules:
        lines.append(("!" if allow else "") + f"/ipfs/{cid}/{rule_path}" + ("*" if prefix else ""))
        if cid == root:
            if not rule_path:
                of_block = not allow
            if path and (path.startswith(rule_path) if prefix else path == rule_path):
                of_path = not allow
    made = RuleList("x.deny", Header())
    made.add_lines([line.encode() for line in lines], 0)
    made.seal()
    lists = Denylists()
    lists.use([made])
    assert not made.errors
    assert (lists.path(root, path.split("/") if path else []) is not None) == (of_block or of_path)
