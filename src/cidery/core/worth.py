"""When an operation is worth keeping for resuming. Imports nothing, so that an interrupted start can ask."""

WORTH_SECONDS = 5.0
"""An operation that was stopped after less time and less work than this is not kept: repeating it is as cheap."""
WORTH_BYTES = 64 << 20
WORTH_BLOCKS = 4096


class Kept:
    """Whether an operation of this process left something that repeating its command goes on from."""

    noted = False


KEPT = Kept()
"""Set by who keeps it; read by the command line when it is interrupted."""
