"""The key group."""

import asyncio

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.key import Key, Keys, Renamed, Signed, Verified
from cidery.core.keys import NamedKey, id_text
from cidery.errors import InvalidInput
from cidery.multiformats.multibase import decode_multibase, encode_multibase

MAX_MESSAGE = 64 << 20
"""Longest message signed or verified, in bytes: it is held in memory as a whole."""


def _key(key: NamedKey, call: Call) -> Key:
    try:
        return Key(Name=key.name, Id=id_text(key, call.text("ipns-base")))
    except InvalidInput as exc:
        raise BadCall(f"option 'ipns-base': {exc}") from exc


async def gen(context: Context, call: Call) -> Key:
    ring = context.node.naming.keys
    made = await asyncio.to_thread(ring.generate, call.one("name"), call.text("type"), call.number_or_none("size"))
    return _key(made, call)


async def ls(context: Context, call: Call) -> Keys:
    keys = await asyncio.to_thread(context.node.naming.keys.every)
    return Keys(Keys=[_key(key, call) for key in keys])


async def rename(context: Context, call: Call) -> Renamed:
    old, new = call.one("name"), call.one("newName")
    key, replaced = context.node.naming.keys.rename(old, new, force=call.flag("force"))
    return Renamed(Was=old, Now=new, Id=_key(key, call)["Id"], Overwrite=replaced)


async def rm(context: Context, call: Call) -> Keys:
    return Keys(Keys=[_key(key, call) for key in context.node.naming.keys.remove(call.many("name"))])


async def take(context: Context, call: Call) -> Key:
    data = await _message(context)
    ring = context.node.naming.keys
    return _key(ring.take(call.one("name"), data, call.text("format"), any_kind=call.flag("allow-any-key-type")), call)


async def sign(context: Context, call: Call) -> Signed:
    key, signature = context.node.naming.keys.sign(call.text("key"), await _message(context))
    return Signed(Key=_key(key, call), Signature=encode_multibase("base64url", signature))


async def verify(context: Context, call: Call) -> Verified:
    if "signature" not in call.given:
        raise BadCall("option 'signature' is missing: what `cidery key sign` printed")
    _, signature = decode_multibase(call.text("signature"))
    key, valid = context.node.naming.keys.verify(call.text("key"), await _message(context), signature)
    return Verified(Key=_key(key, call), SignatureValid=valid)


async def _message(context: Context) -> bytes:
    assert context.uploads is not None  # the definition's file argument
    from cidery.core.adding.items import sent_bytes

    return await sent_bytes(context.uploads, MAX_MESSAGE, _too_long)


def _too_long(_: int) -> BadCall:
    return BadCall(f"more than {MAX_MESSAGE} bytes")
