"""The root of Cidery's errors and its categories: whose fault it is, and what to do next.

CideryError
 +-- InvalidInput          the caller passed something that makes no sense: change the call
 +-- NotFound              the thing is not here and could not be found: try elsewhere or later
 +-- IntegrityError        bytes do not match their hash or structure: never use them
 +-- LimitExceeded         a named bound was reached: send less, or raise the bound
 +-- Unavailable           cannot be done now (locked, offline, timed out, disk full): retry
 +-- RemoteProtocolError   a peer broke a protocol: its connection or stream ends, others continue
 +-- LocalProtocolError    we used a protocol machine wrongly: a bug of ours

Leaves live next to the code that raises them, carry data as attributes, and format in ``__str__``.
"""


class CideryError(Exception):
    """Root of every error that Cidery raises on purpose."""


class InvalidInput(CideryError):
    """The caller's argument makes no sense; the message says what is wrong and what to do."""


class NotFound(CideryError):
    """The requested thing is not stored here, and no source had it."""


class IntegrityError(CideryError):
    """Bytes that do not match their hash, or a structure that contradicts itself."""


class LimitExceeded(CideryError):
    """A named bound was reached."""


class Unavailable(CideryError):
    """Not possible right now: offline, locked, timed out, no space. Trying again may help."""


class RemoteProtocolError(CideryError):
    """A peer sent what its protocol forbids."""


class LocalProtocolError(CideryError):
    """A protocol machine was called in a state that does not allow the call: our bug."""


def words_of(error: OSError) -> str:
    """What the system says, without what asyncio puts in front of it where a socket is bound."""
    said = (error.strerror or str(error)).lower().rpartition("): ")[2]
    return said.partition("] ")[2] if said.startswith("[errno ") else said


CATEGORY_HEADER = "X-Error-Category"
"""The header, or trailer, in which an answer of the RPC names the category of its error: Kubo's answers have only a
text, and programs catch an error by what it means."""


def category_of(error: BaseException) -> str:
    """Name of the category that means something to a caller, "" for none."""
    categories = (InvalidInput, NotFound, IntegrityError, LimitExceeded, Unavailable)
    return next((one.__name__ for one in categories if isinstance(error, one)), "")
