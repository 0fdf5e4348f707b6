"""A file on the web as a source of ``add``: http and https URLs, read as they arrive.

Blocking; imported on use.
"""

import http.client
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit

from cidery.client.multipart import CannotUpload

TIMEOUT = 60.0
"""Seconds without a byte from the server."""


def web_name(url: str) -> str:
    """The last part of the path of a URL, or its host."""
    split = urlsplit(url)
    return (
        unquote(split.path.rstrip("/").rpartition("/")[2], errors="surrogateescape").replace("/", "_") or split.netloc
    )


class WebFile:
    """The body of one URL; redirects are followed. Raises CannotUpload, also for a body that ends early."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._answer = urllib.request.urlopen(url, timeout=TIMEOUT)
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise CannotUpload(url, _reason(exc)) from exc
        length = self._answer.headers.get("Content-Length", "")
        self.size: int | None = int(length) if length.isascii() and length.isdigit() else None
        self._left = self.size

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; b"" at the end."""
        try:
            data: bytes = self._answer.read(size)
        except (OSError, http.client.HTTPException) as exc:
            raise CannotUpload(self._url, _reason(exc)) from exc
        if self._left is not None:
            self._left -= len(data)
            if not data and self._left:
                raise CannotUpload(self._url, f"it ended {self._left} bytes early")
        if not data:
            self._answer.close()
        return data


def _reason(exc: Exception) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return f"the server answered {exc.code} {exc.reason}"
    return str(getattr(exc, "reason", None) or exc) or type(exc).__name__
