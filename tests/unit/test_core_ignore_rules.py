import pytest

from cidery.core.adding.ignore_rules import MAX_RULES, BadRule, IgnoreRules, TooManyRules


@pytest.mark.parametrize(
    ("rule", "out", "kept"),
    [
        ("*.log", ["a.log", "d/a.log", ".log"], ["a.logs", "a.log/b"]),
        ("/top", ["top"], ["d/top"]),
        ("d/file", ["d/file"], ["e/d/file"]),
        ("**/cache", ["cache", "a/b/cache"], ["caches"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "b/a/z"]),
        ("logs/**", ["logs/a", "logs/a/b"], ["logs"]),
        ("?at", ["cat", "d/bat"], ["at", "flat"]),
        ("[a-c]x", ["ax", "d/cx"], ["dx", "[a-c]x"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        (r"\#notes", ["#notes"], ["notes"]),
        (r"\!x", ["!x"], ["x"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("with space  ", ["with space"], ["with space  "]),
        ("a.b", ["a.b"], ["axb"]),
        ("[x", ["[x"], ["x"]),
        ("é*", ["état"], ["etat"]),
        ("# a comment", [], ["# a comment"]),
        ("", [], ["x"]),
    ],
)
def test_a_pattern_means_what_it_means_to_git(rule: str, out: list[str], kept: list[str]) -> None:
    rules = IgnoreRules([rule])
    assert [path for path in (*out, *kept) if rules.leaves_out(path, is_directory=False)] == out


def test_a_slash_at_the_end_means_directories_only() -> None:
    rules = IgnoreRules(["build/"])
    assert rules.leaves_out("a/build", is_directory=True)
    assert not rules.leaves_out("a/build", is_directory=False)


def test_the_last_rule_that_matches_decides() -> None:
    rules = IgnoreRules(["*.txt\n", "!keep.txt\r\n", "keep.txt/"])
    assert rules.leaves_out("other.txt", is_directory=False)
    assert not rules.leaves_out("d/keep.txt", is_directory=False)
    assert rules.leaves_out("keep.txt", is_directory=True)


def test_rules_are_bounded() -> None:
    with pytest.raises(BadRule):
        IgnoreRules(["x" * 2000])
    with pytest.raises(BadRule):
        IgnoreRules(["[z-a]"])
    with pytest.raises(TooManyRules, match="10000"):
        IgnoreRules(["x"] * (MAX_RULES + 1))
    assert not IgnoreRules(["#"])
