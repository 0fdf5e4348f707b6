"""A daemon whose RPC speaks TLS: the command line here and from elsewhere, Python, files, the page, other programs."""

import json
import os
import random
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import pytest

import cidery
import cidery.fs
from cidery.client.answer import DaemonGone, NoSecureConnection, RpcError
from cidery.node.open import NotOfADaemon
from daemon.test_daemon import Daemon
from peers.certificates import Authority
from peers.cidery_daemon import CLI, CideryDaemon
from peers.gateway_workers import GatewayWorkers

SECRET = "bearer:of-ben"


class Secure:
    """The daemon of this machine under TLS, and those who call it from elsewhere: without its repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.files = self.authority.sign(folder, ["localhost"])
        config = {
            "API.TLS": json.dumps({"CertFile": str(self.files[0]), "KeyFile": str(self.files[1])}),
            "Addresses.API": json.dumps(["/ip4/127.0.0.1/tcp/0/tls/http"]),
        }
        self.daemon = CideryDaemon(folder / "node", config)
        self.port = int((self.daemon.repo / "api").read_text().split("/")[4])
        self.url = f"https://localhost:{self.port}"

    def elsewhere(self, *words: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        known = {**os.environ, "CIDERY_PATH": str(self.folder / "none"), **environment}
        return subprocess.run([*CLI, *words], env=known, input=stdin, capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    made = Secure(tmp_path_factory.mktemp("secure"))
    try:
        yield made
    finally:
        made.daemon.close()


def test_commands_here_need_no_authority_and_elsewhere_one_by_option_or_environment(
    secure: Secure, tmp_path: Path
) -> None:
    data = random.Random(3).randbytes(9_000_000)
    (tmp_path / "file").write_bytes(data)
    cid = secure.daemon.add(tmp_path / "file")
    secure.daemon.get(cid, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    known = str(secure.authority.file)
    assert secure.elsewhere("--api", secure.url, "--api-ca", known, "cat", cid).stdout == data
    for address in (
        secure.url,
        f"/dns4/localhost/tcp/{secure.port}/https",
        f"/dns/localhost/tcp/{secure.port}/tls/http",
    ):
        added = secure.elsewhere("--api", address, "add", "-Q", stdin=data, CIDERY_API_CA=known)
        assert added.stdout.decode().strip() == cid, added.stderr
    assert secure.elsewhere("--api", secure.url, "cat", cid, SSL_CERT_FILE=known).stdout == data
    got = secure.elsewhere("--api", secure.url, "get", "-o", str(tmp_path / "far"), cid, CIDERY_API_CA=known)
    assert got.returncode == 0 and (tmp_path / "far").read_bytes() == data


def test_without_an_authority_nothing_is_sent(secure: Secure) -> None:
    done = secure.elsewhere("--api", secure.url, "--api-auth", SECRET, "id")
    assert done.returncode == 1 and b"--api-ca FILE, or $CIDERY_API_CA" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_api_file_written_by_hand_leads_to_a_daemon_elsewhere(secure: Secure, tmp_path: Path) -> None:
    """As Kubo's documents propose for a client without a node."""
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "api").write_text(f"/dns4/localhost/tcp/{secure.port}/tls/http\n")
    words = ("id", "-f", "<id>")
    found = secure.elsewhere(*words, CIDERY_PATH=str(folder), CIDERY_API_CA=str(secure.authority.file))
    assert found.stdout.decode().strip() == secure.daemon.peer_id
    assert secure.elsewhere(*words, CIDERY_PATH=str(folder)).returncode == 1


def test_python_attaches_to_it(secure: Secure) -> None:
    with cidery.open(secure.daemon.repo) as node:
        assert node.attached and node.read(node.add(b"by tls")) == b"by tls"


def test_a_program_without_a_loop_opens_it_by_its_url(secure: Secure, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := random.Random(5).randbytes(3_000_000))
    with cidery.open(secure.url, authorities=secure.authority.file) as node:
        assert node.attached and node.peer_id() == secure.daemon.peer_id
        cid = node.add(tmp_path / "file")
        assert node.read(cid) == data and node.get(cid, tmp_path / "copy").read_bytes() == data
    with pytest.raises(NoSecureConnection):
        cidery.open(secure.url)
    with pytest.raises(NotOfADaemon, match="read_only"):
        cidery.open(secure.url, read_only=True)
    with pytest.raises(DaemonGone):
        cidery.open("https://127.0.0.1:1")


def test_data_tools_read_through_it(secure: Secure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := random.Random(4).randbytes(3_000_000))
    cid = secure.daemon.add(tmp_path / "file")
    cidery.fs.register()
    monkeypatch.setenv("CIDERY_API_CA", str(secure.authority.file))
    with fsspec.open(f"ipfs://{cid}", "rb", via=secure.url) as file:
        assert file.read() == data


def test_the_page_comes_over_tls(secure: Secure) -> None:
    link = secure.daemon.run("ui", "--no-open").strip()
    assert link.startswith(f"https://127.0.0.1:{secure.port}/webui#ticket=")
    here = {"Origin": secure.url, "User-Agent": "Mozilla/5.0"}
    trusted = ssl.create_default_context(cafile=str(secure.authority.file))
    with httpx.Client(verify=trusted, base_url=secure.url, headers=here) as browser:
        assert "<html" in browser.get("/webui/").text
        ticket = link.partition("ticket=")[2]
        session = browser.post("/webui/session", headers={"Authorization": f"Ticket {ticket}"}).json()
        assert browser.post("/api/v0/id").status_code == 401
        assert browser.post("/api/v0/id", headers=session).json()["ID"] == secure.daemon.peer_id


def test_doctor_sees_that_it_runs(secure: Secure) -> None:
    report = {one["About"]: one for one in map(json.loads, secure.daemon.run("doctor", "--enc=json").splitlines())}
    assert report["daemon"]["State"] == "ok" and "runs, cidery" in report["daemon"]["Text"]


def test_a_new_certificate_is_used_without_a_restart(secure: Secure) -> None:
    before = (secure.daemon.repo / "api-cert").read_text()
    secure.authority.sign(secure.folder, ["localhost"])
    ends = time.monotonic() + 30
    while (secure.daemon.repo / "api-cert").read_text() == before:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert secure.daemon.run("id", "-f", "<id>").strip() == secure.daemon.peer_id
    known = str(secure.authority.file)
    assert secure.elsewhere("--api", secure.url, "--api-ca", known, "version").returncode == 0


def test_workers_of_the_gateway_ask_it_over_tls(secure: Secure, tmp_path: Path) -> None:
    """What they do not have, and the routing API, which only the daemon has."""
    with GatewayWorkers(secure.daemon.repo, tmp_path / "log", workers=1) as workers:
        url = f"http://127.0.0.1:{workers.port}"
        asked = httpx.get(f"{url}/routing/v1/providers/bafkqaaa", timeout=60)
        assert asked.status_code != 503, asked.text
        absent = httpx.get(f"{url}/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", timeout=60)
        assert "no daemon" not in absent.text and absent.status_code in (404, 504), absent.text


async def test_users_and_addresses_beyond_this_machine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    files = authority.sign(tmp_path, ["localhost"])
    node = Daemon(tmp_path / "repo")
    node.run("init", "--profile=test")
    raw = json.loads((node.repo / "config").read_text())
    raw["API"] = {
        "TLS": {"CertFile": str(files[0]), "KeyFile": str(files[1])},
        "Authorizations": {"ben": {"AuthSecret": SECRET, "AllowedPaths": ["/api/v0"]}},
    }
    raw["Addresses"]["API"] = ["/ip4/0.0.0.0/tcp/0/tls/http", "/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/tcp/0"]
    (node.repo / "config").write_text(json.dumps(raw))
    node.start()
    try:
        told = capfd.readouterr().err.splitlines()
        assert len(told) == 1 and "readable; see API.TLS, or listen on 127.0.0.1" in told[0]
        port = next(line for line in node.lines if "/tls/http" in line).split("/")[4]
        url = f"https://localhost:{port}"
        async with cidery.Client(url, auth=SECRET, authorities=authority.file) as client:
            assert str(await client.peer_id()) == raw["Identity"]["PeerID"]
        with pytest.raises(RpcError, match="Access Denied"):
            await cidery.Client(url, auth="bearer:no", authorities=authority.file).peer_id()
    finally:
        assert node.stop() == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Addresses.API": '["/ip4/127.0.0.1/tcp/0/tls/http"]'}, "which needs a certificate"),
        ({"API.TLS": '{"CertFile": "/nowhere/c", "KeyFile": "/nowhere/k"}'}, "no address of Addresses.API speaks TLS"),
        (
            {
                "API.TLS": '{"CertFile": "/nowhere/c", "KeyFile": "/nowhere/k"}',
                "Addresses.API": '["/ip4/127.0.0.1/tcp/0/https"]',
            },
            "are no certificate with its key in PEM: no such file",
        ),
    ],
)
def test_what_does_not_fit_together_is_said_at_the_start(tmp_path: Path, config: dict[str, str], said: str) -> None:
    known = {**os.environ, "CIDERY_PATH": str(tmp_path / "repo")}
    subprocess.run([*CLI, "init", "--profile=test"], env=known, check=True, capture_output=True)
    for key, value in config.items():
        subprocess.run([*CLI, "config", "--json", key, value], env=known, check=True, capture_output=True)
    done = subprocess.run([*CLI, "daemon"], env=known, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1
