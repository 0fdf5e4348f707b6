"""docs/settings.md: every key of the config, from its definition. Run it to write the page; a test compares.

What reads a key is found in the source: modules that name the key's field of Config, and, for a field of a part of
Config such as ProvideConfig, also name that part.
"""

import ast
import json
from pathlib import Path
from typing import Any, NamedTuple

from cidery.identity.keys import PrivateKey
from cidery.repo.config import default_raw, parse_config
from cidery.repo.config_file import lookup
from cidery.repo.config_keys import KEYS
from cidery.repo.config_meaning import MEANING

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "cidery"
PAGE = ROOT / "docs" / "settings.md"
PARTS = {
    "serving": "GatewaySettings",
    "provide": "ProvideConfig",
    "imports": "ImportConfig",
    "conn_mgr": "ConnMgrConfig",
    "names": "NamesConfig",
    "pubsub": "PubsubConfig",
    "limits": "LimitsConfig",
    "transports": "TransportsConfig",
    "relays": "RelaysConfig",
    "relay_service": "RelayServiceConfig",
    "autotls": "AutoTlsConfig",
}
UNSET = {
    "AutoNAT.ServiceMode": '"enabled"',
    "AutoTLS.Enabled": "true, after RegistrationDelay",
    "Gateway.DisableHTMLErrors": "false",
    "Gateway.NoDNSLink": "false",
    "Swarm.DisableNatPortMap": "false",
    "Swarm.Transports.Security.Noise": "100",
    "Swarm.Transports.Security.TLS": "200",
}
"""Of keys whose field is another kind of value."""
HEAD = """# Settings

Every key of `$IPFS_PATH/config` that has an effect, written by `make settings` from the definitions in
`src/cidery/repo/`. Keys have Kubo's names and meanings; other keys of Kubo's are kept and have no effect, unless they
forbid something: then no node starts.

A config is read when a repository is opened: **a daemon takes every change at its next start**, a command without a
daemon at once. *Unset* is the value without the key (times in seconds, sizes in bytes), *init* what `cidery init`
writes.

| key | meaning | takes | unset | init | read by |
|---|---|---|---|---|---|
"""


class Read(NamedTuple):
    """Names that a module mentions."""

    attributes: set[str]
    names: set[str]


def modules() -> dict[str, Read]:
    """What is mentioned where, outside of the config's own modules."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(("repo/config", "methods/")):  # the methods have a group of commands that is named config
            continue
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
        attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        found[name] = Read(attributes, attributes | {node.id for node in nodes if isinstance(node, ast.Name)})
    return found


def readers(field: str, mentioned: dict[str, Read]) -> list[str]:
    """Modules that read a field."""
    part, _, last = field.rpartition(".")
    return [
        module
        for module, read in mentioned.items()
        if last in read.attributes and (bool({part, PARTS[part]} & read.names) if part else reads_config(read))
    ]


def reads_config(read: Read) -> bool:
    """Whether a module has the whole config at hand."""
    return bool({"config", "Config"} & read.names)


def _value(config: Any, field: str) -> str:
    for name in field.split("."):
        config = getattr(config, name)
    return _shown(config)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return json.dumps([str(one) for one in value]) if value else "[]"
    return (
        json.dumps(value)
        if isinstance(value, bool | dict | str)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def unset_values() -> dict[str, str]:
    """What a key that is not there amounts to, by key; "" for nothing."""
    key = PrivateKey.generate_ed25519(bytes)
    bare = parse_config({"Identity": default_raw(key)["Identity"]})
    found = {name: UNSET.get(name) or _value(bare, MEANING[name].field) for name in KEYS}
    return {name: "" if name.startswith("Identity.") else value for name, value in found.items()}


def page() -> str:
    """The text of the page."""
    key = PrivateKey.generate_ed25519(bytes)
    written = default_raw(key)
    unset_of, mentioned = unset_values(), modules()
    rows = []
    for name in sorted(KEYS):
        field, text = MEANING[name]
        first = lookup(written, name)
        init = "" if name.startswith("Identity.") or first is None else json.dumps(first)
        if len(init) > 60:
            init = f"{len(first)} of them"
        cells = [f"`{name}`", text, KEYS[name].words, unset_of[name], init, ", ".join(readers(field, mentioned))]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
