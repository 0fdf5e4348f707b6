"""Escapes texts of results for display: characters that could fake another line or drive a terminal.

Names come from other people's trees: a name with a line end must not look like two results. The escapes are Go's, as
Kubo prints them, and the backslash itself is escaped too, so that each displayed text stands for exactly one name.

Spec: https://go.dev/ref/spec#Rune_literals
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def escaped(text: str) -> str:
    """Text in printable characters only."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(char if char.isprintable() and char != "\\" else _escape(char) for char in text)


def escaped_value(value: Any) -> Any:
    """A result with all its texts escaped; the names of its fields are ours."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list | tuple):
        return [escaped_value(one) for one in value]
    if isinstance(value, dict):
        return {escaped(name): escaped_value(one) for name, one in value.items()}
    return value


def _escape(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
