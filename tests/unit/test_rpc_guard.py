"""Who may call the RPC."""

import pytest

from cidery.rpc.guard import check, default_origins

ORIGINS = default_origins(5001)
LOCAL = {"host": "127.0.0.1:5001", "user-agent": "curl/8"}


def _status(method: str = "POST", **headers: str) -> int:
    refusal = check(
        method, {**LOCAL, **{name.replace("_", "-").lower(): text for name, text in headers.items()}}, ORIGINS
    )
    return 200 if refusal is None else refusal.status


def test_a_plain_post_from_this_machine_may_go_on() -> None:
    assert _status() == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_post_calls(method: str) -> None:
    assert _status(method) == 405


@pytest.mark.parametrize("host", ["localhost:5001", "localhost", "[::1]:5001", "192.168.1.2:5001", "127.0.0.1"])
def test_hosts_that_dns_cannot_forge_are_accepted(host: str) -> None:
    assert _status(Host=host) == 200


@pytest.mark.parametrize("host", ["evil.example:5001", "127.0.0.1.evil.example", "", "localhost.evil", "127.0.0.1:x"])
def test_a_name_that_somebody_pointed_here_is_refused(host: str) -> None:
    assert _status(Host=host) == 403


@pytest.mark.parametrize("origin", ["http://localhost:5001", "http://127.0.0.1:5001", "https://[::1]:5001"])
def test_pages_of_the_node_itself_may_call(origin: str) -> None:
    assert _status(Origin=origin, User_Agent="Mozilla/5.0") == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8080", "http://localhost:5001.x"])
def test_other_pages_may_not(origin: str) -> None:
    assert _status(Origin=origin) == 403
    assert _status(Referer=f"{origin}/page") == 403


def test_a_referer_that_is_no_url_is_refused() -> None:
    assert _status(Referer="http://[") == 403


def test_a_referer_of_the_node_itself_may_call() -> None:
    assert _status(Referer="http://localhost:5001/webui/", User_Agent="Mozilla/5.0") == 200


def test_a_browser_that_says_neither_is_refused() -> None:
    assert _status(User_Agent="Mozilla/5.0 Firefox") == 403
    assert _status(User_Agent="Mozilla/5.0 Electron/30") == 200


def test_origins_from_the_config_are_added() -> None:
    headers = {**LOCAL, "origin": "https://App.example"}
    assert check("POST", headers, frozenset({"https://app.example"})) is None
    assert check("POST", headers, frozenset({"*"})) is None


@pytest.mark.parametrize(
    "name, good, bad",
    [
        ("origin", "http://127.0.0.1:5001", "http://evil.example"),
        ("referer", "http://127.0.0.1:5001/x", "http://evil.example/x"),
        ("host", "127.0.0.1:5001", "evil.example"),
        ("user-agent", "curl/8", "Mozilla/5.0"),
    ],
)
def test_of_a_header_that_comes_twice_both_must_be_allowed(name: str, good: str, bad: str) -> None:
    rest = [pair for pair in LOCAL.items() if pair[0] != name]
    for first, second, allowed in ((good, bad, False), (bad, good, False), (good, good, True)):
        refusal = check("POST", {**dict(rest), name: f"{first}, {second}"}, ORIGINS)
        assert (refusal is None) is allowed
