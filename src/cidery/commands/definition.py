"""One declarative definition per command: the CLI parser, ``--help`` and the RPC endpoint are derived from it.

A definition names its implementation as text (``"package.module:function"``), so that printing help, a version or a
usage error imports no implementation (no asyncio, no HTTP, no cryptography, no database). For the same reason this
module and all definitions avoid ``dataclasses``: importing it costs more than the rest of a start together.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import Enum
    from typing import Any, NamedTuple

    Value = Mapping[str, Any]
else:
    from cidery.light_types import Enum, NamedTuple

    Value = dict
"""One result as JSON: exactly the object sent over the wire; its shape is the TypedDict in ``Command.result``."""


class OptionType(Enum):
    """How the text of an option is parsed."""

    BOOL = "bool"
    INT = "int"
    TEXT = "text"
    TEXTS = "texts"
    """May be given many times."""
    DURATION = "duration"
    """Go's notation (``1h30m``, ``300ms``); the value is seconds as float."""


class Input(Enum):
    """What an argument stands for."""

    TEXT = "text"
    TEXT_OR_STDIN = "text, or lines of standard input when no argument is given"
    FILES = "file tree: paths for the CLI, a multipart body for the RPC"
    FILE_OR_STDIN = "one file: a path or standard input for the CLI, a multipart body for the RPC"


class Output(Enum):
    """The kind of result of a run."""

    VALUE = "one value"
    STREAM = "a stream of values"
    BYTES = "bytes with a media type"
    NOTHING = "no result"


BY_COMMAND_LINE = ""
"""In place of an implementation: the command line has it, in a layer above the definitions (cli/fronts.py)."""


class Where(Enum):
    """Where a command may run; with a live daemon, always there unless CLIENT."""

    BOTH = "in the daemon when one runs, else in this process without a network"
    DAEMON = "only in a running daemon: it needs the network"
    CLIENT = "only in this process"


class Repo(Enum):
    """The access to the repository that a run in this process needs."""

    NONE = "none"
    CONFIG = "its config file"
    READ = "read without the lock"
    WRITE = "locked for writing"


class Option(NamedTuple):
    """One option. Names are matched exactly; over RPC any of the names is accepted."""

    name: str
    type: OptionType
    help: str
    default: object = None
    """Default value; None: absent unless given."""
    short: str = ""
    """One letter."""
    choices: tuple[str, ...] = ()
    alias: str = ""
    """A second long name."""
    deprecated: str = ""
    """The replacement, if deprecated; else empty."""
    client_only: bool = False
    """Handled by the command line alone, and not sent to a daemon."""
    no_effect: str = ""
    """Why the option has no effect, which the command line reports once; empty for all others."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.name, self.alias, self.short) if name)


class Argument(NamedTuple):
    """One positional argument; only the last may be variadic."""

    name: str
    help: str
    input: Input = Input.TEXT
    required: bool = True
    variadic: bool = False
    multibase: bool = False
    """Whether the RPC takes it as multibase text in base64url, which the command line makes of what is typed."""
    unless: str = ""
    """A flag with which nothing is read from standard input."""
    secret: bool = False
    """Whether nobody is shown what was given."""

    @property
    def is_file(self) -> bool:
        return self.input in (Input.FILES, Input.FILE_OR_STDIN)


class Command(NamedTuple):
    """All there is to know about a command without running it."""

    path: tuple[str, ...]
    summary: str
    """One line, imperative, without a full stop."""
    run: str = ""
    """``module:function``, or BY_COMMAND_LINE.

    ``async def (Context, Call) -> Value | Body``, or an async generator for STREAM.
    """
    example: str = ""
    """A working command line, shown by --help."""
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    output: Output = Output.VALUE
    media_type: str = "application/json"
    other_media_type: str = ""
    """Of bytes in another form, which an option asks for."""
    result: Any = None
    """TypedDict of one value, or types joined by |; None: it has none."""
    text: Callable[[Value, Call], str] | None = None
    """Text form of one value, with its line end; "" prints nothing. None: JSON."""
    verbatim: bool = False
    """Whether ``text`` receives the value as is; else all its texts are escaped, since names may hold line ends."""
    where: Where = Where.BOTH
    repo: Repo = Repo.WRITE
    writes_with: tuple[str, ...] = ()
    """Flags that make a command of Repo.READ need the lock."""
    description: str = ""
    aliases: tuple[tuple[str, ...], ...] = ()
    deprecated: str = ""
    progress: bool = False
    """Whether values without a result report progress, or the length of a BYTES body is known."""
    waits: bool = False
    """Whether a run without an open repository awaits threads or sockets: it gets an event loop."""
    loopless: bool = False
    """Whether a run without a daemon waits for nothing but the disk, unless it has a name to look up or large files to
    read: it gets no event loop."""
    loops_with: tuple[str, ...] = ()
    """Options that make a command with ``loopless`` need an event loop all the same."""
    at_hand: bool = False
    """Whether a run that finds its blocks in the store awaits nothing else: a daemon then answers it without a task."""
    live: bool = False
    """Whether each value is written out as it arrives, even to a pipe."""

    @property
    def name(self) -> str:
        return " ".join(self.path)

    @property
    def over_rpc(self) -> bool:
        return self.where is not Where.CLIENT

    @property
    def file_argument(self) -> Argument | None:
        return next((arg for arg in self.arguments if arg.is_file), None)


class Call(NamedTuple):
    """A command with its checked arguments and options, as an implementation receives it."""

    command: Command
    arguments: dict[str, list[str]]
    """Argument name -> texts; empty list when absent. File arguments: local paths (CLI) or empty (RPC)."""
    options: dict[str, Any]
    """Option name -> value of its type; defaults filled in, None when absent without default."""
    given: frozenset[str]
    """Names of the options that were given."""

    def shown(self, value: Value) -> str:
        """The text form of a value of a command that has one."""
        assert self.command.text is not None  # checked by the caller
        if not self.command.verbatim:
            from cidery.commands.escaping import escaped_value

            value = escaped_value(value)
        return self.command.text(value, self)

    def one(self, argument: str) -> str:
        """The only value of a required argument."""
        return self.arguments[argument][0]

    def optional(self, argument: str) -> str | None:
        texts = self.arguments[argument]
        return texts[0] if texts else None

    def many(self, argument: str) -> list[str]:
        return self.arguments[argument]

    def flag(self, option: str) -> bool:
        value = self.options[option]
        assert isinstance(value, bool)  # bind() made it from an OptionType.BOOL with a default
        return value

    def number(self, option: str) -> int:
        value = self.options[option]
        assert isinstance(value, int)  # bind() made it from an OptionType.INT with a default
        return value

    def number_or_none(self, option: str) -> int | None:
        value = self.options[option]
        assert value is None or isinstance(value, int)  # as in number()
        return value

    def text(self, option: str) -> str:
        """The text, "" when absent."""
        value = self.options[option]
        assert value is None or isinstance(value, str)  # bind() made it from an OptionType.TEXT
        return value or ""

    def texts(self, option: str) -> list[str]:
        value = self.options[option]
        return list(value) if value else []

    def seconds(self, option: str) -> float | None:
        value = self.options[option]
        assert value is None or isinstance(value, float)  # bind() made it from an OptionType.DURATION
        return value


_modules: dict[str, Any] = {}
"""Each call of the RPC would import again; functools.cache() would take a millisecond of a start."""


def load(reference: str) -> Any:
    """Import the object that ``module:function`` names."""
    module, _, name = reference.partition(":")
    if module not in _modules:
        _modules[module] = import_module(module)
    return getattr(_modules[module], name)


def flag(name: str, help: str, *, default: bool = False, short: str = "", deprecated: str = "") -> Option:
    return Option(name, OptionType.BOOL, help, default, short, deprecated=deprecated)


def number(name: str, help: str, *, default: int | None = None, short: str = "", alias: str = "") -> Option:
    return Option(name, OptionType.INT, help, default, short, alias=alias)


def text(
    name: str,
    help: str,
    *,
    default: str | None = None,
    short: str = "",
    choices: tuple[str, ...] = (),
    alias: str = "",
    deprecated: str = "",
) -> Option:
    return Option(name, OptionType.TEXT, help, default, short, choices, alias, deprecated)


def ignored(name: str, why: str, *, type: OptionType = OptionType.BOOL, short: str = "") -> Option:
    """An option of Kubo's that is accepted, so that scripts run, but has no effect."""
    default = False if type is OptionType.BOOL else None
    return Option(name, type, f"No effect: {why}", default, short, no_effect=why)


ABOUT = "x-about-length"
"""Header of an answer whose length is only estimated."""
MAX_PAGE = 10_000
"""Most rows of a page of a long list."""


def page_options(row: str) -> tuple[Option, Option]:
    """Options of a list that is shown by pages, as commands.paging reads them. ``row``: what names a row."""
    return (
        number("limit", f"At most so many rows, up to {MAX_PAGE}, in the order in which --after goes on"),
        text("after", f"Go on behind this row: {row} of the last one seen"),
    )


FAST_PROVIDE = (
    ignored("fast-provide-root", "the roots that Provide.Strategy names are always announced at once"),
    ignored("fast-provide-dag", "blocks below a root are announced by the sweep; see: cidery provide once -r"),
    ignored("fast-provide-wait", "announcing continues in the background; see: cidery provide once"),
)
"""Options of the commands that store roots."""
GLOBAL_OPTIONS: tuple[Option, ...] = (
    text("repo-dir", "Repository to use instead of $CIDERY_PATH, $IPFS_PATH or ~/.cidery"),
    text("api", "Address of the daemon to use, as /ip4/127.0.0.1/tcp/5001 or https://HOST:PORT"),
    text("api-auth", "Secret for the daemon, as in its API.Authorizations: bearer:TOKEN or basic:USER:PASSWORD"),
    text(
        "api-ca",
        "File in PEM with what a daemon under TLS is trusted by, in place of $CIDERY_API_CA or what the system trusts",
    ),
    text(
        "config-file", "The repository's own config, if a script names it; no other is used", short="c", alias="config"
    ),
    flag("offline", "Do not use the network: only what is stored here", short="L")._replace(alias="local"),
    text("cid-base", "Multibase of the CIDs printed (a CIDv0 becomes CIDv1 in any base but base58btc)"),
    Option(
        "upgrade-cidv0-in-output",
        OptionType.BOOL,
        "Print each CIDv0 as CIDv1, in base32 unless another base is asked for",
        deprecated="--cid-base",
    ),
    text("encoding", "Form of the result", choices=("json", "text"), alias="enc"),
    Option("timeout", OptionType.DURATION, "Give up after this time (30s, 5m, 1h30m)"),
    flag("stream-channels", "Accepted for Kubo's clients; results are always streamed", default=True),
    flag("debug", "Log what happens to standard error", short="D"),
    flag("help", "Show help", short="h"),
)
"""Options of every command, anywhere on a command line. Over RPC only those of REMOTE_GLOBALS count."""
REMOTE_GLOBALS = ("offline", "cid-base", "upgrade-cidv0-in-output", "encoding", "timeout", "stream-channels")
