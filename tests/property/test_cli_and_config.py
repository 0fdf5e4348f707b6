"""What people type gives a value or one line that says what is wrong."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.cli.arguments import split
from cidery.client.address import BadApiAddress, parse_endpoint
from cidery.commands.bind import BadCall, bind, parse_duration
from cidery.errors import InvalidInput
from cidery.repo.config import parse_config
from cidery.repo.config_change import set_key
from cidery.repo.config_file import ConfigError, parse_json
from cidery.repo.config_keys import KEYS
from cidery.rpc.guard import check, default_origins
from cidery.rpc.uploads import BadUpload, clean_name

WORDS = st.sampled_from(
    ["add", "cat", "pin", "ls", "swarm", "addrs", "config", "-", "--", "-r", "-rw", "--pin=false", "--chunker", "-n5"]
    + ["--timeout=5s", "--timeout", "bafkqaaa", "--help", "-hq=", "--=", "-=", "--pin=maybe"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FAST = settings(max_examples=200, derandomize=True, deadline=None)


@FAST
@given(st.lists(WORDS | st.text(max_size=12), max_size=7))
def test_any_line_is_split_and_bound_or_refused_in_one_line(words: list[str]) -> None:
    try:
        line = split(words)
        if line.command is not None:
            bind(line.command, line.arguments, line.options)
    except InvalidInput as exc:
        assert str(exc)


@FAST
@given(st.text(max_size=20) | st.from_regex(r"([0-9]{1,3}(\.[0-9]{1,3})?(ns|us|ms|s|m|h)){1,4}", fullmatch=True))
def test_any_duration_is_seconds_or_refused(text: str) -> None:
    try:
        assert parse_duration(text, "timeout") >= 0
    except BadCall:
        return


@FAST
@given(
    st.text(max_size=40)
    | st.from_regex(r"(https?://|/ip[46]/)?[0-9a-f:.\[\]]{0,20}(:|/tcp/)[0-9]{0,6}", fullmatch=True)
    | st.from_regex(r"/dns4/[a-z.]{1,9}/tcp/[0-9]{1,6}(/tls|/https?|/sni/[a-z]{1,3}|/ws){0,4}", fullmatch=True)
)
def test_any_address_is_an_endpoint_or_refused(text: str) -> None:
    try:
        assert 0 <= parse_endpoint(text).port < 65536
    except BadApiAddress:
        return


@FAST
@given(st.binary(max_size=40))
def test_any_config_file_is_an_object_or_refused(data: bytes) -> None:
    try:
        assert isinstance(parse_json(data, "config"), dict)
    except ConfigError:
        return


@FAST
@given(st.sampled_from(sorted(KEYS)) | st.text(max_size=12), JSON)
def test_any_value_for_any_key_is_accepted_or_refused_naming_the_key(key: str, value: object) -> None:
    raw = {"Identity": {"PrivKey": "nonsense"}}
    for attempt in (lambda: set_key(raw, key, value), lambda: parse_config({key.split(".")[0]: value})):
        try:
            attempt()
        except ConfigError as exc:
            assert "\n" not in exc.reason
    assert raw == {"Identity": {"PrivKey": "nonsense"}}


@FAST
@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "", "a", "b\\"]), max_size=5).map("/".join))
def test_any_name_of_a_part_stays_inside_or_is_refused(name: str) -> None:
    try:
        parts = clean_name(name).split("/")
    except BadUpload:
        return
    assert ".." not in parts and "." not in parts and (parts == [""] or "" not in parts)


@FAST
@given(
    st.dictionaries(
        st.sampled_from(["Host", "Origin", "Referer", "User-Agent"]),
        st.text(max_size=30) | st.sampled_from(["localhost:5001", "http://localhost:5001", "http://[", "[::1"]),
    )
)
def test_any_headers_get_a_decision(headers: dict[str, str]) -> None:
    refusal = check("POST", {"Host": "localhost", **headers}, default_origins(5001))
    assert refusal is None or refusal.status == 403
