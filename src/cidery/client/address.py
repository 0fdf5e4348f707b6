"""Where a daemon listens: the ``api`` file of a repository, or an address given by hand."""

from typing import NamedTuple

from cidery.errors import InvalidInput

_USUAL = "/ip4/127.0.0.1/tcp/"
"""How an ``api`` file nearly always begins: read without importing all protocols, which is half of a call's start."""
MAX_API_FILE = 1024
"""Most bytes read of the ``api`` file."""


class BadApiAddress(InvalidInput):
    """Not an address of an RPC server."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not an RPC address; give one such as /ip4/127.0.0.1/tcp/5001"


class Endpoint(NamedTuple):
    """Host and port of an RPC server."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """For the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """An endpoint from ``/ip4/127.0.0.1/tcp/5001``, ``http://127.0.0.1:5001`` or ``127.0.0.1:5001``.

    Raises:
        BadApiAddress: anything else.
    """
    text = text.strip()
    port = text.removeprefix(_USUAL)
    if port != text and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536:
        return Endpoint("127.0.0.1", int(port))
    if text.startswith("/"):
        from cidery.multiformats.multiaddr import Multiaddr

        try:
            found = Multiaddr.parse(text.removesuffix("/http")).tcp_endpoint()
        except InvalidInput as exc:
            raise BadApiAddress(text) from exc
        if found is None:
            raise BadApiAddress(text)
        return Endpoint(*found)
    host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    if (
        not colon
        or not host
        or not (port.isascii() and port.isdigit())
        or len(port) > 5
        or not 0 < int(port) < 65536
        or "/" in host
        or "@" in host
    ):
        raise BadApiAddress(text)
    return Endpoint(host.strip("[]"), int(port))


def read_api_file(repo: str) -> str | None:
    """The address in ``$REPO/api``, None if there is no such file: no daemon runs, or it was killed."""
    import os

    try:
        with open(os.path.join(repo, "api"), encoding="ascii", errors="replace") as file:
            return file.read(MAX_API_FILE).strip() or None
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
