"""The file ``_redirects``: what it may say, and which of its rules is taken."""

import pytest

from cidery.gateway.redirects_file import MAX_BYTES, BadRedirects, Redirect, find_redirect, parse_redirects, with_query

FILE = b"""# where things went
/old/*        /new/:splat            301
/posts/:id/:x /blog/:id.html#:x      200\r
/gone         /410.html              410   # for good

/away         https://example.org/a  302
/same/:a/:a   /twice/:a
/*            /index.html            200
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/old/a/b c", Redirect("/new/a/b%20c", 301)),
        ("/old", Redirect("/new/", 301)),
        ("/posts/7/y", Redirect("/blog/7.html#y", 200)),
        ("/gone", Redirect("/410.html", 410)),
        ("/gone/", Redirect("/410.html", 410)),
        ("/away", Redirect("https://example.org/a", 302)),
        ("/same/1/1", Redirect("/twice/1", 301)),
        ("/same/1/2", Redirect("/index.html", 200)),
        ("/anything", Redirect("/index.html", 200)),
        ("/" + "a/" * 300, None),
    ],
)
def test_the_first_rule_that_matches_is_taken(path: str, expected: Redirect | None) -> None:
    assert find_redirect(parse_redirects(FILE), path) == expected


def test_a_file_without_a_matching_rule_leads_nowhere() -> None:
    assert find_redirect(parse_redirects(b"/a /b"), "/c") is None
    assert find_redirect(parse_redirects(b""), "/c") is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"/a", "not of the form"),
        (b"/a /b 301 x", "not of the form"),
        (b"a /b", "does not begin with /"),
        (b"/a /b 305", "status 305"),
        (b"/a /b 200!", "status 200!"),
        (b"/a/*/b /c", "only be the last"),
        (b"/a* /c", "only be the last"),
        (b"/a b", "neither a path nor a URL"),
        (b"/a javascript:alert(1)", "neither a path nor a URL"),
        (b"/a https://example.org 200", "neither a path nor a URL"),
        (b"/a https://[x", "not a URL"),
        (b"/a //evil.example", "names a host"),
        (b"/a/* //:splat", "names a host"),
        (b"/* https://:splat", "has to be the same"),
        (b"/* https://good.example:splat", "has to be the same"),
        (b"/* https://:splat.example/", "has to be the same"),
        (b"\xff", "not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "redirects file size cannot exceed"),
    ],
)
def test_a_file_of_another_form_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(BadRedirects, match=reason) as caught:
        parse_redirects(line)
    assert str(caught.value).startswith("could not parse _redirects:")


def test_a_value_in_a_query_is_no_further_field() -> None:
    rules = parse_redirects(b"/q/* https://good.example/?u=:splat 302")
    assert find_redirect(rules, "/q/a&b=c/d#e") == Redirect("https://good.example/?u=a%26b%3Dc/d%23e", 302)


def test_the_fields_of_the_request_win() -> None:
    assert with_query("/a?x=1&y=2#z", "x=9&n") == "/a?x=9&n&y=2#z"
    assert with_query("/a", "") == "/a"
    assert with_query("/a", "b=1") == "/a?b=1"
