"""Where a daemon listens: the ``api`` file of a repository, or an address given by hand."""

from __future__ import annotations

from cidery.errors import InvalidInput
from cidery.http.authorization import CERTIFICATE_FILE, TOKEN_FILE
from cidery.plain_files import read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cidery.light_types import NamedTuple

_USUAL = "/ip4/127.0.0.1/tcp/"
"""The usual start of an ``api`` file: parsed without importing all protocols, which takes half of a call's start."""
HTTPS_PORT = 443
"""Of ``https://host``."""
MAX_API_FILE = 1024
"""Most bytes read of the ``api`` file."""


class BadApiAddress(InvalidInput):
    """Not an address of an RPC server."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return (
            f"{self.given[:80]!r} is not an RPC address; give one such as /ip4/127.0.0.1/tcp/5001 or https://HOST:PORT"
        )


class BadApiFile(InvalidInput):
    """The ``api`` file of a repository holds no address."""

    def __init__(self, repo: str, text: str) -> None:
        super().__init__(repo, text)
        self.repo = repo
        self.text = text

    def __str__(self) -> str:
        return f"{self.repo}/api holds {self.text[:80]!r}, which is no RPC address; remove the file if no daemon runs"


class UnreadableFile(InvalidInput):
    """What says where the daemon is, is no file that can be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.reason.lower()}; remove it if no daemon runs"


class BadSecret(InvalidInput):
    """A text that cannot be sent in a header."""

    def __str__(self) -> str:
        return "a secret of API.Authorizations is printable ASCII, as bearer:TOKEN or basic:USER:PASSWORD"


def checked_secret(text: str) -> str:
    """``text``. Raises BadSecret if it cannot be a secret of API.Authorizations."""
    kind, colon, rest = text.partition(":")
    if not text.isascii() or not text.isprintable() or not (rest if colon else kind):
        raise BadSecret
    return text


class Endpoint(NamedTuple):
    """Host and port of an RPC server, or the path of its socket; and the secrets that each call carries."""

    host: str
    port: int
    path: str = ""
    """Of a Unix socket; then host and port are unused."""
    token: str = ""
    """Only the daemon with this token is meant; "": any that answers."""
    secret: str = ""
    """One of API.Authorizations, in the form of --api-auth."""
    secure: bool = False
    """Whether it speaks TLS."""
    server: str = ""
    """The name that its certificate must have; "": the host."""
    authorities: str = ""
    """File in PEM with what may have signed its certificate, or with itself; "": what the system trusts."""
    pinned: str = ""
    """File in PEM with its very certificate, whatever it is signed by and named; "": unknown."""

    def trusting(self, authorities: str) -> Endpoint:
        """The same, with this file in PEM of those who may have signed its certificate, if it is not known anyway."""
        return self._replace(authorities=authorities) if self.secure and authorities else self

    def with_secret(self, secret: str) -> Endpoint:
        """The same, called as the user of API.Authorizations with this secret. Raises BadSecret."""
        return self._replace(secret=checked_secret(secret))

    @property
    def name(self) -> str:
        """For messages."""
        return self.path or (self.url if self.secure else self.authority)

    @property
    def url(self) -> str:
        """``http://host:port`` or ``https://host:port``."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """For the Host header."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """An endpoint from ``/ip4/127.0.0.1/tcp/5001``, ``http://127.0.0.1:5001`` or ``127.0.0.1:5001``.

    A URL may end in ``/api/v0``. Over TLS: ``https://host``, ``https://host:port``, and addresses that end in
    ``/https``, ``/tls`` or ``/tls/http``.

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
            addr = Multiaddr.parse(text)
        except InvalidInput as exc:
            raise BadApiAddress(text) from exc
        if path := addr.unix_path():
            return Endpoint("", 0, path)
        found = addr.http_endpoint()
        if found is None or not found.port:
            raise BadApiAddress(text)
        return Endpoint(found.host, found.port, secure=found.secure, server=found.name)
    secure = text.startswith("https://")
    rest = text.removeprefix("https://" if secure else "http://").rstrip("/")
    if rest != text:
        rest = rest.removesuffix("/api/v0")  # as some clients of Kubo want it
    if secure and (":" not in rest or rest.endswith("]")):
        rest += f":{HTTPS_PORT}"
    host, colon, port = rest.rpartition(":")
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
    return Endpoint(host.strip("[]"), int(port), secure=secure)


def read_api_file(repo: str) -> str | None:
    """The address in ``$REPO/api``, None if there is no such file: no daemon runs, or it was killed."""
    return _first_line(repo, "api") or None


def find_daemon(repo: str) -> Endpoint | None:
    """Where the daemon of a repository should be, and the token that only this daemon has. Raises BadApiFile."""
    text = read_api_file(repo)
    if text is None:
        return None
    try:
        endpoint = parse_endpoint(text)
    except InvalidInput as exc:
        raise BadApiFile(repo, text) from exc
    pinned = _pinned(repo) if endpoint.secure else ""
    token = _first_line(repo, TOKEN_FILE)
    # Kubo's daemon has no token, and another user's token is not readable; one that ends removes both files
    if not token and read_api_file(repo) is None:
        return None
    return endpoint._replace(token=token, pinned=pinned)


def _pinned(repo: str) -> str:
    """What a running daemon of this machine has written there."""
    import os

    path = os.path.join(repo, CERTIFICATE_FILE)
    return path if os.path.exists(path) else ""


def _first_line(repo: str, name: str) -> str:
    import os

    try:
        text = read_plain(os.path.join(repo, name), MAX_API_FILE).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""
    except OSError as exc:  # a directory, or a broken disk
        raise UnreadableFile(os.path.join(repo, name), exc.strerror or str(exc)) from exc
    return text.strip().partition("\n")[0]
