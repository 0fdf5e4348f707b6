"""The name group."""

from collections.abc import AsyncGenerator, AsyncIterator

from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.name import (
    Followed,
    FollowedNames,
    Inspected,
    InspectedEntry,
    NameEntry,
    NamePath,
    Validation,
)
from cidery.core.reading.content_path import name_path
from cidery.core.reading.resolve import resolve as resolve_content
from cidery.errors import InvalidInput, NotFound, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.ipns.moment import format_moment
from cidery.ipns.name import format_name, parse_name
from cidery.ipns.record import MAX_RECORD, IpnsRecord, IpnsRecordError
from cidery.namesys.publisher import Published, PublishOptions
from cidery.namesys.resolver import SEARCH_SECONDS, Limits
from cidery.repo.keystore import SELF
from cidery.repo.names import FOLLOWED

DUMP_BYTES = 16
"""Bytes per line of a dump."""


class PublishOffline(Unavailable):
    """Publishing without a network, and without --allow-offline."""

    def __str__(self) -> str:
        return "can't publish while offline: pass `--allow-offline` to override"


class NotFollowed(NotFound):
    """The name is not among those kept alive."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is not followed; list the names with: cidery name ls"


def _text(name: PeerId, call: Call) -> str:
    try:
        return format_name(name, call.text("ipns-base"))
    except InvalidInput as exc:
        raise BadCall(f"option 'ipns-base': {exc}") from exc


def _shown(value: bytes) -> str:
    return value.decode("utf-8", "replace")


async def publish(context: Context, call: Call) -> NameEntry:
    api = context.node
    if api.network is None and not call.flag("allow-offline"):
        raise PublishOffline
    key = api.naming.keys.get(call.text("key"))
    value = name_path(call.one("ipfs-path"))
    if value is None or call.flag("resolve"):
        path = await api.locate(call.one("ipfs-path"))
        value = value or str(path)
        if call.flag("resolve"):
            async with api.session() as session:
                await resolve_content(path, session)
    lifetime, ttl = call.seconds("lifetime"), call.seconds("ttl")
    config = api.config.names
    options = PublishOptions(
        lifetime=config.record_lifetime if lifetime is None else lifetime,
        ttl=ttl,
        sequence=call.number_or_none("sequence"),
        old_readers=call.flag("v1compat"),
    )
    publishing = api.naming.publisher.publish(key, value, options, online=api.network is not None)
    with api.doing("handing the record over to peers"):
        published = await publishing
    return _entry(_text(key.peer_id, call), published)


def _entry(name: str, published: Published) -> NameEntry:
    entry = NameEntry(Name=name, Value=_shown(published.record.value))
    if published.warnings:
        entry["Warnings"] = list(published.warnings)
    return entry


async def resolve(context: Context, call: Call) -> AsyncIterator[NamePath]:
    """One value; with --stream one for each better record."""
    api = context.node
    resolver = api.naming.resolver
    given = call.optional("name") or SELF
    name = format_name(api.naming.keys.own.peer_id) if given == SELF else given
    path = name_path(name) or f"/ipns/{name}"
    seconds = call.seconds("dht-timeout")
    limits = Limits(call.number("dht-record-count"), SEARCH_SECONDS if seconds is None else seconds)
    if call.flag("stream"):
        with api.doing("asking the routers for its record"):
            async for target in resolver.stream(path, limits):
                yield NamePath(Path=target)
        return
    with api.doing("asking the routers for its record"):
        found = await resolver.resolve(
            path, recursive=call.flag("recursive"), fresh=call.flag("nocache"), limits=limits
        )
    yield NamePath(Path=found.path)


async def _record(context: Context) -> bytes:
    assert context.uploads is not None  # the definition's file argument
    from cidery.core.adding.items import sent_bytes

    return await sent_bytes(context.uploads, MAX_RECORD, _too_long)


def _too_long(_: int) -> IpnsRecordError:
    return IpnsRecordError(f"more than {MAX_RECORD} bytes")


async def inspect(context: Context, call: Call) -> Inspected:
    raw = await _record(context)
    record = IpnsRecord.decode(raw)
    value = Inspected(
        Entry=InspectedEntry(
            Value=_shown(record.value),
            ValidityType=0,
            Validity=format_moment(record.validity).decode(),
            Sequence=record.sequence,
            TTL=record.ttl,
        ),
        PbSize=len(raw),
        SignatureType="V1+V2" if record.signature_v1 else "V2",
    )
    if call.flag("dump"):
        value["HexDump"] = "\n".join(
            f"{at:08x}  {raw[at : at + DUMP_BYTES].hex(' ')}" for at in range(0, len(raw), DUMP_BYTES)
        )
    if "verify" in call.given:
        value["Validation"] = _validated(record, call.text("verify"))
    return value


def _validated(record: IpnsRecord, text: str) -> Validation:
    import time  # the wall clock, for display only

    name = parse_name(text)
    reason = ""
    try:
        record.check_signature(name)
    except IpnsRecordError as exc:
        reason = exc.reason
    if not reason and record.is_over(time.time_ns()):
        reason = f"it ended at {format_moment(record.validity).decode()}"
    return Validation(Valid=not reason, Reason=reason, Name=format_name(name))


async def get(context: Context, call: Call) -> Body:
    with context.node.doing("asking the routers for its record"):
        record = await context.node.naming.resolver.record(parse_name(call.one("name")))

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        yield record.raw

    return Body(chunks(), len(record.raw))


async def put(context: Context, call: Call) -> NameEntry:
    api = context.node
    if api.network is None and not call.flag("allow-offline"):
        raise PublishOffline
    name = parse_name(call.one("name"))
    raw = await _record(context)
    putting = api.naming.publisher.put(name, raw, force=call.flag("force"), online=api.network is not None)
    return _entry(format_name(name), await putting)


async def follow(context: Context, call: Call) -> NameEntry:
    name = parse_name(call.one("name"))
    record = await context.node.naming.publisher.follow(name)
    return NameEntry(Name=_text(name, call), Value=_shown(record.value))


async def unfollow(context: Context, call: Call) -> NameEntry:
    name = parse_name(call.one("name"))
    if not await context.node.naming.names.remove(FOLLOWED, name):
        raise NotFollowed(_text(name, call))
    return NameEntry(Name=_text(name, call), Value="")


async def ls(context: Context, call: Call) -> FollowedNames:
    followed = context.node.naming.names.every(FOLLOWED)
    return FollowedNames(
        Names=[
            Followed(
                Name=_text(one.name, call),
                Value=_shown(one.record.value),
                Validity=format_moment(one.record.validity).decode(),
            )
            for one in followed
        ]
    )
