"""Where a file system takes its blocks from: what the caller says, else what this machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cidery.client.address import Endpoint, find_daemon, parse_endpoint
from cidery.errors import InvalidInput
from cidery.fs.errors import NoSource
from cidery.node.location import api_authorities, repo_dir
from cidery.plain_files import read_plain
from cidery.retrieval.gateway_url import check_url

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FILE = 4096
"""Most bytes read of a file that names gateways."""
MAX_GATEWAYS = 16
"""Most gateways that are asked one after the other."""
WAYS = ("auto", "daemon", "repo", "gateway")


class BadWay(InvalidInput):
    """A value of ``via`` that names nothing."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"via={self.given[:80]!r} is none of {', '.join(WAYS)}, and no address of a daemon's RPC"


class Options(NamedTuple):
    """What a caller says. Equal options share what they open."""

    via: str = "auto"
    """One of WAYS, or the address of an RPC: ``http://127.0.0.1:5001``, ``/ip4/127.0.0.1/tcp/5001``."""
    repo: str = ""
    """Path of the repository."""
    usual: bool = True
    """Whether that is the usual one, not one that the caller named."""
    gateways: tuple[str, ...] = ()
    """URLs of trustless gateways."""
    online: bool = False
    """Without a daemon: fetch from peers, as the one process that writes the repository."""
    auth: str = ""
    """A secret of the daemon's API.Authorizations."""
    authorities: str = ""
    """File in PEM with what a daemon under TLS is trusted by; "": what the system trusts."""


class Place(NamedTuple):
    """Where blocks come from."""

    repo: Path | None = None
    """A repository of Cidery on this machine."""
    rpc: Endpoint | None = None
    """A daemon without such a repository: Kubo's, or one on another machine."""
    gateways: tuple[str, ...] = ()


def stated(
    via: str, repo: str | os.PathLike[str] | None, gateways: Sequence[str] | str, online: bool, auth: str
) -> Options:
    """With what the environment says now, where the caller says nothing."""
    folder = repo_dir(os.fspath(repo) if repo else None)
    named = [gateways] if isinstance(gateways, str) and gateways else list(gateways)
    return Options(via, folder, not repo, tuple(named or known_gateways()), online, auth, api_authorities())


def choose(options: Options) -> Place:
    """Raises NoSource, BadWay, BadGateway, BadApiFile."""
    via, folder = options.via, options.repo
    if via not in WAYS:
        return Place(rpc=_secret(_endpoint(via), options))
    gateways = tuple(map(check_url, options.gateways))[:MAX_GATEWAYS]
    if via == "gateway":
        if not gateways:
            raise NoSource(folder)
        return Place(gateways=gateways)
    ours = _is_ours(Path(folder))
    if via == "repo" or (via == "auto" and ours):
        if not ours:
            raise NoSource(folder)
        return Place(Path(folder), gateways=gateways if via == "auto" else ())
    for candidate in (folder, os.path.expanduser("~/.ipfs")) if options.usual else (folder,):
        endpoint = find_daemon(candidate)
        if endpoint is not None:
            own = via == "daemon" and _is_ours(Path(candidate))
            return Place(Path(candidate)) if own else Place(rpc=_secret(endpoint, options))
    if via == "daemon" or not gateways:
        raise NoSource(folder)
    return Place(gateways=gateways)


def _is_ours(folder: Path) -> bool:
    """Whether it has blocks in segments: a repository of Kubo has other folders."""
    return (folder / "config").is_file() and (folder / "meta" / "index").is_dir()


def _endpoint(text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except InvalidInput as exc:
        raise BadWay(text) from exc


def _secret(endpoint: Endpoint, options: Options) -> Endpoint:
    trusting = endpoint.trusting(options.authorities)
    return trusting.with_secret(options.auth) if options.auth else trusting


def known_gateways() -> list[str]:
    """URLs of $IPFS_GATEWAY, else of $IPFS_PATH/gateway, ~/.ipfs/gateway or /etc/ipfs/gateway: the places where ffmpeg,
    curl and ipfsspec look. Several are separated by commas, spaces or lines."""
    texts = [os.environ.get("IPFS_GATEWAY", "")]
    if folder := os.environ.get("IPFS_PATH"):
        texts.append(_content(os.path.join(folder, "gateway")))
    texts += [_content(os.path.expanduser("~/.ipfs/gateway")), _content("/etc/ipfs/gateway")]
    for text in texts:
        if found := text.replace(",", " ").split():
            return found
    return []


def _content(path: str) -> str:
    try:
        return read_plain(path, MAX_FILE).decode("utf-8", "replace")
    except OSError:
        return ""
