"""``key export`` and ``key rotate``: in the client only, since private keys never go over RPC."""

import asyncio
import os

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.key import Rotated, Written
from cidery.core.keys import KeyRing, new_key
from cidery.errors import Unavailable
from cidery.node.lock_wait import locked
from cidery.repo.config import parse_config
from cidery.repo.config_file import Changing, read_raw, write_raw
from cidery.repo.config_identity import with_identity
from cidery.repo.keystore import Keystore
from cidery.repo.layout import RepoLayout


class CannotWriteKey(Unavailable):
    """The file for an exported key cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.reason}; choose another file with --output"


async def give(context: Context, call: Call) -> Written:
    """In the client only: a key never goes over RPC."""
    layout = RepoLayout(context.config_file.parent)
    layout.check()
    own = parse_config(read_raw(layout.config)).private_key
    ring = KeyRing(own, Keystore(layout.keystore), os.urandom)
    name, form = call.one("name"), call.text("format")
    # also if it is given by its id
    if not call.flag("identity") and ring.get(name) == own:
        raise BadCall("self is the identity of this node, and the file would be all that it takes to be it: --identity")
    data = ring.give(name, form)
    path = call.text("output") or f"{name.replace('/', '_')}{'.pem' if form.startswith('pem') else '.key'}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise CannotWriteKey(path, (exc.strerror or str(exc)).lower()) from exc
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return Written(Path=path)


async def rotate(context: Context, call: Call) -> Rotated:
    layout = RepoLayout(context.config_file.parent)
    layout.check()
    old_name = call.text("oldkey")
    if not old_name:
        raise BadCall("option 'oldkey' is missing: what to call the identity that the node has now")
    with await locked(layout.lock, "cidery key rotate"):
        key = await asyncio.to_thread(new_key, call.text("type"), call.number_or_none("size"), os.urandom)
        async with Changing(layout.config) as raw:
            old = parse_config(raw).private_key
            # The old key first: whatever happens in between, it is not lost.
            Keystore(layout.keystore).put(old_name, old)
            write_raw(layout.config, with_identity(raw, key))
    return Rotated(Was=str(old.peer_id), Now=str(key.peer_id), Key=old_name)
