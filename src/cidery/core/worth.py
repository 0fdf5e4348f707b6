"""When an operation is worth keeping for resuming. Imports nothing, so that an interrupted start can ask."""

WORTH_SECONDS = 5.0
"""An operation that was stopped after less time and less work than this is not kept: repeating it is as cheap."""
WORTH_BYTES = 64 << 20
WORTH_BLOCKS = 4096


class Kept:
    """Whether an operation of this process left something from which the same command would continue."""

    noted = False


KEPT = Kept()
"""Set by the keeper of the work; read by the command line when it is interrupted."""
