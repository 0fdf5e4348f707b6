"""What a gateway says at ``/``: what it is, and what to ask for. Pure."""

from collections.abc import Sequence

from cidery.gateway.page import CSP, END, HTML_TYPE, begin, link, shown
from cidery.http.message import Request, Response, text

TITLE = "This is an IPFS gateway"
EXAMPLE = "/ipfs/bafkqad3imvwgy3zamzzg63jajfiemuy"
"""Content that its CID holds itself, so that every gateway has it."""
_FORMS = {
    "/ipfs": ("/ipfs/CID", "a file or folder by its CID"),
    "/ipns": ("/ipns/NAME", "what a name or a domain points to now"),
}


def welcome(request: Request, paths: Sequence[str], *, html: bool) -> Response:
    """The page, or its text for programs. ``paths``: the prefixes that are served."""
    forms = [_FORMS[path] for path in paths if path in _FORMS]
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    if html and "text/html" in request.headers.get("accept", ""):
        rows = "".join(f"<tr><td><code>{shown(form)}</code></td><td>{shown(what)}</td></tr>\n" for form, what in forms)
        example = f"<p>For example: {link(EXAMPLE, EXAMPLE)}</p>\n" if "/ipfs" in paths else ""
        body = (
            f"{begin(TITLE)}<h1>{TITLE}</h1>\n"
            "<p>It shows content of IPFS. Paste an address behind its host, in the address bar:</p>\n"
            f"<table>\n{rows}</table>\n{example}{END}"
        )
        return Response(200, {**headers, "Content-Type": HTML_TYPE, "Content-Security-Policy": CSP}, body.encode())
    lines = [f"{TITLE}. Ask for:", *(f"{form}: {what}" for form, what in forms)]
    return text(200, "\n".join(lines), headers)
