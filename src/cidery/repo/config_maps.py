"""What is wrong with a setting that is an object of names: which entry, and which field of it. Pure."""

import re
from collections.abc import Callable, Iterable
from typing import Any

MAX_HEADERS = 64
"""Most entries of Gateway.HTTPHeaders and API.HTTPHeaders, each of which is sent with every answer."""
MAX_USERS = 1000
"""Most entries of API.Authorizations: each call is compared with all of them."""
MAX_HOSTS = 10_000
"""Most entries of Gateway.PublicGateways."""
MAX_SERVICES = 1000
"""Most entries of Pinning.RemoteServices."""
FLAGS = ("UseSubdomains", "InlineDNSLink", "NoDNSLink", "DeserializedResponses")
PATHS = ("/ipfs", "/ipns")
SHOWN = 40
"""Characters of a wrong name or value that are repeated."""
OF_ONE_ANSWER = frozenset(
    "accept-ranges connection content-disposition content-encoding content-length content-range content-type date etag"
    " keep-alive last-modified location retry-after server te trailer transfer-encoding upgrade x-ipfs-path"
    " x-ipfs-roots".split()
)
"""Headers that are not for all answers alike."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{0,4096}")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+|0|")
_HOST = re.compile(r"[a-z0-9*_.\[\]:-]{1,260}", re.IGNORECASE)


def gateways_fault(value: Any) -> str:
    """What is wrong with Gateway.PublicGateways; "": nothing."""
    return _entries(value, MAX_HOSTS, _gateway_fault)


def headers_fault(value: Any) -> str:
    """The same of Gateway.HTTPHeaders and API.HTTPHeaders."""
    return _entries(value, MAX_HEADERS, _header_fault)


def users_fault(value: Any) -> str:
    """The same of API.Authorizations. Secrets are not repeated."""
    return _entries(value, MAX_USERS, _user_fault)


def files_fault(value: Any) -> str:
    """The same of API.TLS, Gateway.TLS and Swarm.TLS."""
    names = ("CertFile", "KeyFile")
    if not isinstance(value, dict):
        return "it is no object"
    if unknown := _unknown(value, names):
        return unknown
    missing = [name for name in names if value and name not in value]
    if missing:
        return f"{missing[0]} is missing"
    wrong = [name for name, path in value.items() if not isinstance(path, str) or not path.startswith("/")]
    return f"{wrong[0]} is an absolute path, not {_shown(value[wrong[0]])}" if wrong else ""


def services_fault(value: Any) -> str:
    """The same of Pinning.RemoteServices. Keys are not repeated."""
    return _entries(value, MAX_SERVICES, _service_fault)


def _entries(value: Any, most: int, one: Callable[[str, Any], str]) -> str:
    if not isinstance(value, dict) or len(value) > most:
        return f"it is no object of at most {most} entries"
    for name, item in value.items():
        if fault := one(name, item):
            return f"{name[:SHOWN]}: {fault}"
    return ""


def _unknown(entry: dict[str, Any], known: Iterable[str]) -> str:
    strange = next((name for name in entry if name not in known), None)
    if strange is None:
        return ""
    from difflib import get_close_matches  # errors only

    lower = {name.lower(): name for name in known}
    near = get_close_matches(strange.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]}?" if near else f"there are {', '.join(lower.values())}"
    return f"{strange[:SHOWN]!r} is unknown; {hint}"


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}..."


def _gateway_fault(host: str, entry: Any) -> str:
    if not _HOST.fullmatch(host):
        return "it is no host, with or without a port"
    if entry is None:
        return ""
    if not isinstance(entry, dict):
        return "it is an object of fields, or null"
    if unknown := _unknown(entry, ("Paths", *FLAGS)):
        return unknown
    for flag in FLAGS:
        if not isinstance(entry.get(flag), bool | None):
            return f"{flag} is true or false, not {_shown(entry[flag])}"
    if entry.get("UseSubdomains") and is_address(host):
        return "UseSubdomains needs the name of a host: nothing can be below an address"
    return _paths_fault(entry.get("Paths") or [])


def _paths_fault(paths: Any) -> str:
    if not isinstance(paths, list):
        return f"Paths is a list of /ipfs and /ipns, not {_shown(paths)}"
    for path in paths:
        if path not in PATHS:
            bare = isinstance(path, str) and path.endswith("/") and path.rstrip("/") in PATHS
            return (
                f"Paths: {_shown(path)} is neither /ipfs nor /ipns{'; leave out the slash at its end' if bare else ''}"
            )
    return ""


def is_address(host: str) -> bool:
    """Whether a host, with or without a port, is an IP address: what ends in a number is one, and no name."""
    from ipaddress import ip_address  # seldom used, and every command reads the config

    bare = host[1:].partition("]")[0] if host.startswith("[") else host
    try:
        ip_address(bare)
    except ValueError:
        return bare.partition(":")[0].rpartition(".")[2].isdigit()
    return True


def _header_fault(name: str, texts: Any) -> str:
    if name.lower() in OF_ONE_ANSWER:
        return "it says how one answer is framed or what it holds, and would be false on others"
    return _texts_fault(name, texts)


def _texts_fault(name: str, texts: Any) -> str:
    if not _HEADER_NAME.fullmatch(name):
        return "it is no name of a header"
    if not isinstance(texts, list):
        return f'it is a list of texts, as ["a"], not {_shown(texts)}'
    wrong = next((text for text in texts if not isinstance(text, str) or not _HEADER_TEXT.fullmatch(text)), None)
    return "" if wrong is None else f"{_shown(wrong)} is no text of at most 4096 printable ASCII characters"


def _user_fault(name: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        return "it is no object of fields"
    if unknown := _unknown(entry, ("AuthSecret", "AllowedPaths")):
        return unknown
    secret, paths = entry.get("AuthSecret"), entry.get("AllowedPaths") or []
    readable = isinstance(secret, str) and secret.isascii() and secret.isprintable() and secret.strip() == secret
    if not isinstance(secret, str) or not readable or not secret.rpartition(":")[2]:
        return "AuthSecret is bearer:TOKEN or basic:USER:PASSWORD, in printable ASCII"
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        return f'AllowedPaths is a list of paths, as ["/api/v0"], not {_shown(paths)}'
    return ""


_SERVICE: dict[str, tuple[str, ...]] = {"API": ("Endpoint", "Key"), "MFS": ("Enable", "PinName", "RepinInterval")}


def _service_fault(name: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        return "it is no object of fields"
    policies = entry.get("Policies") or {}
    if unknown := _unknown(entry, ("API", "Policies")):
        return unknown
    if not isinstance(policies, dict):
        return "Policies is no object"
    if unknown := _unknown(policies, ("MFS",)):
        return f"Policies: {unknown}"
    for part, fields in (("API", entry.get("API") or {}), ("MFS", policies.get("MFS") or {})):
        if not isinstance(fields, dict):
            return f"{part} is no object"
        if unknown := _unknown(fields, _SERVICE[part]):
            return f"{part}: {unknown}"
        for field, value in fields.items():
            if not isinstance(value, (bool if field == "Enable" else str) | None):
                return f"{part}.{field} is {'true or false' if field == 'Enable' else 'a text'}"
    interval = (policies.get("MFS") or {}).get("RepinInterval") or ""
    return "" if _DURATION.fullmatch(interval) else f"RepinInterval is a duration such as 5m, not {_shown(interval)}"
