"""Decides where a command line runs: in a live daemon, else in this process when the definition allows it."""

from __future__ import annotations

import gc
import sys
import time

from cidery.cli.arguments import Line
from cidery.cli.fronts import front_of
from cidery.cli.output import AS_TEXT, NoProgress, Sink, comes_as_text, progress_for
from cidery.client.address import Endpoint, checked_secret, find_daemon, parse_endpoint
from cidery.client.answer import DaemonGone, WrongDaemon
from cidery.commands.bind import BadCall, bind, options_by_name
from cidery.commands.definition import ABOUT, Call, Command, Input, Output, Repo, Where
from cidery.errors import Unavailable
from cidery.node.location import api_authorities, repo_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cidery.cli.output import Progress
    from cidery.cli.watching import Watch

MAX_STDIN_LINES = 100_000
"""Most arguments read from standard input for one call."""


def run_alone(call: Call, repo: str) -> int:
    """Run a command for which steps_alone() holds."""
    from cidery.cli.immediate import run_immediately

    return run_immediately(call, repo)


def steps_alone(command: Command) -> bool:
    """Whether a command waits for nothing, so that it needs no event loop: it reads at most the config."""
    return command.repo in (Repo.NONE, Repo.CONFIG) and command.file_argument is None and not command.waits


def needs_disk_alone(call: Call) -> bool:
    """Whether a call that opens a repository waits for nothing but the disk, so that it needs no event loop."""
    command, given = call.command, [text for texts in call.arguments.values() for text in texts]
    if not command.loopless or call.seconds("timeout") is not None or any("ipns" in text for text in given):
        return False
    if any(call.options[name] for name in command.loops_with):
        return False
    return command.file_argument is None or _are_small(call.arguments[command.file_argument.name])


def _are_small(paths: list[str]) -> bool:
    """Whether these are files so short that a second thread would not make them faster."""
    import os

    try:
        return bool(paths) and all(map(os.path.isfile, paths)) and sum(map(os.path.getsize, paths)) <= SMALL_INPUT
    except OSError:  # gone meanwhile: the command says so
        return False


SMALL_INPUT = 1 << 20
"""Bytes of files that a command without an event loop takes: some milliseconds of work."""

GC_THRESHOLD = 100_000
"""New objects that trigger a pass of the cycle collector; Python's own default is 700."""


class NeedsDaemon(Unavailable):
    """The command needs the network, and no daemon runs."""

    def __init__(self, command: Command, repo: str) -> None:
        super().__init__(command, repo)
        self.command = command
        self.repo = repo

    def __str__(self) -> str:
        import os

        needs = f"`cidery {self.command.name}` needs a running daemon"
        if not os.path.exists(os.path.join(self.repo, "config")):
            return f"{needs}, and there is no repository at {self.repo}; start with: cidery init, then: cidery daemon"
        return f"{needs}; start it with: cidery daemon"


def dispatch(line: Line) -> int:
    """Run a split line. Returns the exit code. Raises CideryError."""
    assert line.command is not None  # main() handles lines without a command
    command, options = line.command, line.options
    if _shows_progress(command, line):
        options = [*options, ("progress", "true")]
        line = line._replace(options=options)
    call = bind(command, with_stdin(command, line.arguments, options), options)
    _say_deprecated(call)
    began = time.monotonic()
    try:
        return _run(line, call)
    except KeyboardInterrupt:
        _say_how_to_go_on(call, time.monotonic() - began)
        if command.where is not Where.CLIENT and not line.last("api"):
            _say_suspended(repo_dir(line.last("repo-dir")))
        raise


def _shows_progress(command: Command, line: Line) -> bool:
    """Whether to ask a command for reports of its progress that was not told to make them: for a terminal."""
    known = options_by_name(command)
    option = known.get("progress")
    if option is None or option.default is not False or not sys.stderr.isatty():
        return False
    given = {known[name].name: text for name, text in line.options}
    return not given.keys() & {"progress", "quiet", "silent"} and given.get("encoding") != "json"


def _run(line: Line, call: Call) -> int:
    assert line.command is not None  # checked by dispatch()
    repo = repo_dir(line.last("repo-dir"))
    _check_config_file(line, repo)
    if line.command.repo is Repo.NONE and steps_alone(line.command) and not line.last("api"):
        return run_alone(call, repo)
    tried: Endpoint | None = None
    while True:  # one round, and another for each daemon that has started meanwhile
        if line.command.where is not Where.CLIENT:
            tried, explicit = _daemon(line, repo)
            try:
                if tried is not None:
                    return run_remote(tried, call, _query(call, line))
                if line.command.where is Where.DAEMON:
                    raise NeedsDaemon(line.command, repo)
            except (DaemonGone, NeedsDaemon) as exc:
                if explicit:
                    raise
                if _another(line, repo, tried):
                    continue
                # A killed daemon leaves its api file behind: work without it where that is possible.
                if line.command.where is Where.DAEMON:
                    if _starts(repo) and _another(line, repo, tried):
                        continue
                    raise
                if isinstance(exc, WrongDaemon):
                    print(f"{exc}; going on without a daemon", file=sys.stderr)
        try:
            return _run_here(call, repo)
        except Unavailable as exc:
            # before anything was read or written: the lock is the first thing that a command takes
            if line.command.where is Where.CLIENT or not _serves(exc) or not _another(line, repo, tried):
                raise


def _another(line: Line, repo: str, tried: Endpoint | None) -> bool:
    """Whether there is a daemon now that was not called yet."""
    return _daemon(line, repo)[0] not in (None, tried)


def _starts(repo: str) -> bool:
    """Wait for a daemon that is starting; whether one serves now. Raises RepoLocked if it takes too long."""
    from cidery.cli.starting import await_start

    return await_start(repo)


def _serves(fault: Unavailable) -> bool:
    """Whether ``fault`` is that a daemon has the repository, and serves."""
    from cidery.repo.lock import SERVING, RepoLocked

    return isinstance(fault, RepoLocked) and fault.phase == SERVING


def _run_here(call: Call, repo: str) -> int:
    """Run in this process. Raises CideryError."""
    if steps_alone(call.command):
        return run_alone(call, repo)
    # nothing that is imported becomes garbage: the cycle collector's passes over it are a seventh of a start
    collecting = gc.isenabled()
    if call.command.path == ("daemon",):
        gc.disable()  # until it has started
    else:
        gc.set_threshold(GC_THRESHOLD)
    try:
        if needs_disk_alone(call):
            from cidery.cli.immediate import run_with_disk

            return run_with_disk(call, repo)
        from cidery.cli.local import run_local

        return run_local(repo, call)
    finally:
        if collecting:
            gc.enable()


def _check_config_file(line: Line, repo: str) -> None:
    """Raises BadCall for a config elsewhere: continuing with another config would be worse than stopping."""
    import os

    known = options_by_name(line.command)
    given = next((text for name, text in reversed(line.options) if known[name].name == "config-file"), None)
    own = os.path.join(repo, "config")
    if given is not None and os.path.realpath(given) != os.path.realpath(own):
        raise BadCall(f"the config is always {own}, not {given[:200]!r}; choose a repository with --repo-dir")


def _say_deprecated(call: Call) -> None:
    if call.command.deprecated:
        print(f"`cidery {call.command.name}` is deprecated: use {call.command.deprecated}", file=sys.stderr)
    for option in call.command.options:
        if option.deprecated and option.name in call.given:
            print(f"option --{option.name} is deprecated: use {option.deprecated}", file=sys.stderr)
        if option.no_effect and option.name in call.given:
            print(f"option --{option.name} has no effect: {option.no_effect}", file=sys.stderr)


def _say_how_to_go_on(call: Call, seconds: float) -> None:
    if call.command.path == ("pin", "remote", "add"):
        service = call.text("service")
        print("Interrupted. If the service has the request, it continues with it; see:", file=sys.stderr)
        print(f"  cidery pin remote ls --service={service} --status=queued,pinning,pinned,failed", file=sys.stderr)
        return
    from cidery.core.worth import KEPT, WORTH_SECONDS

    if not KEPT.noted and (seconds < WORTH_SECONDS or call.command.path == ("get",)):
        return  # it may have broken off an import; of a get, it is known that there is nothing
    from cidery.commands.job_command import goes_on

    if goes_on(call):
        print("Interrupted: finished work is kept. Repeat the command to resume; see: cidery jobs", file=sys.stderr)


def _say_suspended(repo: str) -> None:
    """What answers nobody until it goes on, and keeps others from the repository."""
    from pathlib import Path

    from cidery.repo.layout import RepoLayout
    from cidery.repo.lock import suspended_holder

    if holder := suspended_holder(RepoLayout(Path(repo)).lock):
        print(f"the repository is in use by {holder.told_suspended}", file=sys.stderr)


def _daemon(line: Line, repo: str) -> tuple[Endpoint | None, bool]:
    """Where a daemon should be, and whether the user chose that address."""
    explicit = line.last("api")
    endpoint = parse_endpoint(explicit) if explicit else find_daemon(repo)
    if endpoint is not None and endpoint.secure:
        endpoint = endpoint.trusting(line.last("api-ca") or api_authorities())
    if secret := line.last("api-auth"):
        secret = checked_secret(secret)  # also if no daemon runs: a typing error shows at once
        endpoint = endpoint and endpoint.with_secret(secret)
    return endpoint, explicit is not None


def with_stdin(command: Command, arguments: list[str], options: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Arguments, or the lines of standard input for a command that takes them from there."""
    named = {name for name, _ in options}
    takes = [one for one in command.arguments if one.input is Input.TEXT_OR_STDIN and one.unless not in named]
    if not takes or len(arguments) >= len(command.arguments) or sys.stdin is None or sys.stdin.isatty():
        return arguments
    lines: list[str] = []
    for text in sys.stdin:
        if stripped := text.strip():
            lines.append(stripped)
        if len(lines) > MAX_STDIN_LINES:
            raise BadCall(f"more than {MAX_STDIN_LINES} lines on standard input; use xargs")
    return [*arguments, *lines]


def _query(call: Call, line: Line) -> list[tuple[str, str]]:
    """The RPC query of a call: its arguments (without local paths), and its options except this program's own."""
    known = options_by_name(call.command)
    query = [
        ("arg", _multibase(text) if argument.multibase else text)
        for argument in call.command.arguments
        if not argument.is_file
        for text in call.arguments[argument.name]
    ]
    query += [(known[name].name, text) for name, text in line.options if not known[name].client_only]
    return query


def _multibase(text: str) -> str:
    from cidery.multiformats.multibase import encode_multibase

    return encode_multibase("base64url", text.encode("utf-8", "surrogateescape"))


def run_remote(endpoint: Endpoint, call: Call, query: list[tuple[str, str]]) -> int:
    """Run in the daemon. Raises DaemonGone, RpcError, BadResponse."""
    if front := front_of(call.command):
        code: int = front.run(call, endpoint, query)
        return code
    from cidery.client.blocking import call as rpc

    if call.command.output is Output.BYTES:
        return _run_bytes(endpoint, call, query)
    line = progress_for(call, wanted=False)
    sink = Sink(call, line)
    as_text = comes_as_text(endpoint, call, line)
    query = [*query, AS_TEXT] if as_text else query
    try:
        with watched(endpoint, line, call) as watch:
            with rpc(endpoint, list(call.command.path), [*query, *watch.query]) as answer:
                if as_text:
                    for lines in answer.texts():
                        sink.text(lines)
                else:
                    for value in answer.values(lists=True):
                        sink.value(value)
                sink.finish()
    finally:
        sink.close()
    return 1 if sink.failed else 0


def _run_bytes(endpoint: Endpoint, call: Call, query: list[tuple[str, str]]) -> int:
    from cidery.client.blocking import call as rpc

    bar = progress_for(call, wanted=call.command.progress and not sys.stdout.isatty())
    sink = Sink(call, bar)
    bar.start(call.command.name, None)
    try:
        with watched(endpoint, bar, call) as watch:
            with rpc(endpoint, list(call.command.path), [*query, *watch.query]) as answer:
                sink.expect(length_of(answer.headers) or length_of(answer.headers, ABOUT))
                for chunk in answer.chunks():
                    sink.chunk(chunk)
    finally:
        sink.close()
    return 0


class _Unwatched:
    """Without a visible bar, the daemon is not asked for its progress."""

    query: tuple[tuple[str, str], ...] = ()

    def summary(self, size: int) -> str:
        return ""


class watched:  # noqa: N801 - it reads as a function, and is no generator because contextlib takes long to import
    """Show on the bar what the daemon is doing for the call inside the context."""

    def __init__(self, endpoint: Endpoint, bar: Progress, call: Call) -> None:
        self._watch: Watch | None = None
        if not isinstance(bar, NoProgress):
            from cidery.cli.watching import Watch

            self._watch = Watch(endpoint, bar, call)

    def __enter__(self) -> Watch | _Unwatched:
        if self._watch is None:
            return _Unwatched()
        self._watch.start()
        return self._watch

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.stop()


def length_of(headers: dict[str, str], name: str = "x-content-length") -> int | None:
    """Size that the answer announces, for progress."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
