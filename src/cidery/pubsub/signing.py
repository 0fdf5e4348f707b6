"""Signatures of messages: StrictSign, "all messages are signed, and unsigned ones are not accepted".

Spec: https://github.com/libp2p/specs/blob/master/pubsub/README.md#message-signing
"""

from cidery.errors import InvalidInput
from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.pubsub.message import Message

PREFIX = b"libp2p-pubsub:"
""""the signature is computed over the marshalled message prefixed with the string libp2p-pubsub:"."""
SEQNO_BYTES = 8
"""Of a sequence number: "a linearly increasing number unique among messages originating from a given peer"."""


class BadSignature(InvalidInput):
    """A message that its author has not signed so."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a message that is refused: {self.reason}"


def sign(key: PrivateKey, topic: str, data: bytes, seqno: int) -> Message:
    """A message of this key's peer. ``seqno``: larger than that of each message before, below 2**64."""
    peer = key.peer_id
    message = Message(peer.multihash, data, seqno.to_bytes(SEQNO_BYTES), topic)
    signature = key.sign(PREFIX + message.encode(signed=False))
    # "in cases where the key cannot be extracted from the peer ID, the key field must be present"
    public = b"" if peer.inlined_public_key() is not None else key.public.encode()
    return message._replace(signature=signature, key=public)


def check_signature(message: Message) -> None:
    """Raises BadSignature, nothing else (fuzzed). Cost: one verification, some 100 us."""
    if not message.signature or len(message.seqno) != SEQNO_BYTES:
        raise BadSignature("it has no signature, or no sequence number")
    try:
        author = PeerId.decode(message.author)
        inlined = author.inlined_public_key()
        key = PublicKey.decode(message.key or inlined or b"")
    except (PeerIdError, BadKey) as exc:
        raise BadSignature(str(exc)) from exc
    # "the key must match the peer ID in from, otherwise the message is rejected"
    if key.peer_id != author:
        raise BadSignature("its key is not that of its author")
    if not key.verify(PREFIX + message.encode(signed=False), message.signature):
        raise BadSignature("its signature is wrong")
