"""Imports in a thread of what is needed later, module by module: it can stop between two of them.

A fork waits for the one under way: in the child, whose only thread is another, its lock would be held for ever.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNDER_WAY = threading.RLock()

if hasattr(os, "register_at_fork"):
    _release = _UNDER_WAY.release
    os.register_at_fork(before=_UNDER_WAY.acquire, after_in_parent=_release, after_in_child=_release)


def import_each(names: Iterable[str], stopped: Callable[[], bool]) -> None:
    """Import the modules in this order, until ``stopped``. Raises as they do."""
    for name in names:
        if stopped():
            return
        with _UNDER_WAY:
            import_module(name)
