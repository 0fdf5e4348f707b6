"""What a running process is doing: the stacks of its threads and tasks, and how often each stack was seen."""

import asyncio
import io
import json
import sys
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

SAMPLE_EVERY = 0.01
"""Seconds between two samples: the cost stays below a hundredth of a processor."""
MAX_TASKS = 2000
"""Tasks whose stacks are written; the number of further ones is."""


def stacks() -> str:
    """Of every thread, and of every task of the running loop."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    out: list[str] = []
    for ident, frame in sys._current_frames().items():
        out += [f"thread {names.get(ident, ident)}\n", *traceback.format_stack(frame), "\n"]
    tasks = asyncio.all_tasks()
    for task in list(tasks)[:MAX_TASKS]:
        file = io.StringIO()
        task.print_stack(file=file)
        out.append(f"{task.get_name()} {file.getvalue()}\n")
    if len(tasks) > MAX_TASKS:
        out.append(f"and {len(tasks) - MAX_TASKS} tasks more\n")
    return "".join(out)


def sampled(seconds: float, clock: Callable[[], float]) -> str:
    """The stacks of all other threads during this time, as ``thread;outer;inner count`` lines, the most frequent first.

    Blocks; run it in a thread. ``clock``: seconds of any clock. Tools that draw flame graphs read the form.
    """
    own, seen = threading.get_ident(), Counter[str]()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    until = clock() + seconds
    while clock() < until:
        for ident, frame in sys._current_frames().items():
            if ident != own:
                seen[f"{names.get(ident, ident)};{_folded(frame)}"] += 1
        time.sleep(SAMPLE_EVERY)
    return "".join(f"{stack} {count}\n" for stack, count in seen.most_common())


def _folded(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None:
        names.append(f"{frame.f_code.co_qualname} ({frame.f_globals.get('__name__', '')}:{frame.f_lineno})")
        frame = frame.f_back
    return ";".join(reversed(names))


def archive(members: Mapping[str, Any]) -> bytes:
    """A ZIP of texts, and of other values as JSON."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, value in members.items():
            packed.writestr(name, value if isinstance(value, str) else json.dumps(value, indent=2))
    return out.getvalue()
