"""multipart/form-data as events, without IO: constant memory for parts of any size, little work for many small ones.

Obligations of the caller: pass arriving data to receive_data(), then call next_event() until it returns None; at the
end, receive_eof().

Spec: https://www.rfc-editor.org/rfc/rfc2046#section-5.1 and https://www.rfc-editor.org/rfc/rfc7578
"""

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote, unquote

from cidery.errors import InvalidInput

MAX_PART_HEAD = 64 * 1024
"""Most bytes of one part's headers: a path of 4096 bytes, escaped threefold, with room."""
MAX_PREAMBLE = 64 * 1024
"""Most bytes before the first boundary; they are ignored."""
MAX_BOUNDARY = 70
"""RFC 2046 section 5.1.1: "no longer than 70 characters"."""
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_FILENAME = re.compile(r';\s*filename=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_FIELD = re.compile(r';\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_EXTENDED = re.compile(r";\s*filename\*=UTF-8'[^']*'([^\s;]+)", re.IGNORECASE)


class BadMultipart(InvalidInput):
    """A body that is not multipart, or ends early."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the request body is not valid multipart: {self.reason}"


class Part(NamedTuple):
    """A part begins; Data events and PART_END follow."""

    filename: str
    """As sent, "" if there is none."""
    content_type: str
    """Lower case, without parameters; "" if not stated."""
    field: str = ""
    """Name of the form field, as sent: "file?mode=0644&mtime=1" carries more metadata of a file."""
    abspath: str = ""
    """Where the file is on the machine of the sender, as sent (escaped), for --nocopy; "" if not stated."""
    identity: str = ""
    """Identity of the file at the sender (File-Identity), and how much was left out (File-Has), as sent."""
    has: str = ""


class Data(NamedTuple):
    """Bytes of the part."""

    data: bytes


class Mark(Enum):
    """The end of a part or of the body."""

    PART_END = "the part is whole"
    END = "the body is whole; what follows it is ignored"


Event = Part | Data | Mark


class _State(Enum):
    PREAMBLE = "before the first boundary"
    BOUNDARY_END = "after a boundary"
    HEAD = "headers of a part"
    BODY = "bytes of a part"
    DONE = "after the last boundary"


def boundary_of(content_type: str) -> str:
    """The boundary stated in a Content-Type header. Raises BadMultipart."""
    match = _BOUNDARY.search(content_type)
    boundary = (match[1] or match[2]) if match else ""
    if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
        raise BadMultipart("the Content-Type states no boundary")
    return boundary


class MultipartReader:
    """Reads one body. Each byte is searched once."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first boundary may be at the very start, without the line end that precedes the others.
        self._buffer = b"\r\n"
        self._at = 0
        self._state = _State.PREAMBLE
        self._ended = False

    def receive_data(self, data: bytes) -> None:
        rest = self._buffer[self._at :]
        self._buffer = rest + data if rest else data
        self._at = 0

    def receive_eof(self) -> None:
        """Raises BadMultipart if the last boundary has not arrived."""
        if self._state is not _State.DONE:
            raise BadMultipart("it ends early")

    def next_event(self) -> Event | None:
        """The next event, None when more bytes are needed or after END. Raises BadMultipart."""
        if self._state is _State.BODY:
            return self._read_body()
        if self._state is _State.PREAMBLE and not self._skip_preamble():
            return None
        if self._state is _State.BOUNDARY_END and not self._read_boundary_end():
            return None
        if self._state is _State.HEAD:
            return self._read_head()
        if self._state is _State.DONE and not self._ended:
            self._ended = True
            return Mark.END
        return None

    def _skip_preamble(self) -> bool:
        found = self._buffer.find(self._delimiter, self._at)
        if found < 0:
            if len(self._buffer) - self._at > MAX_PREAMBLE:
                raise BadMultipart("the boundary does not come")
            return False
        self._at = found + len(self._delimiter)
        self._state = _State.BOUNDARY_END
        return True

    def _read_boundary_end(self) -> bool:
        """``--`` ends the body; otherwise blanks and a line end follow."""
        if self._buffer.startswith(b"--", self._at):
            self._state = _State.DONE
            self._at = len(self._buffer)
            return True
        end = self._buffer.find(b"\r\n", self._at)
        line = self._buffer[self._at :] if end < 0 else self._buffer[self._at : end]
        if end < 0 and line in (b"", b"-", b"\r"):
            return False
        if line.strip(b" \t\r"):
            raise BadMultipart("something follows a boundary on its line")
        if end < 0:
            if len(line) > MAX_BOUNDARY:
                raise BadMultipart("a boundary's line does not end")
            return False
        # The line end stays: so an empty head ends with the same two line ends as any other.
        self._at = end
        self._state = _State.HEAD
        return True

    def _read_head(self) -> Part | None:
        end = self._buffer.find(b"\r\n\r\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > MAX_PART_HEAD:
                raise BadMultipart("the headers of a part are too long")
            return None
        text = self._buffer[self._at : end].decode("utf-8", "surrogateescape")
        self._at = end + 4
        self._state = _State.BODY
        filename = content_type = field = abspath = identity = has = ""
        for line in text.split("\r\n"):
            name, _, value = line.partition(":")
            name = name.strip().lower()
            if name == "content-disposition":
                filename = _filename(value)
                field = _parameter(_FIELD, value)
            elif name == "content-type":
                content_type = value.partition(";")[0].strip().lower()
            elif name == "abspath-encoded":
                abspath = value.strip()
            elif name == "abspath" and not abspath:
                abspath = quote(value.strip(), errors="surrogateescape")  # clients before 2023 do not escape it
            elif name == "file-identity":
                identity = value.strip()
            elif name == "file-has":
                has = value.strip()
        return Part(filename, content_type, field, abspath, identity, has)

    def _read_body(self) -> Data | Mark | None:
        found = self._buffer.find(self._delimiter, self._at)
        if found == self._at:
            self._at += len(self._delimiter)
            self._state = _State.BOUNDARY_END
            return Mark.PART_END
        # Without a boundary, everything may be passed on except a possible beginning of one. Mostly there is none, and
        # the piece is passed on as it came, without a copy.
        until = found if found >= 0 else self._begun()
        if until <= self._at:
            return None
        data = self._buffer[self._at : until]
        self._at = until
        return Data(data)

    def _begun(self) -> int:
        """Where the end of the buffer may be the beginning of a boundary; its length if it cannot be."""
        size = len(self._buffer)
        at = max(self._at, size - len(self._delimiter) + 1)
        while (at := self._buffer.find(b"\r", at)) >= 0:
            if self._delimiter.startswith(self._buffer[at:]):
                return at
            at += 1
        return size


def _filename(value: str) -> str:
    if extended := _EXTENDED.search(value):
        return unquote(extended[1], errors="surrogateescape")
    return _parameter(_FILENAME, value)


def _parameter(form: re.Pattern[str], value: str) -> str:
    match = form.search(value)
    if match is None:
        return ""
    return re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
