"""Who gets into the web page, without a browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.http.message import Request
from cidery.node.official_page import official_page
from cidery.repo.config_file import read_raw, write_raw
from cidery.rpc.listen import listen
from cidery.rpc.official import KNOWN
from cidery.rpc.webui import KEY_FILE, MAX_TICKETS, SESSION_SECONDS, TICKET_SECONDS, WebUi
from rpc_calls import Server

BROWSER = "Mozilla/5.0 Chrome/156"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server(node: cidery.Node) -> AsyncIterator[Server]:
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        yield Server(addrs[0], node)


def _ticket(ui: WebUi) -> str:
    body = ui.ticket().body
    assert isinstance(body, bytes)
    return body.decode().split('"')[3]


async def _session(ui: WebUi, ticket: str) -> str:
    answer = await ui.answer(Request("POST", "/webui/session", {"authorization": f"Ticket {ticket}"}))
    assert isinstance(answer.body, bytes)
    return answer.body.decode().split('"')[3] if answer.status == 200 else ""


async def test_a_ticket_works_once_and_not_for_long(tmp_path: Path) -> None:
    clock = Clock()
    ui = WebUi(tmp_path, clock)
    ticket = _ticket(ui)
    assert await _session(ui, ticket)
    assert not await _session(ui, ticket)
    late = _ticket(ui)
    clock.now += TICKET_SECONDS
    assert not await _session(ui, late)
    first, *_ = [_ticket(ui) for _ in range(MAX_TICKETS + 1)]
    assert not await _session(ui, first), "the oldest is forgotten"


async def test_a_session_outlives_the_daemon_and_ends_with_its_time_or_key(tmp_path: Path) -> None:
    clock = Clock()
    ui = WebUi(tmp_path, clock)
    session = await _session(ui, _ticket(ui))
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert WebUi(tmp_path, clock).is_session(session)
    forged = [
        session[:-1] + ("0" if session[-1] != "0" else "1"),
        session.replace("18", "19", 1),
        "Bearer cidery-ui-",
        "",
    ]
    assert not any(ui.is_session(one) for one in [*forged, "Bearer cidery-ui-9-x", "Bearer cidery-ui-٣-x"])
    clock.now += SESSION_SECONDS
    assert not ui.is_session(session)
    clock.now -= SESSION_SECONDS
    (tmp_path / KEY_FILE).unlink()
    assert not ui.is_session(session)


async def test_a_browser_calls_from_the_own_origin_with_a_session_only(server: Server) -> None:
    own = f"http://127.0.0.1:{server.port}"
    assert (await server.post("version", Origin=own, User_Agent=BROWSER)).status == 401
    assert (await server.post("version", Referer=f"{own}/webui", User_Agent=BROWSER)).status == 401
    token = (server.node.path / "api-token").read_text()
    assert (await server.post("ui/link", Cidery_Repository="wrong")).status in (404, 421)
    assert (await server.post("ui/link")).status == 404, "only the owner of the repository gets a link"
    ticket = (await server.post("ui/link", Cidery_Repository=token)).json()[0]["Ticket"]
    head = f"POST /webui/session HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\nOrigin: "
    stolen = await server.raw(f"{head}http://evil.example\r\nAuthorization: Ticket {ticket}\r\n\r\n".encode())
    assert stolen.status == 403
    given = await server.raw(f"{head}{own}\r\nAuthorization: Ticket {ticket}\r\n\r\n".encode())
    session = given.json()[0]["Authorization"]
    assert (await server.post("version", Origin=own, User_Agent=BROWSER, Authorization=session)).status == 200
    evil = await server.post("version", Origin="http://evil.example", User_Agent=BROWSER, Authorization=session)
    assert evil.status == 403, "a session does not open the RPC to other origins"
    assert (await server.post("version", Authorization=session[:-2])).status == 401


async def test_a_session_has_the_rights_of_the_owner_where_users_are_named(tmp_path: Path) -> None:
    users = {"reader": {"AuthSecret": "bearer:secret", "AllowedPaths": ["/api/v0/id"]}}
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        raw = read_raw(node.path / "config")
        write_raw(node.path / "config", {**raw, "API": {**raw["API"], "Authorizations": users}})
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            server = Server(addrs[0], node)
            token = (node.path / "api-token").read_text()
            assert (await server.post("ui/link", Authorization="Bearer secret")).status == 403, "a user is no owner"
            ticket = (await server.post("ui/link", Cidery_Repository=token)).json()[0]["Ticket"]
            own = f"http://127.0.0.1:{server.port}"
            head = f"POST /webui/session HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nOrigin: {own}\r\n"
            given = await server.raw(f"{head}Authorization: Ticket {ticket}\r\n\r\n".encode())
            session = given.json()[0]["Authorization"]
            assert (await server.post("config/show", Origin=own, Authorization=session)).status == 200
            assert (await server.post("config/show", Origin=own)).status == 403
            assert (await server.post("config/show", Authorization="Bearer secret")).status == 403


async def test_files_of_the_page_are_served_to_this_machine_by_get_alone(server: Server) -> None:
    async def get(
        path: str, host: str = "127.0.0.1", method: str = "GET", more: str = ""
    ) -> tuple[int, dict[str, str]]:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {BROWSER}\r\nConnection: close\r\n{more}\r\n"
        answer = await server.raw(head.encode())
        return answer.status, answer.headers

    for path in ("/webui", "/webui/", "/webui?open=ipfs%3A%2F%2Fx"):
        status, headers = await get(path)
        assert status == 200 and headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    status, headers = await get("/webui/js/app.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    again = await get("/webui/js/app.js", more=f"If-None-Match: {headers['etag']}\r\n")
    assert again[0] == 304
    assert (await get("/webui/manifest.webmanifest"))[1]["content-type"] == "application/manifest+json"
    assert (await get("/webui/../api"))[0] == 404 and (await get("/webui/%2e%2e/rpc/webui.py"))[0] == 404
    assert (await get("/webui", host="evil.example"))[0] == 403, "DNS rebinding"
    assert (await get("/webui/session"))[0] == 405


async def test_the_official_page_is_served_by_its_cid_alone(tmp_path: Path) -> None:
    built = tmp_path / "built"
    (built / "static").mkdir(parents=True)
    (built / "index.html").write_text("<title>IPFS</title>")
    (built / "static" / "main.js").write_text("1")
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        cid, other = str(await node.add(built)), str(await node.add(built / "static"))
        official = official_page(node.api, (cid,))
        async with listen(
            node.api, node.api.config.api, {}, node.path / "api", lambda: None, official=official
        ) as addrs:
            server = Server(addrs[0], node)
            page = await server.raw(_get(server, f"/ipfs/{cid}/"))
            assert (page.status, page.body) == (200, b"<title>IPFS</title>")
            assert (await server.raw(_get(server, f"/ipfs/{cid}/static/main.js"))).body == b"1"
            named = await server.raw(_get(server, f"/ipfs/{cid}/", f"localhost:{server.port}"))
            assert named.status == 200, "never an origin of its own: it calls the one it is from"
            assert (await server.raw(_get(server, f"/ipfs/{other}/main.js"))).status == 404
            assert (await server.raw(_get(server, f"/ipfs/{cid}/", "evil.example"))).status == 403
            assert (await server.raw(_get(server, f"/ipfs/{cid}", method="PUT"))).status == 405
            leads = await server.raw(_get(server, "/webui-official"))
            assert leads.status == 200 and "script-src 'self'" in leads.headers["content-security-policy"]
            assert (await server.raw(_get(server, "/webui/official.json"))).body == f'["{cid}"]'.encode()
            gone = await server.raw(_get(server, f"/ipfs/{KNOWN[0]}/"))
            assert gone.status == 404, "not one of this list"


async def test_without_the_official_page_the_node_says_that_it_has_not_found_it(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        official = official_page(node.api)
        async with listen(
            node.api, node.api.config.api, {}, node.path / "api", lambda: None, official=official
        ) as addrs:
            server = Server(addrs[0], node)
            assert (await server.raw(_get(server, f"/ipfs/{KNOWN[0]}/index.html"))).status in (404, 504)


def _get(server: Server, target: str, host: str = "", method: str = "GET") -> bytes:
    head = (f"{method} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{server.port}'}", "Connection: close", "", "")
    return "\r\n".join(head).encode()
