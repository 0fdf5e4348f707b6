"""The result of commands that only say something."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class MessageOutput(TypedDict):
    """A line for people; named as in Kubo."""

    Message: str
