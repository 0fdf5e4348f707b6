"""The pubsub group, and name pubsub. Topics and data are base64url multibase, as Kubo's RPC has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pubsub import Canceled, PubsubMessage, Reset, State, Strings
from cidery.core.adding.batches import each
from cidery.core.adding.items import sent_bytes
from cidery.core.pubsub import NamesNotByPubsub, PubsubOff
from cidery.errors import InvalidInput
from cidery.identity.peer_id import PeerId
from cidery.ipns.name import format_name, parse_name
from cidery.multiformats.multibase import MultibaseError, decode_multibase, encode_multibase
from cidery.namesys.over_pubsub import PubsubNames
from cidery.pubsub.message import MAX_TOPIC
from cidery.pubsub.service import MAX_DATA, PubsubService, TooLong

BASE = "base64url"


def _service(context: Context) -> PubsubService:
    """Raises NoNetwork, PubsubOff."""
    api = context.node
    if api.pubsub is None:
        api.online  # noqa: B018 - it raises for an offline node
        raise PubsubOff
    return api.pubsub.service


def _names(context: Context) -> PubsubNames:
    """Raises NoNetwork, NamesNotByPubsub."""
    api = context.node
    if api.pubsub is None or api.pubsub.names is None:
        api.online  # noqa: B018 - it raises for an offline node
        raise NamesNotByPubsub
    return api.pubsub.names


def _topic(text: str) -> str:
    try:
        base, raw = decode_multibase(text)
    except MultibaseError as exc:
        raise BadCall(f"URL arg must be multibase encoded: {exc}") from exc
    if base != BASE:
        raise BadCall("URL arg must be base64url encoded")
    if not raw or len(raw) > MAX_TOPIC:
        raise BadCall(f"a topic has 1 to {MAX_TOPIC} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise BadCall("a topic must be UTF-8") from exc


def _encoded(data: bytes) -> str:
    return encode_multibase(BASE, data)


async def pub(context: Context, call: Call) -> None:
    service, topic = _service(context), _topic(call.one("topic"))
    assert context.uploads is not None  # the definition's file argument; the command runs in a daemon, or for a method
    async for item in context.uploads:
        service.publish(topic, await sent_bytes(each((item,)), MAX_DATA, TooLong))
        return
    raise BadCall("there is no data: send one file")


async def sub(context: Context, call: Call) -> AsyncIterator[PubsubMessage]:
    """Cancellation: ends the subscription."""
    with _service(context).subscription(_topic(call.one("topic"))) as messages:
        async for message in messages:
            shown = {
                "from": str(PeerId(message.author)),
                "data": _encoded(message.data),
                "seqno": _encoded(message.seqno),
                "topicIDs": [_encoded(message.topic.encode())],
            }
            yield cast(PubsubMessage, shown)  # `from` is a word of the language


async def ls(context: Context, call: Call) -> Strings:
    return Strings(Strings=[_encoded(topic.encode()) for topic in sorted(_service(context).topics())])


async def peers(context: Context, call: Call) -> Strings:
    service, given = _service(context), call.optional("topic")
    return Strings(Strings=sorted(map(str, service.peers(None if given is None else _topic(given)))))


async def reset(context: Context, call: Call) -> Reset:
    given = call.text("peer")
    return Reset(deleted=_service(context).reset(PeerId.parse(given) if given else None))


async def state(context: Context, call: Call) -> State:
    pubsub = context.node.pubsub
    return State(Enabled=pubsub is not None and pubsub.names is not None)


async def subs(context: Context, call: Call) -> Strings:
    try:
        return Strings(Strings=[f"/ipns/{format_name(one, call.text('ipns-base'))}" for one in _names(context).names()])
    except InvalidInput as exc:
        raise BadCall(f"option 'ipns-base': {exc}") from exc


async def cancel(context: Context, call: Call) -> Canceled:
    name = parse_name(call.one("name").removeprefix("/ipns/"))
    return Canceled(Canceled=_names(context).cancel(name))
