"""Every command has a method, or a reason to have none."""

import re
from pathlib import Path

import cidery.methods
from cidery.commands.registry import all_commands

SECRETS = "private keys and passwords stay on their machine: the command line alone handles them"
PERSON = "for a person in front of a terminal, or for scripts written for Kubo"
PROCESS = "it is about a process or a machine, not about an open node"
DAEMON = "it is about a daemon: an embedded node has no log, no profile and no calls of others"
PURE = "cidery.CID does it without a node"
DEPRECATED = "another method does it"
INNER = "a part of the protocol between our own client and daemon"
LATER = "a list to look at now and then; the command prints JSON"
WITHOUT = {
    "bitswap ledger": LATER,
    "bitswap session": INNER,
    "cid": PURE,
    "commands": PERSON,
    "config edit": PERSON,
    "daemon": PROCESS,
    "denylist": LATER,
    "dht": DEPRECATED,
    "diag": DAEMON,
    "doctor": PERSON,
    "files chroot": PROCESS,
    "filestore": LATER,
    "gateway": PROCESS,
    "help": PERSON,
    "init": "opening a node makes its repository",
    "install-as": PERSON,
    "jobs known": INNER,
    "key export": SECRETS,
    "key rotate": SECRETS,
    "log": DAEMON,
    "multibase": "cidery.multiformats.multibase does it without a node",
    "object patch": DEPRECATED,
    "provide clear": LATER,
    "provide stat": LATER,
    "refs local": DEPRECATED,
    "repo import-kubo": PROCESS,
    "repo migrate": PROCESS,
    "routing provide": DEPRECATED,
    "routing reprovide": DEPRECATED,
    "service": PROCESS,
    "shutdown": "closing an embedded node ends it; a client does not end its daemon",
    "stats day": PERSON,
    "status": PERSON,
    "swarm addrs local": DEPRECATED,
    "swarm key": SECRETS,
    "swarm resources": LATER,
    "ui": PERSON,
    "version": "cidery.__version__, and Identity.agent for a daemon",
}
"""A command, or the first words of several."""
ABSENT = "cidery.commands.run.later:absent"
"""Runs what is not there yet: such commands say so, and need no method."""


def called() -> set[str]:
    """The commands that the methods run."""
    folder = Path(cidery.methods.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    return set(re.findall(r'"([a-z][a-z -]*)"', source)) | {"get"}


def reason(name: str) -> str:
    words = name.split()
    return next((WITHOUT[" ".join(words[:n])] for n in range(len(words), 0, -1) if " ".join(words[:n]) in WITHOUT), "")


def test_every_command_has_a_method_or_a_reason() -> None:
    methods = called()
    missing = [
        one.name
        for one in all_commands()
        if one.name not in methods and not reason(one.name) and one.run != ABSENT and one.path[0] != "object"
    ]
    assert not missing, "give these a method (src/cidery/methods), or a reason above"


def test_a_reason_is_that_of_a_command_without_a_method() -> None:
    names = [one.name for one in all_commands()]
    methods = called()
    for words in WITHOUT:
        covered = [name for name in names if name == words or name.startswith(f"{words} ")]
        assert covered and any(name not in methods for name in covered), words
