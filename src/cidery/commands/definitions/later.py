"""Commands of Kubo's that this node does not have: each says why, and what to do instead. SPECS.md lists them."""

from cidery.commands.definition import Argument, Call, Command, Output, Repo

STREAMS = "p2p is not available yet: no other program's connections are passed through this node"
MOUNT = "mount is not available yet; see: cidery files, cidery get, and the gateway"
UPDATE = "cidery does not update itself; use the tool that installed it, as: pip install --upgrade cidery"
DATASTORE = "there is no key-value datastore to look into; see: cidery repo ls, cidery repo stat, cidery repo verify"
OBJECT = "`object` was removed from Kubo, too; use cidery dag, cidery files, cidery refs and cidery block"
REASONS: dict[tuple[str, ...], str] = {
    ("diag", "datastore", "count"): DATASTORE,
    ("diag", "datastore", "get"): DATASTORE,
    ("diag", "datastore", "put"): DATASTORE,
    ("mount",): MOUNT,
    ("object", "data"): OBJECT,
    ("object", "diff"): "`object diff` is deprecated and not here; use: cidery dag diff",
    ("object", "get"): OBJECT,
    ("object", "links"): OBJECT,
    ("object", "new"): OBJECT,
    ("object", "put"): OBJECT,
    ("object", "stat"): OBJECT,
    ("p2p", "close"): STREAMS,
    ("p2p", "forward"): STREAMS,
    ("p2p", "listen"): STREAMS,
    ("p2p", "ls"): STREAMS,
    ("p2p", "stream", "close"): STREAMS,
    ("p2p", "stream", "ls"): STREAMS,
    ("update",): UPDATE,
    ("version", "check"): UPDATE,
}
"""Command -> why it is not here."""


def reason(call: Call) -> str:
    """Why the command of a call is not here."""
    return REASONS[call.command.path]


COMMANDS = tuple(
    Command(
        path,
        "Not here: it only says what to do instead",
        "cidery.commands.run.later:absent",
        f"cidery {' '.join(path)}",
        (Argument("argument", "What Kubo's command takes", required=False, variadic=True),),
        output=Output.NOTHING,
        repo=Repo.NONE,
        description=f"{why[0].upper()}{why[1:]}.",
    )
    for path, why in REASONS.items()
)
