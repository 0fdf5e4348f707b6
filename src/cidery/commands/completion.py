"""Completion scripts for bash, zsh and fish, generated from the definitions."""

from cidery.commands.definition import GLOBAL_OPTIONS, Option
from cidery.commands.registry import SUMMARIES, all_commands

_SCRIPT = """# Completion of {program} for bash; in ~/.bashrc: source <({program} commands completion bash)
_{program}_words() {{
    case "$1" in
{cases}
    *) return 1 ;;
    esac
}}
_{program}() {{
    local at path="" try
    for ((at = 1; at < COMP_CWORD; at++)); do
        try="${{path:+$path }}${{COMP_WORDS[at]}}"
        _{program}_words "$try" >/dev/null && path=$try
    done
    COMPREPLY=($(compgen -W "$(_{program}_words "$path")" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _{program} {program}
"""


_ZSH = """#compdef {program}
# Completion of {program} for zsh; in ~/.zshrc, after compinit: source <({program} commands completion zsh)
_{program}_words() {{
    case "$1" in
{cases}
    *) return 1 ;;
    esac
}}
_{program}() {{
    local at found="" try line
    for ((at = 2; at < CURRENT; at++)); do
        try="${{found:+$found }}${{words[at]}}"
        _{program}_words "$try" >/dev/null && found=$try
    done
    line=$(_{program}_words "$found")
    compadd -- ${{=line}}
    _files
}}
compdef _{program} {program}
"""
_FISH_HEAD = """# Completion of {program} for fish; into ~/.config/fish/completions/{program}.fish
function __{program}_words
    set -l words (commandline -opc)
    string match -v -- '-*' $words[2..-1]
end
function __{program}_at
    set -l found (__{program}_words)
    test "$found" = "$argv"
end
function __{program}_in
    set -l found (__{program}_words)
    string match -q -- "$argv *" "$found "
end
"""


def bash_script(program: str = "cidery") -> str:
    """The script for bash to source."""
    return _SCRIPT.format(program=program, cases=_cases())


def zsh_script(program: str = "cidery") -> str:
    """The script for zsh to source."""
    return _ZSH.format(program=program, cases=_cases())


def fish_script(program: str = "cidery") -> str:
    """The script for fish to source: a line for each word, with its summary."""
    words, flags = _words()
    lines = [_FISH_HEAD.format(program=program)]
    for path, below in sorted(words.items()):
        here = f"complete -c {program} -n '__{program}_at {' '.join(path)}'"
        lines += [f"{here} -f -a {word} -d {_quoted(summary)}\n" for word, summary in below.items()]
    for path, options in sorted(flags.items()):
        within = f"complete -c {program} -n '__{program}_in {' '.join(path)}'"
        lines += [f"{within} -l {option.name} -d {_quoted(option.help)}\n" for option in options]
    lines += [f"complete -c {program} -l {option.name} -d {_quoted(option.help)}\n" for option in GLOBAL_OPTIONS]
    return "".join(lines)


def _cases() -> str:
    """The body of a shell's ``case``: after these words, these may follow."""
    words, flags = _words()
    every = _flags(GLOBAL_OPTIONS)
    rows = ((path, [*words.get(path, ()), *_flags(flags.get(path, ())), *every]) for path in {*words, *flags})
    return "\n".join(f'    "{" ".join(path)}") echo "{" ".join(names)}" ;;' for path, names in sorted(rows))


def _words() -> tuple[dict[tuple[str, ...], dict[str, str]], dict[tuple[str, ...], tuple[Option, ...]]]:
    """Words so far -> the next words with their summaries; and -> the options of the command that they name."""
    words: dict[tuple[str, ...], dict[str, str]] = {(): {}}
    flags: dict[tuple[str, ...], tuple[Option, ...]] = {}
    for command in all_commands():
        for path in (command.path, *command.aliases):
            for depth, word in enumerate(path):
                group = " ".join(path[: depth + 1])
                last = depth == len(path) - 1
                known = words.setdefault(path[:depth], {})
                if last or word not in known:
                    known[word] = command.summary if last else SUMMARIES.get(group, "")
            flags[path] = command.options
    return words, flags


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _flags(options: tuple[Option, ...]) -> list[str]:
    return [f"--{name}" for option in options for name in option.names if len(name) > 1]
