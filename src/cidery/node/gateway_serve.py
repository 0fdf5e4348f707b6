"""``gateway serve``: the parent of the gateway's workers. It binds the addresses, starts workers, and replaces them.

The parent holds a listening socket for each worker (SO_REUSEPORT: the system deals connections out to them), so that
what was dealt to a worker that died waits for the next one in its place. It has no event loop, and opens no store.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.errors import CideryError, Unavailable
from cidery.gateway.exposure import exposure
from cidery.gateway.listen import url_of
from cidery.gateway.shared_counts import SharedCounts
from cidery.gateway.worker_metrics import Files, NoRoom
from cidery.http.exposition import PATH as METRICS_PATH
from cidery.http.tls import Certificate
from cidery.node.daemon import SWITCH_INTERVAL, loop_factory
from cidery.node.gateway_metrics import may_have_any_host
from cidery.node.gateway_sockets import METRICS, Listening, addresses, bound_sockets, metrics_addresses
from cidery.node.gateway_worker import GRACE, Work, serve
from cidery.node.respawn import Respawn
from cidery.repo.config import parse_config
from cidery.repo.config_file import read_raw
from cidery.repo.layout import RepoLayout

MAX_WORKERS = 256
"""Most workers: more than any machine has cores for."""
KILL_AFTER = GRACE + 5.0
"""Seconds after SIGTERM until workers that still run are killed."""
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
log = logging.getLogger("cidery.node")


class WorkerFailed(Unavailable):
    """A worker ended before it served anything; it has said why."""

    def __str__(self) -> str:
        return "a worker of the gateway could not start"


def run(path: Path, call: Call) -> int:
    """The command. Blocks until SIGTERM or SIGINT; returns the exit code. Raises CideryError."""
    given = call.number_or_none("workers")
    count = (os.cpu_count() or 1) if given is None else given
    if not 1 <= count <= MAX_WORKERS:
        raise BadCall(f"option 'workers' takes a number from 1 to {MAX_WORKERS}")
    if not hasattr(os, "fork"):
        raise BadCall("this system has no fork(); use the daemon's own gateway: Addresses.Gateway")
    RepoLayout(path).check()
    config = parse_config(read_raw(RepoLayout(path).config))
    tls = _certificate_files(call) or config.serving.tls
    certificate = Certificate(*tls) if tls is not None else None  # its error comes before any worker
    addrs = addresses(call.texts("listen"), call.texts("unix"), config.gateway)
    with (
        bound_sockets(addrs, count) as listening,
        bound_sockets(metrics_addresses(call.text("metrics")), 1, METRICS) as measured,
        _Parent(path, listening, measured, certificate, count) as parent,
    ):
        if parent.start():
            _say(listening, measured, count, fetches=not config.no_fetch)
        return parent.keep()


def _say(listening: Listening, measured: Listening, count: int, *, fetches: bool) -> None:
    """What runs now; scripts wait for the last line."""
    for addr in listening.addrs:
        print(f"Gateway server listening on {addr}", flush=True)
    for addr in measured.addrs:
        where = addr if addr.tcp_endpoint() is None else f"{url_of(addr)}{METRICS_PATH}"
        print(f"Metrics of the workers at {where}", flush=True)
    for line in exposure(listening.addrs, fetches=fetches):
        print(line, flush=True)
    print(f"{count} {'worker is' if count == 1 else 'workers are'} ready", flush=True)


def _certificate_files(call: Call) -> tuple[str, str] | None:
    """Raises BadCall for one without the other."""
    cert, key = call.text("tls-cert"), call.text("tls-key")
    if bool(cert) != bool(key):
        raise BadCall("--tls-cert and --tls-key are given together")
    return (os.path.abspath(cert), os.path.abspath(key)) if cert else None


class _Place:
    """The place of one worker, which has its own sockets."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.respawn = Respawn()
        self.pid = 0
        """0: none runs."""
        self.link: socket.socket | None = None
        self.ready = False
        self.began = 0.0
        self.due = 0.0
        """When the next one is to be started."""


class _Parent:
    """Runs until it is told to end."""

    def __init__(
        self, repo: Path, listening: Listening, measured: Listening, certificate: Certificate | None, count: int
    ) -> None:
        """``measured``: where the metrics are asked for."""
        self._repo = repo
        self._certificate = certificate
        self._listening = listening
        self._measured = measured
        self._places = [_Place(number) for number in range(count)]
        self._counts = SharedCounts(count)
        self._metrics = Files(repo, os.getpid())
        self._counted = True
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._ending: float | None = None
        """When what still runs is killed; None: nothing is to end."""

    def __enter__(self) -> _Parent:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._before = {number: signal.signal(number, _heard) for number in HEARD}
        self._waker_before = signal.set_wakeup_fd(self._waker.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        self._kill(signal.SIGKILL)  # none runs, unless this ends by an error
        signal.set_wakeup_fd(self._waker_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._selector.close()
        self._wake.close()
        self._waker.close()
        self._metrics.remove()

    def start(self) -> bool:
        """Start the workers, and wait until all accept connections; False: a signal says to end.

        Raises WorkerFailed, NoRoom.
        """
        try:
            self._metrics.make_room()
        except NoRoom as exc:
            if self._measured.addrs:
                raise
            print(f"{exc}; they are not counted", file=sys.stderr, flush=True)
            self._counted = False  # on a file system that cannot be written, say
        gc.collect()
        gc.freeze()  # pages that no worker writes to are shared by all
        for place in self._places:
            self._fork(place)
        while not all(place.ready for place in self._places) and self._ending is None:
            self._turn(None)
            if not all(place.pid for place in self._places):
                if self._ending is not None:
                    break
                self._kill(signal.SIGTERM)
                raise WorkerFailed
        return self._ending is None

    def keep(self) -> int:
        """Replace workers until a signal says to end, and then wait for them."""
        while self._ending is None or any(place.pid for place in self._places):
            now = time.monotonic()
            due = [place.due for place in self._places if not place.pid] if self._ending is None else [self._ending]
            self._turn(max(0.0, min(due) - now) if due else None)
            now = time.monotonic()
            if self._ending is None:
                for place in self._places:
                    if not place.pid and place.due <= now:
                        self._fork(place)
            elif now >= self._ending:
                self._kill(signal.SIGKILL)
                self._ending = now + KILL_AFTER
        return 0

    def _turn(self, wait: float | None) -> None:
        for key, _ in self._selector.select(wait):
            if key.data is None:
                self._listen_to(self._wake.recv(4096))
            else:
                self._hear(key.data)
        self._reap()

    def _listen_to(self, signals: bytes) -> None:
        for number in signals:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._end()
            elif number == signal.SIGHUP:
                self._kill(signal.SIGHUP)

    def _end(self) -> None:
        """No new connections: from now on they are refused. The second time, workers end at once."""
        if self._ending is not None:
            self._kill(signal.SIGKILL)
            return
        print("Shutting down...", flush=True)
        self._ending = time.monotonic() + KILL_AFTER
        self._listening.close()
        self._kill(signal.SIGTERM)

    def _hear(self, place: _Place) -> None:
        assert place.link is not None  # it was registered
        try:
            place.ready = bool(place.link.recv(1)) or place.ready
        except ConnectionError:
            log.debug("worker %d closed its end", place.number)
        self._selector.unregister(place.link)  # its end is SIGCHLD's to tell

    def _reap(self) -> None:
        for place in self._places:
            if not place.pid or os.waitpid(place.pid, os.WNOHANG)[0] == 0:
                continue
            pid, place.pid, place.ready = place.pid, 0, False
            self._counts.forget(place.number)
            if place.link is not None:
                if place.link in self._selector.get_map():
                    self._selector.unregister(place.link)
                place.link.close()
                place.link = None
            if self._ending is None:
                now = time.monotonic()
                place.due = place.respawn.ended(place.began, now)
                print(f"worker {pid} ended; the next starts in {place.due - now:.1f} s", file=sys.stderr, flush=True)

    def _kill(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)

    def _fork(self, place: _Place) -> None:
        link, theirs = socket.socketpair()
        if self._certificate is not None:
            # one that cannot be used any more leaves the worker the last one that could
            self._certificate.renew_if_changed()
        sys.stdout.flush()
        with _blocked():
            pid = os.fork()
            if pid == 0:
                link.close()
                self._become(place, theirs)
        theirs.close()
        place.pid, place.link, place.began = pid, link, time.monotonic()
        self._selector.register(link, selectors.EVENT_READ, place)

    def _become(self, place: _Place, theirs: socket.socket) -> NoReturn:
        """In the child: drop what is the parent's, and work."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HEARD:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._selector.close()
            for end in (self._wake, self._waker, *(other.link for other in self._places)):
                if end is not None:
                    end.close()
            sockets, measured = self._listening.of(place.number), self._measured.of(place.number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
            work = Work(
                self._repo,
                sockets,
                measured,
                may_have_any_host(self._measured.addrs),
                theirs,
                self._certificate,
                place.number,
                self._counts,
                self._metrics.of(place.number) if self._counted else None,
            )
            code = _work(work)
        except CideryError as exc:
            print(f"Error: {exc}", file=sys.stderr, flush=True)
        except BaseException:  # noqa: BLE001 - nothing may pass: above is the parent's stack
            log.exception("a worker of the gateway failed")
        finally:
            os._exit(code)


def _work(work: Work) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(work))
    return 0


def _heard(number: int, frame: object) -> None:
    """The wake-up descriptor tells the parent."""


@contextmanager
def _blocked() -> Iterator[None]:
    """Without signals: a child must not hear one by the parent's descriptor."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
