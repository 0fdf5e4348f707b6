"""On a terminal every network command says within a second what it is doing, and goes on after a stall."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.trees import digest, write_file

DHT = {"Routing.Type": '"dht"'}
TRIES = 3
"""Runs of which one must be fast enough: other tests share the machine."""
WAIT = 60.0


class Terminal:
    """A command line whose standard error is a terminal."""

    def __init__(self, node: CideryDaemon, *words: str, stdout: IO[bytes] | int = subprocess.PIPE) -> None:
        line, environment = node.command(*words)
        self._master, slave = pty.openpty()
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            line, env={**environment, "COLUMNS": "120"}, stdin=subprocess.DEVNULL, stdout=stdout, stderr=slave
        )
        os.close(slave)
        self.seen = ""

    def until(self, pattern: str, seconds: float = WAIT) -> float:
        """Seconds from the start until the terminal has shown ``pattern``. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was not shown: {self.seen[-2000:]!r}"
            if select.select([self._master], [], [], left)[0]:
                self.seen += os.read(self._master, 65536).decode(errors="replace")
        return time.monotonic() - self._began

    def end(self) -> bytes:
        """What it wrote, when it has ended well."""
        while True:  # a terminal that nobody reads fills up
            try:
                if not os.read(self._master, 65536):
                    break
            except OSError:
                break  # Linux says so when the other end is closed
        data, _ = self.process.communicate(timeout=WAIT)
        assert self.process.returncode == 0
        return data or b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._master)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CideryDaemon, CideryDaemon]]:
    """An owner and a reader that are connected."""
    folder = tmp_path_factory.mktemp("stages")
    with CideryDaemon(folder / "owner", DHT) as owner, CideryDaemon(folder / "reader", DHT) as reader:
        reader.connect(owner.addr)
        deadline = time.monotonic() + 20.0
        while owner.peer_id not in reader.run("stats", "dht", "lan"):
            assert time.monotonic() < deadline, "the DHT did not learn of the owner"
        yield owner, reader


@pytest.fixture
def frozen(pair: tuple[CideryDaemon, CideryDaemon]) -> Iterator[CideryDaemon]:
    """The reader, while the owner does not answer."""
    pair[0].signal(signal.SIGSTOP)
    try:
        yield pair[1]
    finally:
        pair[0].signal(signal.SIGCONT)


ABSENT = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
NAME = "k51qzi5uqu5dhksqszxlt3v3rc0fq5eku8wijgj5aykt7xicgfv2eowgmuw7dp"
STAGE = "asking|finding|dialling|stalled|waiting"


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        (f"cat {ABSENT}", STAGE),
        (f"get {ABSENT} -o /dev/null/nowhere", f"looking at what is here already|{STAGE}"),
        (f"ls {ABSENT}", STAGE),
        (f"refs -r {ABSENT}", STAGE),
        (f"pin add {ABSENT}", STAGE),
        (f"pin add --progress {ABSENT}", STAGE),
        (f"dag get {ABSENT}", STAGE),
        (f"dag export {ABSENT}", STAGE),
        (f"block get {ABSENT}", STAGE),
        (f"resolve /ipfs/{ABSENT}/a", STAGE),
        (f"name resolve --nocache {NAME}", "asking the routers for its record"),
        (f"cat /ipns/{NAME}", "resolving the name"),
        (f"routing findprovs {ABSENT}", "asking the routers who has it"),
        ("routing findpeer 12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf", "asking the routers where it is"),
        (f"routing get /ipns/{NAME}", "asking the routers for it"),
        (f"why {ABSENT}", "asking peers and routers"),
    ],
)
def test_a_command_that_waits_says_so_within_a_second(frozen: CideryDaemon, line: str, stage: str) -> None:
    took = []
    while len(took) < TRIES and min(took, default=9.0) >= 1.0:
        with Terminal(frozen, *line.split()) as terminal:
            took.append(terminal.until(stage, 10.0))
    assert min(took) < 1.0


def test_a_dial_says_whom(pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "other") as other:
        other.signal(signal.SIGSTOP)
        try:
            with Terminal(pair[1], "swarm", "connect", other.addr) as terminal:
                terminal.until("dialling /ip4/127.0.0.1/tcp/")
                other.signal(signal.SIGCONT)
                assert b"success" in terminal.end()
        finally:
            other.signal(signal.SIGCONT)


def test_a_transfer_goes_on_after_a_stall(pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path) -> None:
    owner, reader = pair
    write_file(tmp_path / "f", 120_000_000)
    cid = owner.add(tmp_path / "f")
    target = tmp_path / "got"
    with target.open("wb") as out, Terminal(reader, "cat", cid, stdout=out) as terminal:
        while target.stat().st_size < 10_000_000:
            assert terminal.process.poll() is None
        owner.signal(signal.SIGSTOP)
        try:
            terminal.until(f"stalled, waiting for ...{owner.peer_id[-8:]}")
            assert target.stat().st_size < 120_000_000
        finally:
            owner.signal(signal.SIGCONT)
        terminal.end()
    assert digest(target) == digest(tmp_path / "f")
