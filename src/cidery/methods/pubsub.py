"""node.pubsub: messages to listeners, and the names that go over it."""

from __future__ import annotations

from contextlib import aclosing

from cidery.commands.definitions.pubsub import bytes_of
from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group
from cidery.methods.results import PubsubMessage
from cidery.methods.sources import pieces_of
from cidery.multiformats.multibase import encode_multibase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cidery.methods.sources import Source


class Pubsub(Group):
    """Topics. All raise PubsubOff unless Pubsub.Enabled is true, and NoNetwork on an offline node."""

    async def publish(self, topic: str, data: Source) -> None:
        """Send data to every peer that follows the topic. Raises TooLong (about 1 MiB fits)."""
        await self._done("pubsub pub", _coded(topic), body=pieces_of(data))

    async def subscribe(self, topic: str) -> AsyncGenerator[PubsubMessage, None]:
        """What is published to a topic from now on, also by this node; closing the iterator ends it.

        A reader that is more than 1024 messages behind misses some. Raises: TooManyTopics, TooManyReaders.
        """
        async with aclosing(self._caller.values("pubsub sub", _coded(topic))) as values:
            async for value in values:
                data, seqno = bytes_of(value["data"]), bytes_of(value["seqno"])
                yield PubsubMessage(value["from"], data, int.from_bytes(seqno), topic)

    async def topics(self) -> list[str]:
        """The topics that this node follows."""
        return [bytes_of(one).decode() for one in (await self._value("pubsub ls"))["Strings"]]

    async def peers(self, topic: str = "") -> list[str]:
        """The connected peers that follow a topic; "": any that take part."""
        return list((await self._value("pubsub peers", *([_coded(topic)] if topic else [])))["Strings"])

    async def reset(self, peer: str = "") -> int:
        """Forget which messages of an author, or of all, are old; returns of how many authors."""
        return int((await self._value("pubsub reset", peer=peer or None))["deleted"])

    async def names_by_pubsub(self) -> bool:
        """Whether records of names go over it (Ipns.UsePubsub)."""
        return bool((await self._value("name pubsub state"))["Enabled"])

    async def names(self) -> list[str]:
        """The names that are followed by pubsub: those looked up or published. Raises NamesNotByPubsub."""
        return list((await self._value("name pubsub subs"))["Strings"])

    async def cancel_name(self, name: str) -> bool:
        """Stop following a name by pubsub; False if it was not followed. Raises NamesNotByPubsub."""
        return bool((await self._value("name pubsub cancel", name))["Canceled"])


def _coded(topic: str) -> str:
    return encode_multibase("base64url", topic.encode())


class BlockingPubsub(BlockingGroup[Pubsub]):
    """The methods of Pubsub, blocking."""

    publish = blocking(Pubsub.publish)
    subscribe = iterating(Pubsub.subscribe)
    topics = blocking(Pubsub.topics)
    peers = blocking(Pubsub.peers)
    reset = blocking(Pubsub.reset)
    names_by_pubsub = blocking(Pubsub.names_by_pubsub)
    names = blocking(Pubsub.names)
    cancel_name = blocking(Pubsub.cancel_name)
