"""doctor: what keeps a node on this machine from working well. Looks, and changes nothing.

Each check is a generator of what it found; one that fails is a finding itself, and the others go on.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from cidery.client.address import Endpoint, find_daemon
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.machine import Checked
from cidery.core.diagnosis.attention import LITTLE_SPACE
from cidery.core.diagnosis.clock import ADVICE, clock_fault
from cidery.errors import CideryError, Unavailable
from cidery.multiformats.multiaddr import Multiaddr, SocketEndpoint
from cidery.repo.config import Config, read_config
from cidery.repo.config_file import read_raw
from cidery.repo.layout import RepoLayout
from cidery.version import __version__

LEAST_FILES = 4096
"""Open files that a node with some hundred peers and a large store may need."""
ANSWERS = 2.0
"""Seconds that a port or the name server has to answer."""
PROTOCOLS = ("ipfs", "ipns")
NAME = "bootstrap.libp2p.io"
"""Is asked of the name server, as the daemon does to find its first peers."""


class Problems(Unavailable):
    """The exit code of a machine that needs something done."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    def __str__(self) -> str:
        return f"{self.count} problem{'s' if self.count > 1 else ''} found; see the lines with !!"


async def doctor(context: Context, call: Call) -> AsyncIterator[Checked]:
    """Raises Problems at the end if there are any."""
    assert context.path is not None  # its definition says Repo.CONFIG
    config: Config | None = None
    problems = 0
    try:
        config = read_config(read_raw(context.config_file))
    except CideryError as exc:
        problems += 1
        yield problem("config", str(exc), "cidery init makes a repository; a copy of the config replaces a broken one")
    for about, check in _checks(context.path, config, offline=call.flag("offline")):
        try:
            for found in check():
                problems += found["State"] == "problem"
                yield found
        except OSError as exc:
            problems += 1
            yield problem(about, f"cannot be looked at: {exc.strerror or exc}", "")
    if problems:
        raise Problems(problems)


def _checks(
    path: Path, config: Config | None, *, offline: bool
) -> Iterator[tuple[str, Callable[[], Iterator[Checked]]]]:
    """What each is about, and the check."""
    yield "program", program
    if config is None:
        yield "clock", partial(clock, path)
        return
    yield "repository", partial(repository, path)
    yield "clock", partial(clock, path)
    yield "disk", partial(disk, path, config.storage_max)
    yield "open files", open_files
    yield "ports", partial(ports, path, config)
    if not offline:
        yield "name server", partial(name_server, config)
    yield "fsspec", who_answers_fsspec


def ok(about: str, text: str) -> Checked:
    return Checked(About=about, State="ok", Text=text, Advice="")


def note(about: str, text: str, advice: str = "") -> Checked:
    return Checked(About=about, State="note", Text=text, Advice=advice)


def problem(about: str, text: str, advice: str) -> Checked:
    return Checked(About=about, State="problem", Text=text, Advice=advice)


def program() -> Iterator[Checked]:
    yield ok("program", f"cidery {__version__}, Python {sys.version.split()[0]}, {sys.platform}")


def repository(path: Path) -> Iterator[Checked]:
    """Its format, and who may read the key in it."""
    layout = RepoLayout(path)
    try:
        layout.check()
    except CideryError as exc:
        yield problem("repository", str(exc), "")
        return
    yield ok("repository", str(path))
    mode = layout.config.stat().st_mode
    if mode & 0o077 and os.name == "posix":
        yield problem("private key", f"others can read {layout.config}", f"chmod 600 {layout.config}")
    if not os.access(path, os.W_OK):
        yield problem("repository", f"{path} cannot be written by this user", "run as its owner, or change the owner")


def clock(path: Path, now: Callable[[], float] = time.time) -> Iterator[Checked]:
    """Names expire by the clock, and certificates are refused by a wrong one."""
    here = now()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(here))
    fault = clock_fault(path, here)
    yield problem("clock", f"{shown} is {fault}", ADVICE) if fault else ok("clock", shown)


def disk(path: Path, wanted: int) -> Iterator[Checked]:
    """Room for the blocks that the config allows."""
    total, _, free = shutil.disk_usage(path)
    used = sum(file.stat().st_size for file in (path / "blocks").glob("*.car")) if (path / "blocks").is_dir() else 0
    shown = f"{free / 1e9:,.1f} of {total / 1e9:,.1f} GB free, {used / 1e9:,.1f} GB of blocks"
    if free < total * LITTLE_SPACE:
        yield problem("disk", shown, "make room: cidery repo gc, or move the repository")
    elif free + used < wanted:
        advice = f"lower Datastore.StorageMax, which is {wanted / 1e9:,.1f} GB"
        yield note("disk", shown, advice)
    else:
        yield ok("disk", shown)


def open_files() -> Iterator[Checked]:
    """The limit that cannot be raised by the process itself."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        yield problem("open files", f"at most {hard}", f"raise the hard limit to {LEAST_FILES} (LimitNOFILE=)")
    else:
        yield ok("open files", "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard:,}")


def ports(path: Path, config: Config) -> Iterator[Checked]:
    """Who listens where the node would."""
    daemon = _daemon(path)
    yield daemon
    for about, addresses in (("swarm", config.swarm), ("RPC", config.api), ("gateway", config.gateway)):
        yield from _ports_of(about, addresses, daemon["State"] == "ok")


def _daemon(path: Path) -> Checked:
    """Ok: it runs."""
    try:
        endpoint = find_daemon(str(path))
    except CideryError as exc:
        return problem("daemon", str(exc), f"remove {path / 'api'} if no daemon runs")
    if endpoint is None:
        return note("daemon", "does not run", "cidery daemon")
    if endpoint.path:
        return ok("daemon", f"listens at {endpoint.path}")
    found = _heard(endpoint) if endpoint.secure else asked(endpoint.host, endpoint.port)
    if found is None:
        advice = "nothing: the next daemon replaces the file"
        return note("daemon", f"does not run, though {path / 'api'} is there", advice)
    return ok("daemon", f"runs, {found}")


def _ports_of(about: str, addresses: Sequence[Multiaddr], ours: bool) -> Iterator[Checked]:
    for address in addresses:
        web = address.http_endpoint() if about == "RPC" else None
        where = address.socket_endpoint() if web is None else SocketEndpoint("TCP", web.host, web.port)
        if where is None or not where.port:
            continue
        host, port = where.host, where.port
        taken = _taken(host, port, socket.SOCK_STREAM if where.kind == "TCP" else socket.SOCK_DGRAM)
        if taken is None:
            yield ok(about, f"{address} is free")
        elif taken == errno.EADDRINUSE:
            here = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host
            who = asked(here, port) if where.kind == "TCP" else None
            if ours:
                yield ok(about, f"{address} is listened on")
            else:
                advice = f"stop it, or choose another port: cidery config --json Addresses... (now {port})"
                yield problem(about, f"{address} is taken by {who or 'another program'}", advice)
        else:
            yield problem(about, f"{address}: {os.strerror(taken)}", "change this address in the config")


def _taken(host: str, port: int, kind: socket.SocketKind) -> int | None:
    """The error of listening there; None: it would work."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as trial:
        if kind is socket.SOCK_STREAM:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            if kind is socket.SOCK_STREAM:
                trial.listen(1)
        except OSError as exc:
            return exc.errno or errno.EINVAL
    return None


def asked(host: str, port: int) -> str | None:
    """What the RPC or gateway at an address calls itself; None: it does not say."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWERS)
    try:
        connection.request("POST", "/api/v0/version")
        answer = connection.getresponse()
        said = json.loads(answer.read(4096))
        golang = str(said.get("Golang", ""))
        return f"{'cidery' if golang.startswith('python') else 'Kubo'} {str(said['Version'])[:40]}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError):
        return None
    finally:
        connection.close()


def _heard(endpoint: Endpoint) -> str | None:
    """As asked(), over TLS."""
    from cidery.client.blocking import call

    try:
        with call(endpoint, ["version"], []) as answer:
            said = next(answer.values())
    except (CideryError, StopIteration):
        return None
    return f"{'cidery' if str(said.get('Golang', '')).startswith('python') else 'Kubo'} {str(said.get('Version'))[:40]}"


def name_server(config: Config) -> Iterator[Checked]:
    """Whether names can be looked up, if the node needs any: the default way into the network is a name."""
    if config.names.resolvers == {} or not any("dnsaddr" in str(address) for address in config.bootstrap):
        yield ok("name server", "not asked: the config needs none to join the network")
        return
    answers: list[int] = []

    def look() -> None:
        try:
            answers.append(len(socket.getaddrinfo(NAME, None)))
        except OSError:
            answers.append(0)

    waiting = threading.Thread(target=look, daemon=True)  # the system's look-up cannot be interrupted
    waiting.start()
    waiting.join(ANSWERS)
    if answers and answers[0]:
        yield ok("name server", f"knows {NAME}")
    else:
        advice = "look at /etc/resolv.conf and the connection, or set DNS.Resolvers to a resolver over HTTPS"
        yield problem("name server", f"does not know {NAME}", advice)


def who_answers_fsspec() -> Iterator[Checked]:
    """fsspec takes the first package that claims a protocol, in an order that nobody chooses."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    if find_spec("fsspec") is None:
        said = "not installed: only data tools such as pandas need it, for ipfs:// URLs"
        yield note("fsspec", said, "if they should read them: pip install 'cidery[fs]'")
        return
    for protocol in PROTOCOLS:
        claims = [
            (point.dist.name if point.dist is not None else point.value)
            for point in entry_points(group="fsspec.specs", name=protocol)
        ]
        if len(claims) > 1:
            said = f"{protocol}:// is claimed by {', '.join(claims)}: the first one found answers"
            yield note("fsspec", said, "call cidery.fs.register() in the program, or uninstall the others")
        elif claims:
            yield ok("fsspec", f"{protocol}:// is answered by {claims[0]}")
