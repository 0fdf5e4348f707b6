"""A peer in a process of its own that takes one JSON array a line and answers one JSON object a line."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

START_SECONDS = 60.0
"""Longest start: a cold page cache and 90 MB of library."""
ANSWER_SECONDS = 100.0
"""Longest command: 64 MiB at less than a MiB a second would already be a fault."""
END_SECONDS = 5.0
"""Given to a peer to end by itself before it is killed."""


class PeerFailed(AssertionError):
    """A peer ended, said nothing in time, or reported an error; shows the end of its log."""


class LinePeer:
    """Started by its constructor; ``close()`` always leaves no process behind."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env={**os.environ, **(env or {})},
                cwd=log.parent,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            ready = self._next(START_SECONDS)
        except PeerFailed:
            self.close()
            raise
        self.ready = ready
        """What it said first."""
        self.peer_id: str = ready.get("peerId", "")
        self.addr: str = next(iter(ready.get("addrs", ())), "")
        """An address of the form /ip4/127.0.0.1/tcp/PORT/p2p/ID; "" of one that is no peer."""

    def _read(self) -> None:
        assert self._process.stdout is not None  # Popen was asked for a pipe
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise PeerFailed(f"no answer within {seconds:.0f} s{self._tail()}") from None
        if line is None:
            raise PeerFailed(f"the peer ended with code {self._process.wait()}{self._tail()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _tail(self) -> str:
        return "\n" + self.log.read_text(errors="replace")[-2000:]

    def ask(self, *words: object, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Run a command; its answer. Raises PeerFailed."""
        assert self._process.stdin is not None  # Popen was asked for a pipe
        self._process.stdin.write(json.dumps(words) + "\n")
        answer = self._next(seconds)
        if not answer["ok"]:
            raise PeerFailed(f"{words}: {answer}{self._tail()}")
        return answer

    def kill(self) -> None:
        """End it without a farewell; close() follows."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, by force if need be. Idempotent."""
        assert self._process.stdin is not None and self._process.stdout is not None  # Popen was asked for pipes
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
