"""Pages of long lists: the options ``limit`` and ``after``, which Kubo does not have.

A page begins after the last row of the one before, which the caller names: nothing is kept for it, and rows that
come and go elsewhere in the list neither repeat nor hide others. A page with fewer rows than ``limit`` is the last.
"""

from typing import NamedTuple

from cidery.commands.bind import BadCall
from cidery.commands.definition import MAX_PAGE, Call
from cidery.multiformats.cid import CID, CIDError


class Page(NamedTuple):
    """What is asked for."""

    limit: int
    """Most rows."""
    after: str
    """The last row seen; "" to begin."""

    def cid(self) -> CID | None:
        """The row as a CID; None to begin. Raises BadCall."""
        if not self.after:
            return None
        try:
            return CID.parse(self.after)
        except CIDError as exc:
            raise BadCall(f"option 'after' takes the CID of the last row seen: {exc}") from exc


def page_of(call: Call) -> Page | None:
    """None if all rows are asked for. Raises BadCall."""
    limit = call.number_or_none("limit")
    if limit is None:
        if "after" in call.given:
            raise BadCall("option 'after' needs 'limit', the number of rows to go on with")
        return None
    if not 0 < limit <= MAX_PAGE:
        raise BadCall(f"option 'limit' takes 1 to {MAX_PAGE} rows, not {limit}")
    if "path" in call.arguments and len(call.many("path")) > 1:
        raise BadCall("option 'limit' takes one path at a time")
    return Page(limit, call.text("after"))
