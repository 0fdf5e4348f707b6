"""--ignore and --ignore-rules-path of add, evaluated where the files are."""

from __future__ import annotations

from cidery.commands.bind import BadCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.commands.definition import Call
    from cidery.core.adding.ignore_rules import IgnoreRules

MAX_RULES_FILE = 1 << 20
"""Most characters of --ignore-rules-path that are read."""


def ignore_rules(call: Call) -> IgnoreRules | None:
    """The rules of --ignore-rules-path, then those of --ignore, which take precedence. Raises BadCall, BadRule."""
    lines: list[str] = []
    path = call.text("ignore-rules-path")
    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read(MAX_RULES_FILE).splitlines()
        except OSError as exc:
            raise BadCall(f"cannot read the rules in {path}: {(exc.strerror or str(exc)).lower()}") from exc
    lines += call.texts("ignore")
    if not lines:
        return None
    from cidery.core.adding.ignore_rules import IgnoreRules

    return IgnoreRules(lines) or None
