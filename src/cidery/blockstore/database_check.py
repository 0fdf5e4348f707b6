"""Checks whether an LMDB file is sound, in a child process: a damaged file kills the process that maps it (SIGBUS) or
hangs it, and LMDB has no checksums.

Done if the last writer did not end by itself, or if the file is shorter than it claims: it costs the start of an
interpreter (some 60 ms) and reading the file (a million blocks: half a second).
"""

import struct
import sys
from contextlib import suppress
from pathlib import Path

from cidery.plain_files import NotAFile, check_plain, read_plain

LEAST_SECONDS = 20.0
"""Shortest time limit for the child."""
SLOWEST = 5_000_000
"""Bytes per second of the slowest disk."""
_META = struct.Struct("<16x II 8x 8x I 44x 48x QQ")
"""A meta page: page header, magic, version, address, map size, two tables (the first begins with the page size), last
page, transaction."""
_MAGIC, _VERSION, _PAGE = 0xBEEFC0DE, 1, 4096
_SCRIPT = """
import lmdb, os, sys
env = lmdb.open(sys.argv[1], readonly=True, lock=False, create=False, max_dbs=16)
env.copyfd(os.open(os.devnull, os.O_WRONLY), compact=True)
with env.begin() as txn:
    for name in list(txn.cursor().iternext(values=False)):
        size, last = int(sys.argv[2]) if name.decode() == sys.argv[3] else None, None
        for key, value in txn.cursor(db=env.open_db(name, txn=txn, create=False)).iternext():
            if last is not None and key <= last:
                sys.exit("its keys are out of order")
            if size is not None and len(value) != size:
                sys.exit("a record of %d bytes, not %d" % (len(value), size))
            last = key
"""


class InUse:
    """A mark next to a database while a process writes it: if a process finds it, the previous writer died."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "in-use"

    def is_set(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        """A disk without room for it is no reason to stop."""
        with suppress(OSError):
            self._path.touch()

    def clear(self) -> None:
        """The writer has ended by itself."""
        with suppress(FileNotFoundError):
            self._path.unlink()


def is_too_short(file: Path) -> bool:
    """Whether the file ends before the last page that its newest state counts. O(1); False if it has no such state."""
    try:
        size = file.stat().st_size
        head = read_plain(file, 2 * _PAGE)
    except OSError:
        return False
    newest = last = 0
    for at in (0, _PAGE):
        if len(head) >= at + _META.size:
            magic, version, page, last_page, transaction = _META.unpack_from(head, at)
            if (magic, version, page) == (_MAGIC, _VERSION, _PAGE) and transaction >= newest:
                newest, last = transaction, last_page
    return size < (last + 1) * _PAGE if newest else False


def fault_of(directory: Path, table: str = "", size: int = 0) -> str:
    """Why the database in the directory cannot be used; "" if it is sound, missing, or could not be checked.

    The records of ``table``, if one is named, have ``size`` bytes each.
    """
    import subprocess  # late: a check is rarely needed

    file = directory / "data.mdb"
    try:
        check_plain(file)
    except NotAFile as exc:
        return f"{file.name} is {exc.kind}, not a file"
    if not file.exists():
        return ""
    seconds = LEAST_SECONDS + file.stat().st_size / SLOWEST
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _SCRIPT, str(directory), str(size), table],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"looking through it did not end within {seconds:.0f} s"
    except OSError:
        return ""  # no process can be started: open it unchecked
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"looking through it ended by signal {-done.returncode}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"looking through it failed ({done.returncode})"
