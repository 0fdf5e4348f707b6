"""How many connections a server may have: each is an open file, of which a process may have so many.

Each server has a share, and a rest stays for the store, the swarm and the user's own commands.
"""

import logging

from cidery.budgets import Limit

WANTED_FILES = 8192
"""Open files that are asked of the system at start (as Kubo); the hard limit may be lower."""
FEW_FILES = 1024
"""What most systems allow without asking."""
SHARE = 3
"""A server may have one of so many of the files: the rest is for the swarm and for local work."""
log = logging.getLogger("cidery.http")


def open_files() -> int:
    """How many files this process may have open, after asking for more."""
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
    """Connections of a server: what its budget says, or its share of few files."""
    return min(limit.amount, max(1, files // SHARE // (2 if files <= FEW_FILES else 1)))
