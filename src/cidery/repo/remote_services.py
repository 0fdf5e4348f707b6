"""Remote pinning services of the config: Pinning.RemoteServices, a name, an address and a key for each.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#pinning
"""

from __future__ import annotations

from copy import deepcopy
from posixpath import normpath
from typing import Any, NamedTuple

from cidery.errors import InvalidInput, NotFound
from cidery.repo.config_file import Raw
from cidery.repo.config_keys import parse_seconds

MAX_ENDPOINT = 2048
"""Longest address of a service, in characters."""
MAX_KEY = 16 * 1024
"""Longest key: it travels in a header."""
MAX_SERVICE_NAME = 255
"""Longest name of a service, in characters."""
REPIN_SECONDS = 300.0
"""Least time between two requests that follow the mutable files, unless the config says otherwise; as in Kubo."""


class BadService(InvalidInput):
    """A service cannot be called this, or be there, or have this key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class UnknownService(NotFound):
    """No service has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return "service not known; see: cidery pin remote service ls"


class FilesPolicy(NamedTuple):
    """How a service follows the mutable files."""

    enabled: bool
    pin_name: str
    """"": one made of the node's id."""
    interval: float
    """Least seconds between two requests."""


class RemoteService(NamedTuple):
    """One service."""

    name: str
    endpoint: str
    """A URL without a final slash."""
    key: str
    files: FilesPolicy


def endpoint_url(text: str) -> str:
    """A service's URL in the form that paths are put behind. Raises BadService."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text or len(text) > MAX_ENDPOINT:
        raise BadService("service endpoint must be a valid HTTP URL")
    if parts.username is not None or parts.fragment:
        raise BadService("service endpoint must be a valid HTTP URL, without a user and without a fragment")
    if parts.query:
        raise BadService("service endpoint should be provided without any query parameters")
    path = "/" + normpath(f"/{parts.path}").strip("/")
    if path.endswith("/pins"):
        raise BadService("service endpoint should be provided without the /pins suffix")
    return f"{parts.scheme}://{parts.netloc}{'' if path == '/' else path}"


def check_key(key: str) -> str:
    """The key. Raises BadService, without repeating it."""
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable() or key != key.strip():
        raise BadService("service key must be printable ASCII without blanks around it")
    return key


def services_of(value: dict[str, Any]) -> tuple[RemoteService, ...]:
    """The services of Pinning.RemoteServices, which services_fault() has accepted, by name."""
    return tuple(_service(name, value[name]) for name in sorted(value))


def _service(name: str, entry: dict[str, Any]) -> RemoteService:
    api, files = entry.get("API") or {}, (entry.get("Policies") or {}).get("MFS") or {}
    interval = files.get("RepinInterval")
    policy = FilesPolicy(
        bool(files.get("Enable")),
        files.get("PinName") or "",
        parse_seconds(interval) if interval else REPIN_SECONDS,
    )
    return RemoteService(name, api.get("Endpoint") or "", api.get("Key") or "", policy)


def with_service(raw: Raw, name: str, endpoint: str, key: str) -> Raw:
    """A config with one more service. Raises BadService."""
    if not name or len(name) > MAX_SERVICE_NAME or not name.isprintable():
        raise BadService(f"a service's name has 1 to {MAX_SERVICE_NAME} printable characters")
    changed = deepcopy(raw)
    services = _services(changed)
    if name in services:
        raise BadService("service already present")
    services[name] = {
        "API": {"Endpoint": endpoint_url(endpoint), "Key": check_key(key)},
        "Policies": {"MFS": {"Enable": False, "PinName": "", "RepinInterval": ""}},
    }
    return changed


def without_service(raw: Raw, name: str) -> Raw:
    """A config without a service; the same if it is not there, as in Kubo."""
    changed = deepcopy(raw)
    _services(changed).pop(name, None)
    return changed


def _services(raw: Raw) -> dict[str, Any]:
    at: Any = raw
    for part in ("Pinning", "RemoteServices"):
        if not isinstance(at.get(part), dict):
            at[part] = {}
        at = at[part]
    services: dict[str, Any] = at
    return services


def find_service(services: tuple[RemoteService, ...], name: str) -> RemoteService:
    """The service of a name, with an address that can be asked. Raises UnknownService, BadService."""
    for service in services:
        if service.name == name:
            return service._replace(endpoint=endpoint_url(service.endpoint), key=check_key(service.key))
    raise UnknownService(name)
