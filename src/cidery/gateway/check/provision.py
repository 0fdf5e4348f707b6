"""Writes out what a node has to hold before its gateway can be checked."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cidery.errors import Unavailable, words_of
from cidery.gateway.check.dag import fixture
from cidery.gateway.check.names import DOMAINS, records


class CannotProvision(Unavailable):
    """The folder cannot be written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"the fixtures cannot be written to {self.folder}: {self.reason}; give another folder with --provision"


README = """\
# Load this into a node, then check its gateway

    cidery dag import --pin-roots=false cars/*.car
    export IPFS_NS_MAP="$(cat domains)"
    cidery config --json Gateway.PublicGateways "$(cat public-gateways.json)"
    cidery daemon &
    for record in records/*; do cidery routing put --allow-offline "/ipns/$(basename "$record")" "$record"; done
    cidery gateway check http://127.0.0.1:8080
    cidery gateway check http://127.0.0.1:8080 --subdomain-url http://example.com:8080

`cars/`: content. `records/`: IPNS records, each under its name; three are broken on purpose, and a good node refuses
them. `domains`: what each domain's DNSLink says, in place of DNS. `public-gateways.json`: hosts whose subdomains are
served. With Kubo, write `ipfs` for `cidery`.

The files come from ipfs/gateway-conformance (MIT or Apache 2.0).
"""
PUBLIC_GATEWAYS = """\
{
  "example.com": {"UseSubdomains": true, "InlineDNSLink": true, "Paths": ["/ipfs", "/ipns"]},
  "localhost": {"UseSubdomains": true, "InlineDNSLink": true, "Paths": ["/ipfs", "/ipns"]}
}
"""


def archives() -> list[str]:
    """The archives of the fixtures, by their paths below ``fixtures``."""
    root = files("cidery.gateway.check").joinpath("fixtures")
    found = [entry.name for entry in root.iterdir() if entry.name.endswith(".car")]
    for folder in root.iterdir():
        if folder.is_dir():
            found += [f"{folder.name}/{entry.name}" for entry in folder.iterdir() if entry.name.endswith(".car")]
    return sorted(found)


def domain_map() -> str:
    """The value of IPFS_NS_MAP."""
    return ",".join(f"{domain}:{path}" for domain, path in DOMAINS.items())


def provision(folder: Path) -> None:
    """Write everything below ``folder``, which is created. Blocks. Raises CannotProvision."""
    try:
        _write(folder)
    except OSError as exc:
        raise CannotProvision(folder, words_of(exc)) from exc


def _write(folder: Path) -> None:
    for name in ("cars", "records"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in archives():
        (folder / "cars" / path.replace("/", "-")).write_bytes(fixture(path))
    for record in records():
        (folder / "records" / record.name).write_bytes(fixture(record.path))
    (folder / "domains").write_text(domain_map(), encoding="ascii")
    (folder / "public-gateways.json").write_text(PUBLIC_GATEWAYS, encoding="ascii")
    (folder / "README.md").write_text(README, encoding="utf-8")
