"""The program: split the line, answer what needs no node at once, hand the rest to dispatch."""

import errno
import os
import sys

from cidery.errors import CideryError
from cidery.version import __version__

PLAIN_VERSION = (["version"], ["--version"], ["-v"])
"""Lines answered without the parser, which would take most of their time; scripts ask this before anything else."""

OTHER_KINDS = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""What the system says of a file in the place of a folder, and the like."""


def run() -> None:
    """The command ``cidery``: main(), and an end without taking every module apart, which takes as long as a call."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            code = code or 1  # nobody reads, or there is none
    os._exit(code)


INTERRUPTED = 130
"""Exit code after Ctrl-C: what shells give a program that SIGINT ended (128 + 2)."""


def main(argv: list[str] | None = None) -> int:
    """Run one command line. Returns the exit code: 0, 1 for any error, or INTERRUPTED."""
    words = sys.argv[1:] if argv is None else argv
    for descriptor in range(3):
        _occupy(descriptor)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        return _without_output()
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): end quietly, and keep the exit from flushing once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CideryError as exc:
        return _fail(str(exc))
    except PermissionError as exc:
        if os.environ.get("CIDERY_DEBUG"):
            raise
        return _fail(f"{exc.filename or 'a file'}: permission denied; run this as the owner of the repository")
    except OSError as exc:
        if exc.errno in OTHER_KINDS and exc.filename:
            return _fail(f"{exc.filename}: {(exc.strerror or str(exc)).lower()}; move away what is there")
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            return _bug(exc, words)
        return _fail(f"cannot write {exc.filename or 'the output'}: {(exc.strerror or str(exc)).lower()}")
    except MemoryError:
        return _fail("out of memory")
    except Exception as exc:  # noqa: BLE001 - the last resort: a bug of ours must still be one readable line
        return _bug(exc, words)


def _occupy(descriptor: int) -> None:
    """Keep a closed standard descriptor from becoming that of a file, which output would then overwrite."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def _without_output() -> int:
    print("Error: standard output is closed; redirect it to a file or to /dev/null", file=sys.stderr)
    return 1


def _bug(exc: Exception, words: list[str]) -> int:
    if os.environ.get("CIDERY_DEBUG") or "-D" in words or "--debug" in words:
        raise exc
    return _fail(f"{type(exc).__name__}: {exc} (a bug; run again with -D for details)")


def _fail(message: str) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        pass  # it is what failed, or the exit code still reports it
    try:
        from cidery.cli.output import printable

        print(f"Error: {printable(' '.join(message.splitlines()))}", file=sys.stderr)
    except OSError:
        return 1  # the output has no reader; the exit code still reports it
    return 1


def _run(words: list[str]) -> int:
    if words in PLAIN_VERSION:
        print(f"cidery version {__version__}")
        return 0
    from cidery.cli.arguments import split

    line = split(words)
    if line.has("debug", "D"):
        import logging

        logging.basicConfig(level=logging.DEBUG)
    is_help = line.command is not None and line.command.path == ("help",)
    if line.command is None or is_help or line.has("help", "h"):
        topic = line.arguments or (["help"] if line.has("help", "h") else [])
        return _help(words, topic if is_help else None)
    from cidery.cli.dispatch import dispatch

    return dispatch(line)


def _help(words: list[str], topic: list[str] | None) -> int:
    from cidery.cli.arguments import split
    from cidery.commands.help import command_help, group_help, root_help
    from cidery.commands.registry import suggest

    line = split(topic) if topic is not None else split(words)
    if topic is not None and line.arguments:
        raise suggest(topic)
    if line.command is not None:
        text = command_help(line.command)
    else:
        text = group_help(line.group) if line.group else root_help()
    sys.stdout.write(text)
    return 0
