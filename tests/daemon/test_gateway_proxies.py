"""The configurations of web servers in docs/gateway.md, with the real programs, in front of a daemon."""

import getpass
import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"
NGINX = """daemon off; user {user}; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
{config} }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[CideryDaemon]:
    hosts = {"example.org": {"Paths": ["/ipfs"], "UseSubdomains": True}}
    config = {
        "Addresses.Gateway": json.dumps([f"/unix{folder}/gateway.sock"]),
        "Gateway.PublicGateways": json.dumps(hosts),
        "Gateway.AccessLog": json.dumps({"Path": str(folder / "access.log"), "Format": "json"}),
    }
    with CideryDaemon(folder / "node", config) as node:
        yield node


def configuration(language: str, port: int, socket_file: Path) -> str:
    """The one of the page, with another port and place."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    config = found[1].replace("/run/cidery/gateway.sock", str(socket_file))
    return config.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(":80 {", f"http://:{port} {{")


def with_nginx(folder: Path, port: int) -> list[str]:
    place = folder / "nginx"
    place.mkdir()
    config = configuration("nginx", port, folder / "gateway.sock")
    (place / "nginx.conf").write_text(NGINX.format(user=getpass.getuser(), place=place, config=config))
    return ["nginx", "-c", str(place / "nginx.conf"), "-p", str(place)]


def with_caddy(folder: Path, port: int) -> list[str]:
    file = folder / "Caddyfile"
    options = "{\n  admin off\n  auto_https off\n}\n"
    file.write_text(options + configuration("caddyfile", port, folder / "gateway.sock"))
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


@contextmanager
def running(folder: Path, command: Callable[[Path, int], list[str]]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    words = command(folder, port)
    log = folder / f"{words[0]}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    try:
        ends = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < ends, log.read_text()
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("command", [with_nginx, with_caddy])
def test_a_web_server_in_front_changes_nothing(
    daemon: CideryDaemon, folder: Path, command: Callable[[Path, int], list[str]]
) -> None:
    program = command.__name__.removeprefix("with_")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (folder / "site").mkdir(exist_ok=True)
    data = bytes(range(256)) * 20_000
    (folder / "site" / "a b%2F.bin").write_bytes(data)
    cid = daemon.add(folder / "site")
    with running(folder, command) as port, ExitStack() as stack:
        connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)))

        def get(target: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer, answer.read()

        # the path as it was sent: escapes are neither resolved nor made
        answer, body = get(f"/ipfs/{cid}/a%20b%252F.bin")
        assert answer.status == 200 and body == data and answer.headers["X-Ipfs-Path"] == f"/ipfs/{cid}/a%20b%252F.bin"
        answer, body = get(f"/ipfs/{cid}/a%20b%252F.bin", Range="bytes=5-9")
        assert answer.status == 206 and body == data[5:10]
        answer, _ = get(f"/ipfs/{cid}/", Host="example.org", **{"X-Forwarded-Proto": "https"})
        # the host leads to the subdomain; what a visitor says of the scheme does not count
        assert answer.status == 301 and answer.headers["Location"] == f"http://{cid}.ipfs.example.org/"
        answer, body = get("/a%20b%252F.bin", Host=f"{cid}.ipfs.example.org")
        assert answer.status == 200 and body == data
        # nor what it says of the host, by which content of one could be kept as that of another
        answer, body = get(f"/ipfs/{cid}/a%20b%252F.bin", **{"X-Forwarded-Host": "example.org"})
        assert answer.status == 200 and body == data
        # nginx adds its visitor, here another proxy on this machine, to whom that one named; Caddy believes nobody
        answer, _ = get(f"/ipfs/bafkqaaa?{program}", **{"X-Forwarded-For": "203.0.113.7"})
        assert answer.status == 200
    assert asker(folder / "access.log", f"/ipfs/bafkqaaa?{program}") == ("203.0.113.7" if program == "nginx" else "")


def asker(log: Path, target: str) -> str:
    """Who asked for that last, when the log has it."""
    ends = time.monotonic() + 30
    while True:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        found = [line["client"] for line in lines if line["target"] == target]
        if found:
            return str(found[-1])
        assert time.monotonic() < ends
        time.sleep(0.02)
