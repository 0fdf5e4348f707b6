"""The result of commands that only say something."""

from typing import TypedDict


class MessageOutput(TypedDict):
    """A line for people; named as in Kubo."""

    Message: str
