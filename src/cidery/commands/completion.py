"""A bash completion script, generated from the definitions."""

from cidery.commands.definition import GLOBAL_OPTIONS, Option
from cidery.commands.registry import all_commands

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


def bash_script(program: str = "cidery") -> str:
    """The script for bash to source."""
    words: dict[tuple[str, ...], list[str]] = {(): []}
    for command in all_commands():
        for path in (command.path, *command.aliases):
            for depth, word in enumerate(path):
                below = words.setdefault(path[:depth], [])
                if word not in below:
                    below.append(word)
            words.setdefault(path, []).extend(_flags(command.options))
    every = _flags(GLOBAL_OPTIONS)
    cases = (f'    "{" ".join(path)}") echo "{" ".join([*names, *every])}" ;;' for path, names in sorted(words.items()))
    return _SCRIPT.format(program=program, cases="\n".join(cases))


def _flags(options: tuple[Option, ...]) -> list[str]:
    return [f"--{name}" for option in options for name in option.names if len(name) > 1]
