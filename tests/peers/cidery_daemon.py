"""Real Cidery nodes: the installed command in processes of its own, on repositories with the profile `test`."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from peers.line_peer import PeerFailed

CLI = [sys.executable, "-m", "cidery"]
COMMAND_SECONDS = 100.0
END_SECONDS = 10.0


class CideryDaemon:
    """A daemon on a fresh repository; ``run()`` talks to it through the command line."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, str] | None = None,
        swarm_key: str = "",
        within: Sequence[str] = (),
        profile: str = "test",
        options: Sequence[str] = (),
    ) -> None:
        """``config``: dotted key -> JSON value, set before the start. ``swarm_key``: the content of that file.

        ``within``: goes in front of every command, as that of a host of the little Internet. ``profile`` "": the public
        defaults, on such hosts only. ``options``: of the daemon.
        """
        assert profile or within, "with the defaults it would send to the Internet"
        folder.mkdir(parents=True)
        self._cli = [*within, *CLI]
        self.repo = folder / "repo"
        self.log = folder / "daemon.log"
        self.run("init", *(["--profile", profile] if profile else []))
        for key, value in (config or {}).items():
            self.run("config", "--json", key, value)
        if swarm_key:
            (self.repo / "swarm.key").write_text(swarm_key)
        self.start(*options)

    def start(self, *options: str) -> None:
        """Run the daemon; also after close(), on the same repository."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._cli, *os.environ.get("CIDERY_TEST_FLAGS", "").split(), "daemon", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env(),
                start_new_session=True,
            )
        self.peer_id = ""
        self.said: list[str] = []
        """Its lines up to the last one of its start."""
        assert self._process.stdout is not None  # Popen was asked for a pipe
        for line in self._process.stdout:
            self.said.append(line)
            if match := re.match(r"PeerID: (\S+)", line):
                self.peer_id = match[1]
            if line.startswith("Daemon is ready"):
                break
        else:
            self.close()
            raise PeerFailed(f"the daemon did not start: {self.log.read_text()[-2000:]}")
        self.addr = self.run("swarm", "addrs", "local", "--id").splitlines()[0].strip()
        """/ip4/127.0.0.1/tcp/PORT/p2p/ID"""

    def _env(self) -> dict[str, str]:
        return {**os.environ, "CIDERY_PATH": str(self.repo)}

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """(arguments, environment) of a command line, for who runs it by himself."""
        return [*self._cli, *words], self._env()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send the daemon a signal, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def run(self, *words: str, cwd: Path | None = None, seconds: float = COMMAND_SECONDS) -> str:
        """One command; its standard output. Raises PeerFailed for another exit code than 0."""
        done = subprocess.run(
            [*self._cli, *words], env=self._env(), cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode:
            raise PeerFailed(f"cidery {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def add(self, path: Path) -> str:
        """The CID of a file or folder, hidden files included."""
        return self.run("add", "-r", "-H", "-Q", str(path)).strip()

    def get(self, cid: str, target: Path) -> None:
        """Save what ``cid`` names as ``target``."""
        self.run("get", "--output", str(target), cid)

    def connect(self, addr: str) -> None:
        self.run("swarm", "connect", addr)

    def close(self) -> None:
        """Stop as a user would, by SIGTERM; kill what does not heed it. Idempotent."""
        assert self._process.stdout is not None  # Popen was asked for a pipe
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
