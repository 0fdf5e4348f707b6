"""What the mesh aims at, and what one peer may cost.

Degrees and times are those of other implementations, so that meshes of several of them are even.
Spec: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.0.md#parameters and v1.1
"""

from cidery import budgets

DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 5, 12
"""Links of a topic's mesh: wanted, below which more are asked for, above which some end."""
DEGREE_SCORE, DEGREE_OUT = 4, 2
"""Of those kept when there are too many: the best, and the least that we have dialled ourselves."""
LAZY_DEGREE, GOSSIP_FACTOR = 6, 0.25
"""Peers outside the mesh that hear of ids at each heartbeat: at least this many, and this share."""
HEARTBEAT = 1.0
"""Seconds between two heartbeats."""
FIRST_HEARTBEAT = 0.1
HISTORY, HISTORY_GOSSIPED = 5, 3
"""Heartbeats for which messages can be asked for, and for which they are gossiped."""
SEEN_SECONDS = 120.0
"""For which the id of a message is remembered."""
BACKOFF, UNSUBSCRIBE_BACKOFF = 60.0, 10.0
"""Seconds for which an ended mesh link is not asked for again; the second after an unsubscription."""
MAX_BACKOFF = 3600.0
"""Longest of what peers may ask, seconds."""
GRAFT_FLOOD = 10.0
"""Seconds after a PRUNE within which a GRAFT counts twice."""
OPPORTUNISTIC_TICKS, OPPORTUNISTIC_PEERS = 60, 2
"""Heartbeats between two looks for better mesh links, and how many are asked for then."""

MAX_EXCHANGED = 16
"""Peers that one PRUNE may make known."""
MAX_IHAVE = budgets.PUBSUB_OFFERS.amount
"""IHAVE frames of one peer that are read between two heartbeats."""
MAX_IHAVE_IDS = budgets.PUBSUB_OFFERED.amount
"""Ids asked from one peer, or told to one peer, between two heartbeats."""
MAX_RETRANSMISSIONS = budgets.PUBSUB_REPEATS.amount
"""Times that one message is sent to one peer that asks for it."""
IWANT_SECONDS = 3.0
"""In which a peer that has offered a message must send it."""
MAX_PROMISES = 2
"""Peers of which one message is asked at a time: one of them may be lying, or its answer lost."""
MAX_PROMISED = budgets.PUBSUB_PROMISED.amount
"""Messages asked for at a time."""
MAX_OFFERED = 64
"""Peers that others named, until somebody dials them."""
IDONTWANT_BYTES = 1024
"""Messages below are not worth an IDONTWANT."""
MAX_IDONTWANT = budgets.PUBSUB_UNWANTED.amount
"""Ids of one peer that are heeded between two heartbeats."""
IDONTWANT_TICKS = 3
"""Heartbeats for which they are heeded."""

MAX_PEERS = budgets.PUBSUB_PEERS.amount
"""Peers that take part; later ones are passed over. More than any node has connections."""
MAX_TOPICS_OF_PEER = budgets.PUBSUB_TOPICS_OF_PEER.amount
"""Topics that are noted of one peer; further ones are dropped, and held against it."""
MAX_TOPICS = budgets.PUBSUB_TOPICS.amount
"""Topics of others in all."""
MAX_OWN_TOPICS = 1000
"""Topics that this node follows at a time."""
MAX_SEEN = budgets.PUBSUB_SEEN.amount
"""Ids remembered; the oldest go first. Some 20 MB."""
MAX_AUTHORS = budgets.PUBSUB_AUTHORS.amount
"""Authors whose last number is remembered."""
MAX_HISTORY_BYTES = budgets.PUBSUB_HISTORY.amount
"""Of messages that can be asked for; the oldest go first."""
MAX_OUTBOX_BYTES = budgets.PUBSUB_OUTBOX.amount
"""Of messages that wait for one peer: those beyond are not sent to it, it can ask for them."""
MAX_BACKOFFS = budgets.PUBSUB_BACKOFFS.amount
"""Remembered at a time."""
