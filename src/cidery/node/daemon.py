"""The daemon: a node and its RPC, until a signal or ``shutdown``."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from cidery.commands.definition import Call
from cidery.core.api import Api
from cidery.core.keeping.budget import keeping_budget
from cidery.core.reached import how_reached
from cidery.core.resume import going_on
from cidery.errors import InvalidInput, Unavailable
from cidery.gateway.counters import GatewayCounters, budgets
from cidery.gateway.exposure import exposure, exposure_on_swarm
from cidery.gateway.worker_metrics import of_workers
from cidery.http.exposition import Metric, summed
from cidery.http.late_handler import Handler, made_when_asked
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.bandwidth_day import keeping_day
from cidery.node.build import Access, Instead, OpenedParts, opened_parts
from cidery.node.create import cid_profile_of_program, create_unless_there, given_config, split_profiles
from cidery.node.heap import tended_heap
from cidery.node.lock_wait import locked
from cidery.node.metrics import metrics_of
from cidery.node.official_page import official_page
from cidery.repo.config import Config
from cidery.repo.lock import ENDING, SERVING, STARTING, RepoLock
from cidery.rpc.certificate import certificate_for, sends_secrets_readable
from cidery.rpc.listen import listen
from cidery.tasks import end
from cidery.version import REPO_FORMAT, __version__

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may hold the interpreter while others wait: worker threads must not stall the event loop."""


class AlwaysEncrypted(InvalidInput):
    """Some setting relies on readable connections."""

    def __str__(self) -> str:
        return "connections are always encrypted; start without --disable-transport-encryption"


class StoppedEarly(Unavailable):
    """The daemon was told to stop while it waited for the repository."""


def run(path: Path, call: Call) -> int:
    """The command. Blocks until the daemon stops; prints the lines that scripts written for Kubo wait for."""
    if call.flag("disable-transport-encryption"):
        raise AlwaysEncrypted
    say("Initializing daemon...")
    say(f"Cidery version: {__version__}")
    say(f"Repo version: {REPO_FORMAT}")
    python = ".".join(str(part) for part in sys.version_info[:3])
    say(f"Python version: {python}")
    if call.flag("init") and not (path / "config").exists():
        profiles = split_profiles(call.text("init-profile"))
        given = given_config(path, call.text("init-config") or None)
        create_unless_there(path, profiles=profiles, cid_profile=cid_profile_of_program(), given=given)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.disable()  # until it has started: the other modules are imported on the way
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(path, call))
    except StoppedEarly:
        say("Shutting down...")
    finally:
        gc.enable()
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: about twice the throughput of sockets."""
    try:
        import uvloop
    except ImportError:
        return None  # not on Windows
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def say(line: str) -> None:
    """A line on standard output, flushed immediately: scripts wait for it."""
    print(line, flush=True)


def _opened(path: Path, call: Call, stopping: asyncio.Event) -> AbstractAsyncContextManager[OpenedParts]:
    """The repository, as the options say. Raises StoppedEarly, and as opened_parts()."""
    routing = "" if call.text("routing") == "default" else call.text("routing")
    pubsub, names = _given(call, "enable-pubsub-experiment"), _given(call, "enable-namesys-pubsub")
    instead = Instead(call.flag("lan"), routing, pubsub, names)
    online = not call.flag("offline")
    lock = partial(taken, stopping)
    return opened_parts(path, Access.WRITE, online=online, lasting=True, instead=instead, lock=lock)


async def taken(stopping: asyncio.Event, path: Path) -> RepoLock:
    """The lock, unless the daemon is to stop before others give it back. Raises RepoLocked, StoppedEarly."""
    taking, stop = asyncio.ensure_future(locked(path, phase=STARTING)), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([taking, stop], return_when=asyncio.FIRST_COMPLETED)
        if not taking.done():
            raise StoppedEarly
        return taking.result()
    finally:
        await end([taking, stop])


def _stop_by_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(name, stopping.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt instead
            break


async def _serve(path: Path, call: Call) -> None:
    stopping = asyncio.Event()
    _stop_by_signals(stopping)
    online, exposed = not call.flag("offline"), call.flag("expose-api")
    async with _opened(path, call, stopping) as parts:
        await parts.come_up()
        api = Api(parts)
        say(f"PeerID: {api.config.peer_id}")
        _say_swarm(api)
        config = api.config
        counters = GatewayCounters()

        def of_gateways() -> list[Metric]:
            return summed([counters.metrics(), of_workers(path), *(others() for others in api.other_metrics)])

        api.other_budgets.append(lambda: budgets(of_gateways(), config.serving.max_requests))
        metrics = metrics_of(api, [of_gateways])
        certificate = certificate_for(config.api_tls, config.api)
        rpc = listen(
            api,
            config.api,
            config.api_headers,
            path / "api",
            stopping.set,
            exposed=exposed,
            metrics=metrics,
            official=official_page(api),
            certificate=certificate,
            routing=made_when_asked(lambda: _routing(api)) if config.routing_api else None,
        )
        async with (
            keeping_day(api, path),
            keeping_budget(lambda: api.collector, api.config, collect=call.flag("enable-gc"), sleep=asyncio.sleep),
            going_on(api),
            rpc as addrs,
            _answering(parts),
            AsyncExitStack() as stack,
        ):
            for addr in addrs:
                say(f"RPC API server listening on {addr}")
            _warn(config, addrs, exposed=exposed)
            # a tenth of a start, during which calls are answered already
            gateway = await asyncio.to_thread(import_module, "cidery.node.public_gateway")
            public = await stack.enter_async_context(gateway.public_gateway(api, path, counters, certificate))
            if online:
                services = await asyncio.to_thread(import_module, "cidery.core.files_at_services")
                await stack.enter_async_context(services.keeping_files_at_services(api))
            for addr in public:
                say(f"Gateway server listening on {addr}")
            for line in exposure(public, fetches=online and not config.no_fetch):
                say(line)
            gc.enable()
            async with tended_heap():
                say("Daemon is ready")
                await stopping.wait()
            say("Shutting down...")


@asynccontextmanager
async def _answering(parts: OpenedParts) -> AsyncIterator[None]:
    """Inside, others that want the repository are told to call; afterwards, to wait for its lock."""
    assert parts.lock is not None  # it is open for writing
    parts.lock.enter(SERVING)
    try:
        yield
    finally:
        parts.lock.enter(ENDING)


def _warn(config: Config, addrs: list[Multiaddr], *, exposed: bool) -> None:
    """Of what others could do to the RPC."""
    if exposed and not config.authorizations:
        print("--expose-api: everybody that reaches the RPC has full power over this node", file=sys.stderr)
    for addr in filter(sends_secrets_readable, addrs if config.authorizations else ()):
        print(f"{addr}: secrets are sent to it readable; see API.TLS, or listen on 127.0.0.1", file=sys.stderr)


def _routing(api: Api) -> Handler:
    from cidery.gateway.routing_v1 import RoutingServer

    return RoutingServer(api).handle


def _given(call: Call, flag: str) -> bool | None:
    return call.flag(flag) if flag in call.given else None


def _say_swarm(api: Api) -> None:
    if api.network is None:
        say("Swarm not listening, running in offline mode.")
        return
    addrs = api.network.listen_addrs()
    for addr in addrs:
        say(f"Swarm listening on {addr}")
    if api.config.serving.on_swarm_port:
        for line in exposure_on_swarm([Multiaddr.parse(addr) for addr in addrs]):
            say(line)
    say(how_reached(api.network.reachability(), api.network.relaying())[0])
