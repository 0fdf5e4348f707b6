"""Commands of Kubo's that are not here."""

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.later import reason
from cidery.errors import Unavailable


class NotHere(Unavailable):
    """A command that Kubo has, and this node has not."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


async def absent(context: Context, call: Call) -> None:
    """Raises NotHere."""
    raise NotHere(reason(call))
