"""Real workers of `cidery gateway serve`: the installed command on the repository of a daemon, or of none."""

import http.client
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from peers.cidery_daemon import CLI
from peers.line_peer import PeerFailed

END_SECONDS = 60.0


class GatewayWorkers:
    """The parent process and its workers; ``port`` is where they listen."""

    def __init__(self, repo: Path, log: Path, *options: str, workers: int = 2) -> None:
        self.log = log
        words = [*CLI, "gateway", "serve", f"--workers={workers}", "--listen=127.0.0.1:0", *options]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "CIDERY_PATH": str(repo)},
                start_new_session=True,
            )
        self.port = 0
        assert self.process.stdout is not None  # Popen was asked for a pipe
        for line in self.process.stdout:
            if match := re.search(r"/ip4/127.0.0.1/tcp/(\d+)", line):
                self.port = int(match[1])
            if "ready" in line:
                break
        else:
            self.close()
            raise PeerFailed(f"the workers did not start: {log.read_text()[-2000:]}")

    def pids(self) -> list[int]:
        """Of the workers that run now."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(line) for line in found.stdout.split()]

    def get(self, target: str, **headers: str) -> tuple[int, bytes]:
        """Status and body, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def close(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code. Idempotent."""
        assert self.process.stdout is not None  # Popen was asked for a pipe
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(END_SECONDS)
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
