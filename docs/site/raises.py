"""An extension for griffe, which reads the docstrings: ``Raises:`` may be a plain list of errors, as it is here.

Griffe expects "Error: when" on each line, and drops the others. A section that has such a line becomes a paragraph.
"""

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^Raises:\n((?:[ ]+.*(?:\n|$))+)", re.MULTILINE)
IS_ITEM = re.compile(r"[A-Za-z.]+: ")


class Raises(Extension):
    """Rewrites the docstrings as they are loaded."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for each object."""
        if obj.docstring is not None:
            obj.docstring.value = SECTION.sub(_paragraph, obj.docstring.value)


def _paragraph(section: re.Match[str]) -> str:
    lines = [line.strip() for line in section[1].splitlines()]
    if all(IS_ITEM.match(line) for line in lines):
        return section[0]
    return "Raises: " + " ".join(lines) + "\n"
