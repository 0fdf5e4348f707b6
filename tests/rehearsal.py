"""A page of the documents, done step by step as its reader would: in real shells with real nodes, on this machine.

A block ``console`` has commands after ``$``, and below each what it prints, where ``...`` stands for anything. Its
``title`` is the machine it is typed on: a shell with a home directory of its own. ``scp`` copies between these homes. A
block ``python`` is a program that is run; with a title it is a file that is written. One that is titled ``cell`` is a
cell of a notebook, and a block ``text`` titled ``output`` is what the cell before it prints: Jupyter runs all cells of
a page together, at its end. Other blocks are not run.

``CID``, ``ADDRESS`` and ``NAME`` in a command are those that were printed last (a CID, by a command that makes one),
and ports are those of the machine's programs. Every repository is made with the profile ``test``, whatever the page
says: no node of a page leaves this machine.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SEEN = {
    "CID": r"\bbaf[a-z2-7]{20,}\b|\bQm[1-9A-HJ-NP-Za-km-z]{44}\b",
    "ADDRESS": r"/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+",
    "NAME": r"\bk51\w+\b",
}
"""What placeholders stand for."""
GIVES_CID = r"\b(cidery|ipfs) (--[a-z-]+ \S+ )*(add|files stat|name publish)"
"""Commands whose last CID a reader goes on with; listings show others."""
PORTS = {
    5001: r"RPC API server listening on /ip4/127\.0\.0\.1/tcp/(\d+)",
    8080: r"Gateway server .*/tcp/(\d+)",
    8000: r"Uvicorn running on http://127\.0\.0\.1:(\d+)",
}
"""The ports that pages show, and where a program says which it has."""
CHOSEN_PORT = 8081
"""The port that pages choose themselves; a free one is put in its place, on all machines of a page the same."""
READY = ("ready", "running on")
"""In the line with which a program in the background says that it can be used."""
AWAITED = r"curl |cidery (pin status|denylist check)\b"
"""Commands that only look. What they show may take a moment: they are repeated until it is there."""
AWAIT_SECONDS = 30.0
LIMIT = 100.0
"""Seconds for a page; far beyond what one takes."""
SHIM = """#!/bin/sh
case "$1 $2" in "daemon --init"* | "daemon --lan"* | "config profile"*) echo "not in a page" >&2; exit 1;; esac
if [ "$1" = init ]; then
    shift
    profile=test
    if [ "$1" = --profile ]; then profile="$2,test"; shift 2; fi
    exec {python} -m cidery init --profile "$profile" "$@"
fi
exec {python} -m cidery "$@"
"""
"""The command; the profile ``test`` comes last, so that no other one opens the node again."""
SCP = """#!/bin/sh
case "$1" in *:*) from="{folder}/${{1%%:*}}/${{1#*:}}";; *) from="$1";; esac
case "$2" in *:*) to="{folder}/${{2%%:*}}/${{2#*:}}";; *) to="$2";; esac
exec cp "$from" "$to"
"""
BACKGROUND = """exec {{said}}< <(exec {command} 2>&1)
while read -r line <&$said; do echo "$line"; case "$line" in {ready}) break;; esac; done; [ -n "$line" ]"""


@dataclass(frozen=True)
class Step:
    """A command and what it should print; "" if the page does not say."""

    command: str
    output: str


def steps(text: str) -> list[Step]:
    """The commands of a console block."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif line.startswith("> "):
            found[-1][0] += "\n" + line[2:]
        else:
            found[-1][1] += line + "\n"
    return [Step(command, output) for command, output in found]


def matches(output: str, shown: str) -> bool:
    """Whether a command printed what the page shows."""
    pattern = re.escape(shown.strip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


@dataclass
class Machine:
    """A shell with a home directory."""

    home: Path
    shell: subprocess.Popen[str]
    ports: dict[int, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """What a command prints on both its outputs. Fails if it does."""
        if command.endswith(" &"):
            ready = " | ".join(f'*"{words}"*' for words in READY)
            command = BACKGROUND.format(command=command.removesuffix(" &"), ready=ready)
        to, said = self.shell.stdin, self.shell.stdout
        assert to is not None and said is not None
        to.write(f'{command}\ncode=$?; echo; echo "@@$code"\n')
        to.flush()
        output = _until_mark(said)
        for port, pattern in PORTS.items():
            if match := re.search(pattern, output[0]):
                self.ports[port] = match[1]
        assert output[1] == "0", f"{command}\n{output[0]}"
        return output[0]


def _until_mark(said: IO[str]) -> tuple[str, str]:
    lines = []
    for line in said:
        if line.startswith("@@"):
            return "".join(lines), line[2:].strip()
        lines.append(line)
    raise AssertionError("the shell has ended: " + "".join(lines))


def _free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


class Rehearsal:
    """The machines of one page; ``with``, so that nothing is left running."""

    def __init__(self, folder: Path, warnings: str = "error") -> None:
        """``warnings``: what Python does at one."""
        self._folder, self._warnings = folder, warnings
        self._machines: dict[str, Machine] = {}
        self._chosen = _free_port()
        self._seen: dict[str, str] = {}
        self._watch = threading.Timer(LIMIT, self._kill)
        self._cells: list[tuple[str, str | None]] = []
        (folder / "bin").mkdir()
        for name, text in (("cidery", SHIM), ("scp", SCP)):
            shim = folder / "bin" / name
            shim.write_text(text.format(python=sys.executable, folder=folder))
            shim.chmod(0o755)

    def __enter__(self) -> "Rehearsal":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self._kill()
        for machine in self._machines.values():
            machine.shell.communicate()

    def _kill(self) -> None:
        for machine in self._machines.values():
            os.killpg(machine.shell.pid, signal.SIGKILL)

    def machine(self, name: str = "here") -> Machine:
        """A machine by its name; made when it is first asked for."""
        if name not in self._machines:
            home = self._folder / name.replace(" ", "-")
            home.mkdir()
            names = ("CIDERY_PATH", "CIDERY_API_CA", "IPFS_PATH", "IPFS_GATEWAY", "COLUMNS")
            env = {key: value for key, value in os.environ.items() if key not in names}
            path = f"{self._folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
            shell = subprocess.Popen(
                ["bash", "--norc", "--noprofile"],
                cwd=home, text=True, start_new_session=True,
                env={**env, "HOME": str(home), "PATH": path, "UVICORN_PORT": "0"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            self._machines[name] = Machine(home, shell, {CHOSEN_PORT: self._chosen})
        return self._machines[name]

    def follow(self, page: str) -> None:
        """Do what a page says, and compare what is printed."""
        for language, title, text in BLOCK.findall(page):
            if language == "console":
                for step in steps(text):
                    self._step(title or "here", step)
            elif language == "python" and title == "cell":
                self._cells.append((self._filled(self.machine(), text), None))
            elif language == "text" and title == "output":
                self._cells[-1] = (self._cells[-1][0], text)
            elif language == "python" and title:
                (self.machine().home / title).write_text(self._filled(self.machine(), text))
            elif language == "python":
                self._program(text)
        if self._cells:
            self._notebook()

    def _step(self, name: str, step: Step) -> None:
        shown = self._filled(self.machine(name), step.output or "...")
        output = self._run(name, step.command)
        end = time.monotonic() + AWAIT_SECONDS
        while re.match(AWAITED, step.command) and not matches(output, shown) and time.monotonic() < end:
            output = self._run(name, f"sleep 0.2; {step.command}")
        assert matches(output, shown), f"$ {step.command}\n{output}\nis not what the page shows:\n{shown}"

    def _notebook(self) -> None:
        """Run the cells of the page in Jupyter, and compare what they print."""
        cells = [
            {"cell_type": "code", "id": f"cell-{number}", "source": source, "metadata": {}, "outputs": [],
             "execution_count": None}
            for number, (source, _) in enumerate(self._cells)
        ]  # fmt: skip
        file = self.machine().home / "page.ipynb"
        file.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        self._run("here", "jupyter execute --inplace --kernel_name=python3 page.ipynb")
        for cell, (source, shown) in zip(json.loads(file.read_text())["cells"], self._cells, strict=True):
            output = "".join("".join(one.get("text") or one["data"]["text/plain"]) for one in cell["outputs"])
            assert shown is None or matches(output, shown), f"{source}\n{output}\nis not what the page shows:\n{shown}"

    def _program(self, text: str) -> None:
        machine = self.machine()
        for repo in re.findall(r"cidery\.(?:Node|open)\(\"([^\"]+)\"", text):
            if not (machine.home / repo).exists():
                machine.run(f"cidery --repo-dir {repo} init --profile test")
        assert (
            "profile=" in text or not re.search(r"cidery\.(Node|open)\(\)", text) or (machine.home / ".cidery").exists()
        )
        (machine.home / "program.py").write_text(self._filled(machine, text))
        self._run("here", f"python -W {self._warnings} program.py")

    def _run(self, name: str, command: str) -> str:
        machine = self.machine(name)
        output = machine.run(self._filled(machine, command))
        for placeholder, pattern in SEEN.items():
            if placeholder == "CID" and not re.search(GIVES_CID, command):
                continue
            if found := re.findall(pattern, output):
                self._seen[placeholder] = found[-1]
        return output

    def _filled(self, machine: Machine, text: str) -> str:
        for placeholder, value in self._seen.items():
            text = re.sub(rf"(?<![\w$]){placeholder}(?!\w)", value, text)
        for port, value in machine.ports.items():
            text = re.sub(rf"(?<=[:/]){port}\b", value, text)
        return text
