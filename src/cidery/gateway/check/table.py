"""All checks, in the order of the leaves."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module

from cidery.errors import InvalidInput
from cidery.gateway.check.model import LEAVES, Check, Site

MODULES = (
    "trustless_block",
    "trustless_car",
    "trustless_car_optional",
    "trustless_ipns",
    "path_unixfs",
    "path_unixfs_ours",
    "path_ranges",
    "path_ipns",
    "path_tar",
    "path_dag",
    "path_raw",
    "subdomain_ipfs",
    "subdomain_ipns",
    "dnslink",
    "redirects",
    "proxy",
)


class UnknownLeaf(InvalidInput):
    """No part of the specifications has this name."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"unknown part {self.given[:60]!r}; there are: {', '.join(LEAVES)}"


def table(site: Site) -> list[Check]:
    """Every check, for a gateway that serves the subdomains of ``site``. Some 50 ms: it reads the fixtures."""
    found: list[Check] = []
    for name in MODULES:
        found += import_module(f"cidery.gateway.check.leaves.{name}").checks(site)
    return found


def wanted(text: str) -> frozenset[str]:
    """The leaves of ``leaf,leaf``; ``""``: all. A leading ``-`` takes one away. Raises UnknownLeaf."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name.removeprefix("-") not in LEAVES:
            raise UnknownLeaf(name)
    chosen = {name for name in names if not name.startswith("-")} or set(LEAVES)
    return frozenset(chosen - {name[1:] for name in names if name.startswith("-")})


def selected(checks: list[Check], leaves: Collection[str]) -> list[Check]:
    """Those that need nothing but these leaves."""
    return [check for check in checks if set(check.leaves) <= set(leaves)]
