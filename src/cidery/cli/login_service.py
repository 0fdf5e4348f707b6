"""`service`: has the system start the daemon at login, by systemd, launchd or the task scheduler of Windows."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from cidery.cli.ui import LOG_FILE, make, running
from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.errors import Unavailable

NAME = "cidery"
LABEL = "io.cidery.daemon"
"""Of the agent of launchd, and its file."""
RESTART_SECONDS = 10
"""Between the end of a daemon by an error and its next start."""
STOP_SECONDS = 60
"""For a daemon to end, before it is killed."""


class NotTaken(Unavailable):
    """The file is written, and the system does not take it."""

    def __init__(self, path: str, command: str, reason: str) -> None:
        super().__init__(path, command, reason)
        self.path = path
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"`{self.command}` failed: {self.reason}; {self.path} is written, and works once that command does"


class Service(NamedTuple):
    """How one system starts a program at login."""

    path: Path
    """The file that tells it."""
    content: bytes
    start: tuple[tuple[str, ...], ...]
    """Commands that make it known and start it..."""
    later: tuple[tuple[str, ...], ...]
    """... make it known without starting it..."""
    state: tuple[str, ...]
    """... succeed while it is known or runs..."""
    stop: tuple[tuple[str, ...], ...]
    """... and end it for good, before the file is removed."""
    forget: tuple[str, ...] = ()
    """Has to come before ``start`` where one is known already; fails where none is."""


async def run_local(repo: Path, call: Call) -> int:
    """Blocks. Raises NotTaken, BadCall."""
    service = service_here(repo)
    match call.command.path[-1]:
        case "install":
            return _install(service, repo)
        case "remove":
            return _remove(service)
        case _:
            return _state(service, repo)


def service_here(repo: Path) -> Service:
    """For this system. Raises BadCall for one that has none of the three."""
    words = (sys.executable, "-m", "cidery", "--repo-dir", str(repo.absolute()), "daemon")
    if sys.platform == "darwin":
        return launchd(words, Path.home(), os.getuid(), repo.absolute() / LOG_FILE)
    if os.name == "nt":
        user = "\\".join(filter(None, (os.environ.get("USERDOMAIN"), os.environ.get("USERNAME"))))
        return windows(words, Path(os.environ.get("APPDATA") or Path.home()), user)
    if not sys.platform.startswith("linux"):
        raise BadCall(f"there is no service for {sys.platform}; start at login: {' '.join(words)}")
    return systemd(words, Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"))


def systemd(words: tuple[str, ...], config: Path) -> Service:
    """A user unit. https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"""
    quoted = " ".join(
        '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'
        for word in words
    )
    text = (
        "[Unit]\nDescription=Cidery, an IPFS node\n\n"
        f"[Service]\nExecStart={quoted}\nRestart=on-failure\nRestartSec={RESTART_SECONDS}\n"
        f"TimeoutStopSec={STOP_SECONDS}\n\n[Install]\nWantedBy=default.target\n"
    )
    unit = f"{NAME}.service"
    user = ("systemctl", "--user")
    return Service(
        config / "systemd" / "user" / unit,
        text.encode(),
        ((*user, "daemon-reload"), (*user, "enable", "--now", unit)),
        ((*user, "daemon-reload"), (*user, "enable", unit)),
        (*user, "is-active", "--quiet", unit),
        ((*user, "disable", "--now", unit),),
    )


def launchd(words: tuple[str, ...], home: Path, uid: int, log: Path) -> Service:
    """An agent. https://developer.apple.com/library/archive/documentation/MacOSX/Conceptual/BPSystemStartup/"""
    content = plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(words),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_SECONDS,
            "ExitTimeOut": STOP_SECONDS,
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )
    path, domain = home / "Library" / "LaunchAgents" / f"{LABEL}.plist", f"gui/{uid}"
    start = ("launchctl", "bootstrap", domain, str(path))
    state, stop = ("launchctl", "print", f"{domain}/{LABEL}"), ("launchctl", "bootout", f"{domain}/{LABEL}")
    # what is loaded stays so after its daemon has ended, and is not loaded twice
    return Service(path, content, (start,), (), state, (stop,), forget=stop)


def windows(words: tuple[str, ...], data: Path, user: str) -> Service:
    """A task at logon of ``user``, as DOMAIN\\NAME.

    https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
    """
    path = data / NAME / "service.xml"
    text = (
        '<?xml version="1.0" encoding="UTF-16"?>\n'
        '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">\n'
        "<RegistrationInfo><Description>Cidery, an IPFS node</Description></RegistrationInfo>\n"
        f"<Triggers><LogonTrigger><UserId>{escape(user)}</UserId></LogonTrigger></Triggers>\n"
        "<Settings><MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>"
        "<DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>"
        "<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries><ExecutionTimeLimit>PT0S</ExecutionTimeLimit>"
        "<RestartOnFailure><Interval>PT1M</Interval><Count>100</Count></RestartOnFailure></Settings>\n"
        f"<Actions><Exec><Command>{escape(words[0])}</Command>"
        f"<Arguments>{escape(subprocess.list2cmdline(words[1:]))}</Arguments></Exec></Actions>\n</Task>\n"
    )
    make = ("schtasks", "/Create", "/TN", NAME, "/XML", str(path), "/F")
    return Service(
        path,
        text.encode("utf-16"),
        (make, ("schtasks", "/Run", "/TN", NAME)),
        (make,),
        ("schtasks", "/Query", "/TN", NAME),
        (("schtasks", "/End", "/TN", NAME), ("schtasks", "/Delete", "/TN", NAME, "/F")),
    )


def _install(service: Service, repo: Path) -> int:
    """A daemon that runs already is left alone: the repository has room for one."""
    make(repo)
    service.path.parent.mkdir(parents=True, exist_ok=True)
    service.path.write_bytes(service.content)
    runs = running(str(repo)) is not None
    if service.forget and not runs:
        _tried(service.forget)
    for words in service.later if runs else service.start:
        _do(service, words)
    when = "starts at the next login; one runs already" if runs else "was started, and starts at each login"
    print(f"The daemon {when}. To undo it: cidery service remove")
    return 0


def _remove(service: Service) -> int:
    if not service.path.exists():
        print("No service is installed.")
        return 0
    failed = [words for words in service.stop if _tried(words)]
    service.path.unlink()
    if failed:
        print(f"The system knew of no service: `{' '.join(failed[0])}` failed.", file=sys.stderr)
    print("The service is removed. The repository is as it was.")
    return 0


def _state(service: Service, repo: Path) -> int:
    runs = "a daemon runs" if running(str(repo)) is not None else "no daemon runs"
    if not service.path.exists():
        print(f"not installed; {runs}")
        return 1
    said = "which the system does not run" if _tried(service.state) else "which the system runs"
    print(f"installed as {service.path}, {said}; {runs}")
    return 0


def _do(service: Service, words: tuple[str, ...]) -> None:
    """Raises NotTaken."""
    if failed := _tried(words):
        raise NotTaken(str(service.path), " ".join(words), failed)


def _tried(words: tuple[str, ...]) -> str:
    """Run a command of the system; "" if it succeeded, else why not."""
    program = shutil.which(words[0])
    if program is None:
        return f"there is no {words[0]} here"
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False, errors="replace")
    if done.returncode == 0:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
