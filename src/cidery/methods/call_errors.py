"""Why a method cannot be called, or was not waited for."""

from cidery.errors import LocalProtocolError, Unavailable


class NotOpen(LocalProtocolError):
    """A method was called before or after the ``with`` that opens the node."""

    def __str__(self) -> str:
        return "the node is not open; use it inside `async with cidery.Node(path)` or `with cidery.open(path)`"


class Forked(LocalProtocolError):
    """A node was used in a child of fork(): its thread, its locks and its database belong to the parent."""

    def __str__(self) -> str:
        return (
            "this node was opened before a fork and belongs to the parent process; open one in this process: "
            "cidery.open(path, read_only=True) reads beside the parent"
        )


class InsideLoop(LocalProtocolError):
    """A blocking method was called by a callback of the same node, which would wait for itself."""

    def __str__(self) -> str:
        return "a callback of a blocking node cannot call that node: note what to do, and do it after the call"


class TookTooLong(Unavailable):
    """A call, or a step of an iterator, was not done in the time that within() gives it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"not done after {self.seconds:g} s; node.why(path) says where content is, and who was asked for it"
