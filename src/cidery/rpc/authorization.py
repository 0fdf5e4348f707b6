"""Which callers may use which commands, when ``API.Authorizations`` names users; without it, all may.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#apiauthorizations
"""

from collections.abc import Sequence
from hmac import compare_digest

from cidery.http.authorization import header_of
from cidery.repo.config import Authorization

ALWAYS = "/api/v0/version"
"""Open to every user that the config names, regardless of its allowed paths."""
DENIED = (
    "RPC Access Denied: Please provide a valid authorization token as defined in the API.Authorizations configuration "
    "(cidery: --api-auth)"
)


class Authorizations:
    """The users of a config."""

    def __init__(self, users: Sequence[Authorization]) -> None:
        self._users = [(header_of(user.secret).encode(), user.paths) for user in users]

    def __bool__(self) -> bool:
        return bool(self._users)

    def allows(self, header: str, path: str) -> bool:
        """Whether the given Authorization header allows ``/api/v0/...``, decoded. O(users)."""
        if not self._users:
            return True
        given = header.encode("utf-8", "surrogateescape")
        # Every secret is compared, each in constant time, so that the duration reveals nothing about them.
        paths = [paths for secret, paths in self._users if compare_digest(secret, given)]
        if not paths:
            return False
        return path == ALWAYS or any(path.startswith(prefix) for several in paths for prefix in several)
