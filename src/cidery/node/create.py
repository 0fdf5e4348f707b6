"""Creating a repository: ``init``, ``daemon --init``, ``Node(init=True)``."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from cidery.blockstore.segments import SegmentStore
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.message_output import MessageOutput
from cidery.core.keys import new_key
from cidery.errors import InvalidInput, Unavailable
from cidery.identity.keys import MIN_RSA_BITS, PrivateKey
from cidery.node.lock_wait import locked
from cidery.repo.config import DEFAULT_CID_PROFILE, new_raw
from cidery.repo.config_file import MAX_CONFIG_BYTES, Raw, parse_json, write_raw
from cidery.repo.layout import KuboRepo, RepoKind, RepoLayout
from cidery.repo.lock import RepoNotWritable
from cidery.repo.state import State
from cidery.waiting import without_loop


class AlreadyInitialised(InvalidInput):
    """There is a repository at the path."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is a repository at {self.path} already; nothing was changed"


class CannotCreate(Unavailable):
    """A repository cannot be created at this place."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"no repository can be made at {self.path}: {self.reason}"


def cid_profile_of_program() -> str:
    """The CID profile for new repositories: Kubo's when the program runs under the name of Kubo's binary."""
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    return "unixfs-v0-2015" if name.removesuffix(".exe") == "ipfs" else DEFAULT_CID_PROFILE


def create_repository(
    path: Path,
    *,
    profiles: list[str] | None = None,
    cid_profile: str = DEFAULT_CID_PROFILE,
    given: Raw | None = None,
    key: PrivateKey | None = None,
) -> str:
    """Create a repository; returns the peer id. Blocks for some disk syncs.

    The config is written last, so that after an interruption the place is no repository, and can be tried again.

    Args:
        profiles: config profiles to apply, in order.
        given: a config to start from; a private key in it is kept.
        key: the identity, if ``given`` has none; None: a new Ed25519 key.
    Raises:
        AlreadyInitialised (also if another process is faster), RepoLocked, KuboRepo, NotARepo, CannotCreate,
        ConfigError (an unknown profile, a bad given config).
    """
    layout = RepoLayout(path)
    try:
        kind = layout.kind()
    except OSError as exc:
        raise CannotCreate(path, exc.strerror or str(exc)) from exc
    if kind is RepoKind.KUBO:
        raise KuboRepo(path)
    if os.path.lexists(layout.config):
        raise AlreadyInitialised(path)
    raw = new_raw(os.urandom, cid_profile=cid_profile, profiles=profiles or [], given=given, key=key)
    try:
        if kind is not RepoKind.MISSING:
            layout.check()  # before anything is written
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with without_loop(locked(layout.lock, "cidery init")):
            if os.path.lexists(layout.config):  # another process was faster
                raise AlreadyInitialised(path)
            layout.create()
            SegmentStore.open(path).close_blocking()
            State.open(layout.state).close()
            write_raw(layout.config, raw)
    except RepoNotWritable as exc:
        raise CannotCreate(path, exc.reason) from exc
    except OSError as exc:
        raise CannotCreate(path, exc.strerror or str(exc)) from exc
    peer: str = raw["Identity"]["PeerID"]
    return peer


def create_unless_there(
    path: Path, *, profiles: list[str], cid_profile: str = DEFAULT_CID_PROFILE, given: Raw | None = None
) -> None:
    """create_repository(), unless another process is faster. Raises as it."""
    try:
        create_repository(path, profiles=profiles, cid_profile=cid_profile, given=given)
    except AlreadyInitialised:
        return


def split_profiles(text: str) -> list[str]:
    """Names in ``a,b``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def given_config(path: Path, file: str | None) -> Raw | None:
    """The initial config of a new repository at ``path``. Raises CannotCreate, ConfigError."""
    if file is None:
        return None
    try:
        with open(file, "rb") as stream:
            return parse_json(stream.read(MAX_CONFIG_BYTES + 1), file)
    except OSError as exc:
        raise CannotCreate(path, f"{file} cannot be read: {exc.strerror}") from exc


async def init(context: Context, call: Call) -> AsyncIterator[MessageOutput]:
    """The command. Its Context has the path; there is no Api yet."""
    assert context.path is not None  # dispatch gives every local run the path
    given = given_config(context.path, call.optional("default-config"))
    kind, bits = call.text("algorithm"), call.number_or_none("bits")
    key = await asyncio.to_thread(new_key, kind, bits, os.urandom)
    peer = await asyncio.to_thread(
        create_repository,
        context.path,
        profiles=split_profiles(call.text("profile")),
        cid_profile=cid_profile_of_program(),
        given=given,
        key=key,
    )
    kind = f"{bits or MIN_RSA_BITS}-bit RSA" if kind == "rsa" else kind.upper()
    yield MessageOutput(Message=f"generating {kind} keypair...done")
    yield MessageOutput(Message=f"peer identity: {peer}")
    yield MessageOutput(Message=f"initializing IPFS node at {context.path}")
