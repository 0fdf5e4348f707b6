"""How many connections a server may have: each is an open file, and a process has a limit on those.

Each server has a share; the rest is for the store, the swarm and the user's own commands.
"""

import logging

from cidery.budgets import Limit

WANTED_FILES = 8192
"""Open files requested from the system at start (as in Kubo); the hard limit may be lower."""
FEW_FILES = 1024
"""The limit on most systems without a request."""
SHARE = 3
"""A server's share of the files is one in this many: the rest is for the swarm and for local work."""
log = logging.getLogger("cidery.http")


def open_files() -> int:
    """The number of files this process may have open, after requesting more."""
    try:
        import resource
    except ImportError:
        return WANTED_FILES  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as exc:
            log.info("no more than %d files can be open: %s", soft, exc)
            return soft
        return wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def connections_for(limit: Limit, files: int) -> int:
    """Connections of a server: its budget, or its share of few files."""
    return min(limit.amount, max(1, files // SHARE // (2 if files <= FEW_FILES else 1)))
