"""The words of the web page: all in one file, ready for a translation."""

import re
from importlib.resources import files

MODULES = {one.name: one.read_text() for one in (files("cidery") / "webui" / "js").iterdir()}
TEXTS = MODULES.pop("texts.js")
COMMENT = re.compile(r"^\s*(?://|/?\*).*$| // .*$", re.MULTILINE)
SENTENCE = re.compile(r"""(?:>|['"`])\s*[A-Z][a-z]+ [a-z]+[ .].*""")
"""In a string or between tags; headers of HTTP have no such form."""
STRING = re.compile(r"'[^']*'|`[^`]*`")


def names_of_texts() -> set[str]:
    """Those of the one object, not of objects in it."""
    depth, found = 0, set()
    for one in re.finditer(r"[{(]|[})]|(\w+):", STRING.sub("''", TEXTS)):
        if one[1]:
            found |= {one[1]} if depth == 1 else set()
        else:
            depth += 1 if one[0] in "{(" else -1
    return found


def test_no_module_has_words_of_its_own() -> None:
    found = {name: said for name, text in MODULES.items() if (said := SENTENCE.findall(COMMENT.sub("", text)))}
    assert found == {}


def test_every_text_that_is_used_is_there_and_every_text_is_used() -> None:
    used = {name for text in MODULES.values() for name in re.findall(r"\bT\.(\w+)", text)}
    assert names_of_texts() == used
