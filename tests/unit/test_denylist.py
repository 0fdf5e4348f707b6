"""Denylists: rules, headers, the index, and which rule decides. The CIDs are those of the specification's examples."""

import hashlib
import random

import pytest

from cidery.denylist.denylists import Denied, Denylists
from cidery.denylist.header import MAX_HEADER, BadHeader, Header, parse_header, split_header
from cidery.denylist.index import KEY, SMALL, Entry, RuleIndex
from cidery.denylist.rule_list import RuleList, TooManyRules
from cidery.denylist.rules import BadRule, Kind, Rule, name_key, parse_line
from cidery.multiformats.cid import CID
from cidery.multiformats.multibase import encode_base58btc
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, LIBP2P_KEY, RAW
from cidery.multiformats.multihash import BLAKE3, multihash

RULE1 = "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq"
TREE = "QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8"
PREFIX = "Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2"
FOLDER = "QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC"
EXCEPTED = "QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK"
KEY_NAME = "k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf"
OLD = "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e"
DOUBLE = "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR"
EXAMPLES = f"""# a comment

/ipfs/{RULE1}
/ipfs/{TREE}/*
/ipfs/{PREFIX}/test*
/ipfs/{FOLDER}/test/*
/ipfs/{EXCEPTED}/blocked*
!/ipfs/{EXCEPTED}/blockednot
!/ipfs/{EXCEPTED}/blocked/not
!/ipfs/{EXCEPTED}/blocked/exceptions*
/ipns/domain.example
/ipns/domain2.example/path
/ipns/{KEY_NAME}
//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM
//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX
//QmbK7LDv5NNBvYQzNfm2eED17SNLt1yNMapcUhSuNLgkqz
//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7
//c555c4de78827ba42527dd3dc5398db38d6c0a8c345a88e0158b2d100f317e50
//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572
"""


def rules(text: str, header: Header | None = None, source: str = "/lists/a.deny") -> RuleList:
    made = RuleList(source, header or Header())
    made.add_lines(text.encode().split(b"\n"), 0)
    made.seal()
    return made


def judge(*texts: str) -> Denylists:
    lists = Denylists()
    lists.use([rules(text, source=f"/lists/{number}.deny") for number, text in enumerate(texts)])
    return lists


@pytest.fixture(scope="module")
def examples() -> Denylists:
    lists = judge(EXAMPLES)
    assert not lists.lists[0].errors and lists.lists[0].rules == 17
    return lists


def denied(lists: Denylists, path: str) -> bool:
    """As the node judges a path."""
    _, namespace, root, *segments = path.split("/")
    if namespace == "ipns":
        return lists.name(root, "/".join(segments)) is not None
    return lists.path(CID.parse(root), segments) is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/ipfs/{RULE1}", True),
        ("/ipfs/bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq", True),
        ("/ipfs/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo", True),
        (f"/ipfs/{TREE}", True),
        (f"/ipfs/{TREE}/any/path", True),
        (f"/ipfs/{PREFIX}", False),
        (f"/ipfs/{PREFIX}/test", True),
        (f"/ipfs/{PREFIX}/testing/more", True),
        (f"/ipfs/{PREFIX}/tes", False),
        (f"/ipfs/{FOLDER}/test", True),
        (f"/ipfs/{FOLDER}/test/deep", True),
        (f"/ipfs/{EXCEPTED}", False),
        (f"/ipfs/{EXCEPTED}/blocked", True),
        (f"/ipfs/{EXCEPTED}/blockednot", False),
        (f"/ipfs/{EXCEPTED}/blockednot/x", True),
        (f"/ipfs/{EXCEPTED}/blocked/not", False),
        (f"/ipfs/{EXCEPTED}/blocked/exceptions/all", False),
        ("/ipns/domain.example", True),
        ("/ipns/Domain.Example/page", True),
        ("/ipns/other.example", False),
        ("/ipns/domain2.example", False),
        ("/ipns/domain2.example/path", True),
        ("/ipns/domain2.example/path2", False),
        (f"/ipns/{KEY_NAME}", True),
        ("/ipns/bafzaajaiaejcaotjfs57kieazxny5japcmy5p2pgv2cic77tu6ogghttvurnrufx", True),
        ("/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA", True),
        (f"/ipfs/{DOUBLE}", True),
        ("/ipfs/bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja", True),
        ("/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path", True),
        ("/ipfs/f01701e20903cf61d46521b05f926ba1634628d0bba8a7ffb5b6d5a3ca310682ca63b5ef0/path", True),
        ("/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path2", False),
        (f"/ipfs/{OLD}", True),
        (f"/ipfs/{CID(1, RAW, CID.parse(OLD).multihash)}/x", True),
        ("/ipns/bad-domain-name.tld", True),
    ],
)
def test_the_examples_of_the_specification_deny_what_it_says(examples: Denylists, path: str, expected: bool) -> None:
    assert denied(examples, path) is expected


def test_an_old_double_hash_of_a_path_denies_that_path_alone() -> None:
    lists = judge("//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572")
    assert denied(lists, f"/ipfs/{OLD}/path")
    assert not denied(lists, f"/ipfs/{OLD}") and not denied(lists, f"/ipfs/{OLD}/path/x")


def test_an_old_double_hash_denies_the_same_bytes_by_any_codec_that_serves_them() -> None:
    mh = CID.parse(OLD).multihash
    lists = judge("//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7")
    for cid in (CID(0, DAG_PB, mh), CID(1, DAG_PB, mh), CID(1, RAW, mh), CID(1, DAG_CBOR, mh)):
        assert lists.block(cid) is not None
    long = CID(1, RAW, multihash(0x13, b"x"))
    text = hashlib.sha256(f"{long}/".encode()).hexdigest()
    for codec in (RAW, DAG_PB):
        assert judge(f"//{text}").block(CID(1, codec, long.multihash)) is not None


def test_a_double_hash_of_a_key_denies_the_name() -> None:
    key = CID.parse(KEY_NAME)
    modern = encode_base58btc(multihash(BLAKE3, encode_base58btc(key.multihash).encode()))
    assert denied(judge(f"//{modern}"), f"/ipns/{KEY_NAME}/page")
    old = hashlib.sha256(f"{CID(1, LIBP2P_KEY, key.multihash)}/".encode()).hexdigest()
    assert denied(judge(f"//{old}"), f"/ipns/{KEY_NAME}")
    path = encode_base58btc(multihash(0x12, b"/ipns/some.example/page"))
    assert denied(judge(f"//{path}"), "/ipns/some.example/page")
    assert not denied(judge(f"//{path}"), "/ipns/some.example")


def test_of_rules_that_contradict_each_other_the_later_one_wins() -> None:
    rule = f"/ipfs/{RULE1}"
    assert not denied(judge(f"{rule}\n!{rule}"), rule)
    assert denied(judge(f"!{rule}\n{rule}"), rule)
    assert not denied(judge(f"{rule}\n+{rule}"), rule) and not denied(judge(f"{rule}\n-{rule}"), rule)
    name = "/ipns/my.domain"
    assert denied(judge(f"!{name}\n{name}"), name) and not denied(judge(f"{name}\n!{name}"), name)
    old = hashlib.sha256(f"{RULE1}/".encode()).hexdigest()
    assert not denied(judge(f"//{old}\n!{rule}"), rule) and denied(judge(f"!{rule}\n//{old}"), rule)


def test_a_later_list_overrides_an_earlier_one() -> None:
    rule = f"/ipfs/{RULE1}"
    assert not denied(judge(rule, f"!{rule}"), rule)
    assert denied(judge(f"!{rule}", rule), rule)
    assert denied(judge(rule, "/ipns/other.example"), rule)


def test_paths_are_compared_without_their_escapes_and_outer_slashes() -> None:
    lists = judge(f"/ipfs/{PREFIX}/a%20b/%C5%BA/\n/ipfs/{FOLDER}/caf%C3%A9*")
    assert denied(lists, f"/ipfs/{PREFIX}/a b/ź")
    assert denied(lists, f"/ipfs/{FOLDER}/café au lait")


def test_hints_of_a_rule_override_those_of_its_list() -> None:
    header = Header("Bad things", hints=(("reason", "policy"), ("gateway_status", "410")))
    lists = Denylists()
    lists.use([rules(f"/ipfs/{RULE1} gateway_status:451 case=7\n/ipfs/{TREE}", header)])
    with pytest.raises(Denied) as raised:
        lists.refuse_block(CID.parse(RULE1))
    assert raised.value.match.title == "Bad things" and raised.value.status == 451
    assert dict(raised.value.match.hints) == {"reason": "policy", "gateway_status": "451", "case": "7"}
    assert str(raised.value) == f"{RULE1} is denied on this node by the list 'Bad things' (policy)"
    with pytest.raises(Denied) as raised:
        lists.refuse_path("ipfs", CID.parse(TREE), ("x",))
    assert raised.value.status == 410 and str(raised.value).startswith(f"/ipfs/{TREE}/x is denied")


def test_the_list_is_named_by_its_file_without_the_folder() -> None:
    match = judge(f"/ipfs/{RULE1}").block(CID.parse(RULE1))
    assert match is not None and (match.title, match.source) == ("0.deny", "/lists/0.deny")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "ipfs/x",
            "/ipfs/",
            "/ipfs/nocid",
            "/ipfs/x/y",
            "//",
            "//zz",
            "/ipns/",
            "/ipns/a*",
            "/path",
            "/mime/text/html",
        ),
        *("//12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA", "!", "//" + "0" * 63, "//" + "0" * 65),
    ],
)
def test_a_line_that_is_no_rule_is_named_and_has_no_effect(line: str) -> None:
    with pytest.raises(BadRule):
        parse_line(line)
    made = rules(f"{line}\n/ipns/good.example\n{line}")
    assert (made.rules, made.bad_lines, len(made.errors)) == (1, 2, 2)
    assert made.errors[1].position == len(f"{line}\n/ipns/good.example\n".encode())


def test_the_quick_way_reads_the_same_rules_as_the_parser() -> None:
    randbytes = random.Random(4).randbytes
    for codec in (DAG_PB, RAW):
        cid = CID(1, codec, b"\x12\x20" + randbytes(32))
        for text in (str(cid), encode_base58btc(cid.multihash)):
            assert parse_line(f"/ipfs/{text}") == Rule(Kind.CONTENT, cid.multihash)
            assert judge(f"/ipfs/{text}").block(cid) is not None
            broken = text[:-1] + "!"
            made = rules(f"/ipfs/{broken}")
            assert (made.rules, made.bad_lines) == (0, 1)
    digest = randbytes(32)
    assert parse_line(f"//{digest.hex()}") == Rule(Kind.DOUBLE, digest, function=0x12, old=True)
    assert rules("//" + digest.hex()[:-1] + " ").bad_lines == 1
    not_canonical = str(CID(1, RAW, b"\x12\x20" + bytes(32)))[:-1] + "b"
    assert rules(f"/ipfs/{not_canonical}").bad_lines == 1


def test_names_have_one_key_however_they_are_written() -> None:
    assert name_key("12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA") == name_key(KEY_NAME)
    assert name_key("Example.ORG.") == name_key("example.org") == b"example.org"
    assert name_key("localhost") == b"localhost"


def test_a_header_ends_with_a_line_of_dashes() -> None:
    data = b"version: 1\nname: A\n---\n/ipns/a\n"
    assert split_header(data) == (b"version: 1\nname: A\n", data.index(b"/ipns"))
    assert split_header(b"a: 1\r\n---\r\nx") == (b"a: 1\r\n", 11)
    assert split_header(b"---") == (b"", 3)
    assert split_header(b"/ipns/a\n") == (None, 0)
    assert split_header(b"#\n" * MAX_HEADER + b"---\n") == (None, 0)


def test_a_header_gives_its_known_fields() -> None:
    header = parse_header(b"name: A\nauthor: b@c\ncustom: {x: 1}\nhints:\n  reason: bad\n  code: 7\n")
    assert header == Header("A", "", "b@c", (("reason", "bad"), ("code", "7")))
    assert parse_header(b"") == Header()


@pytest.mark.parametrize("text", ["version: 2", "- a", "a: [", "hints: [1]", "a: *b", "\0"])
def test_a_header_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(BadHeader):
        parse_header(text.encode())


def test_the_index_finds_every_key_and_its_last_value_whatever_its_size() -> None:
    randbytes = random.Random(2).randbytes
    for count in (SMALL // 2, SMALL * 2):
        index, keys = RuleIndex(), [randbytes(KEY) for _ in range(count)]
        for at, key in enumerate(keys):
            index.add(key, Entry(at, False, at % 3))
        index.add(keys[0], Entry(count, True, 0))
        index.seal()
        for at, key in enumerate(keys[1:], 1):
            assert index.get(key) == Entry(at, False, at % 3)
        assert index.get(keys[0]) == Entry(count, True, 0) and len(index) == count
        assert not any(index.get(randbytes(KEY)) for _ in range(1000))
        index.add(keys[1], Entry(count + 1, True, 2))  # appended
        index.seal()
        assert index.get(keys[1]) == Entry(count + 1, True, 2) and index.get(keys[2]) == Entry(2, False, 2)


def test_a_key_across_two_records_is_not_found() -> None:
    index = RuleIndex()
    for at in range(SMALL + 1):
        index.add(b"\0\0" + bytes(KEY - 6) + at.to_bytes(4), Entry(0, False, 0))
    index.seal()
    assert index.get(b"\0\0" + bytes(KEY - 2)) is not None  # a run of zeros lies at odd places before it
    assert index.get(bytes(KEY - 1) + b"\xff") is not None and index.get(bytes(2) + b"\xff" * (KEY - 2)) is None


def test_a_list_with_too_many_prefixes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from cidery.denylist import rule_list

    monkeypatch.setattr(rule_list, "DENY_PREFIXES", rule_list.DENY_PREFIXES.__class__(2, "rules", *(["x"] * 3)))
    with pytest.raises(TooManyRules, match="more than 2"):
        rules("".join(f"/ipns/a{n}.example/p*\n" for n in range(3)))


def test_without_a_list_nothing_is_denied() -> None:
    lists = Denylists()
    assert lists.lists == () and lists.block(CID.parse(RULE1)) is None
    lists.refuse_name("a.example")


def test_a_judgement_that_is_remembered_is_forgotten_with_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    from cidery.denylist import denylists

    monkeypatch.setattr(denylists, "REMEMBERED", 2)
    lists, cid = Denylists(), CID.parse(RULE1)
    assert lists.block(cid) is None and lists.block(cid) is None
    made = rules(f"/ipfs/{RULE1}")
    lists.use([made])
    assert lists.block(cid) is not None and lists.block(cid) is not None
    for number in range(5):
        assert lists.block(CID.of(bytes([number]))) is None
    assert lists.block(cid) is not None
    made.add_lines([f"!/ipfs/{RULE1}".encode()], 1000)
    made.seal()
    lists.use([made])
    assert lists.block(cid) is None
