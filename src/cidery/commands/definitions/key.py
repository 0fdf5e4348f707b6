"""Definitions of the key group."""

from __future__ import annotations

from cidery.commands.definition import (
    BY_COMMAND_LINE,
    Argument,
    Call,
    Command,
    Input,
    Repo,
    Value,
    Where,
    flag,
    number,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

_BASE = text("ipns-base", "Multibase of the ids; b58mh: the older form", default="base36", alias="ipns-base-encoding")
_FORMAT = text(
    "format",
    "Form of the key",
    default="libp2p-protobuf-cleartext",
    short="f",
    choices=("libp2p-protobuf-cleartext", "pem-pkcs8-cleartext"),
)
_KEY = text("key", "Name or id of the key", default="self", short="k")
_DATA = Argument("data", "File with the message; standard input if absent", Input.FILE_OR_STDIN)


class Key(TypedDict):
    Name: str
    Id: str


class Keys(TypedDict):
    Keys: list[Key]


class Renamed(TypedDict):
    Was: str
    Now: str
    Id: str
    Overwrite: bool


class Signed(TypedDict):
    Key: Key
    Signature: str
    """Multibase base64url."""


class Verified(TypedDict):
    Key: Key
    SignatureValid: bool


class Written(TypedDict):
    Path: str


class Rotated(TypedDict):
    Was: str
    Now: str
    Key: str
    """Name of the key that keeps the old identity."""


def _id(value: Value, call: Call) -> str:
    return f"{value['Id']}\n"


def _list(value: Value, call: Call) -> str:
    keys = value["Keys"]
    if not call.flag("long"):
        return "".join(f"{key['Name']}\n" for key in keys)
    width = max((len(key["Id"]) for key in keys), default=0)
    return "".join(f"{key['Id']:{width}} {key['Name']}\n" for key in keys)


def _renamed(value: Value, call: Call) -> str:
    replaced = " (which was another key)" if value["Overwrite"] else ""
    return f"Key {value['Id']} renamed to {value['Now']}{replaced}\n"


def _rotated(value: Value, call: Call) -> str:
    return f"the identity is now {value['Now']}; {value['Was']} is kept as key {value['Key']}\n"


COMMANDS = (
    Command(
        ("key", "gen"),
        "Make a key, and so a name that only you can publish under",
        "cidery.commands.run.key:gen",
        "cidery key gen website",
        (Argument("name", "What to call it"),),
        (
            text("type", "Type of the key", default="ed25519", short="t", choices=("ed25519", "rsa", "secp256k1")),
            number("size", "Bits of an RSA key; other kinds have a fixed size", short="s"),
            _BASE,
        ),
        result=Key,
        text=_id,
    ),
    Command(
        ("key", "ls"),
        "List the keys of this node",
        "cidery.commands.run.key:ls",
        "cidery key ls -l",
        (),
        (flag("long", "Show their ids too", short="l"), _BASE),
        result=Keys,
        text=_list,
        repo=Repo.READ,
        aliases=(("key", "list"),),
    ),
    Command(
        ("key", "rename"),
        "Give a key another name",
        "cidery.commands.run.key:rename",
        "cidery key rename website old-website",
        (Argument("name", "The key"), Argument("newName", "What to call it")),
        (flag("force", "Replace another key of that name", short="f"), _BASE),
        result=Renamed,
        text=_renamed,
    ),
    Command(
        ("key", "rm"),
        "Delete keys for good: nobody can publish under their names any more",
        "cidery.commands.run.key:rm",
        "cidery key rm old-website",
        (Argument("name", "The keys", variadic=True),),
        (flag("long", "Show their ids too", short="l"), _BASE),
        result=Keys,
        text=_list,
    ),
    Command(
        ("key", "import"),
        "Import a key from a file",
        "cidery.commands.run.key:take",
        "cidery key import website website.key",
        (Argument("name", "What to call it"), Argument("key", "The file", Input.FILE_OR_STDIN)),
        (_FORMAT, flag("allow-any-key-type", "Also ECDSA"), _BASE),
        result=Key,
        text=_id,
    ),
    Command(
        ("key", "export"),
        "Write a key to a file, unencrypted: keep it safe",
        BY_COMMAND_LINE,
        "cidery key export website -o website.key",
        (Argument("name", "The key"),),
        (
            text("output", "File to write; NAME.key or NAME.pem if absent", short="o"),
            _FORMAT,
            flag("identity", "Export even self, the identity of this node"),
        ),
        result=Written,
        text=lambda value, call: "",
        where=Where.CLIENT,
        repo=Repo.CONFIG,
    ),
    Command(
        ("key", "rotate"),
        "Give the node another identity and keep the old one as a key (the daemon must be stopped)",
        BY_COMMAND_LINE,
        "cidery key rotate --oldkey before-2026",
        (),
        (
            text("oldkey", "What to call the old identity", short="o"),
            text("type", "Type of the new one", default="ed25519", short="t", choices=("ed25519", "rsa", "secp256k1")),
            number("size", "Bits of an RSA key; other kinds have a fixed size", short="s"),
        ),
        result=Rotated,
        text=_rotated,
        waits=True,
        where=Where.CLIENT,
        repo=Repo.CONFIG,
    ),
    Command(
        ("key", "sign"),
        "Sign a message",
        "cidery.commands.run.key:sign",
        "cidery key sign --key=website message.txt",
        (_DATA,),
        (_KEY, _BASE),
        result=Signed,
        text=lambda value, call: f"{value['Signature']}\n",
        repo=Repo.READ,
    ),
    Command(
        ("key", "verify"),
        "Check the signature of a message",
        "cidery.commands.run.key:verify",
        "cidery key verify --key=k51... --signature=u... message.txt",
        (_DATA,),
        (_KEY, text("signature", "The signature, in any multibase", short="s"), _BASE),
        result=Verified,
        text=lambda value, call: "valid\n" if value["SignatureValid"] else "not valid\n",
        repo=Repo.READ,
    ),
)
