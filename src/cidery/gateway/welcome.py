"""What a gateway says at ``/``: what it is, what to ask for, and how browsers open links of IPFS here. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#uri-request-query-parameter,
https://html.spec.whatwg.org/multipage/system-state.html#custom-handlers
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from cidery.gateway.page import CSP, END, HTML_TYPE, begin, link, shown
from cidery.http.message import Request, Response, text

TITLE = "This is an IPFS gateway"
EXAMPLE = "/ipfs/bafkqad3imvwgy3zamzzg63jajfiemuy"
"""Content that its CID holds itself, so that every gateway has it."""
_FORMS = (
    ("/ipfs", "/ipfs/CID", "a file or folder by its CID"),
    ("/ipns", "/ipns/NAME", "what a name or a domain points to now"),
)
_TRUSTLESS_FORMS = (
    ("/ipfs", "/ipfs/CID?format=raw", "a block by its CID"),
    ("/ipfs", "/ipfs/CID?format=car", "a file or folder by its CID, as an archive of blocks"),
    ("/ipns", "/ipns/NAME?format=ipns-record", "the signed record of a name"),
)


_SCRIPT = """
const said = document.getElementById('said')
if (navigator.registerProtocolHandler) said.textContent = ''
for (const button of document.querySelectorAll('button')) {
  button.disabled = !navigator.registerProtocolHandler
  button.onclick = () => {
    try {
      navigator.registerProtocolHandler(button.value, `${location.origin}/${button.value}/?uri=%s`)
      said.textContent = 'The browser may ask whether you want this.'
    } catch (error) {
      said.textContent = `The browser does not take it: ${error.message}`
    }
  }
}
"""
"""The only one of the pages made here."""
_POLICY = f"{CSP}; script-src 'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'"


def welcome(request: Request, paths: Sequence[str], *, deserialized: bool, html: bool) -> Response:
    """The page, or its text for programs. ``paths``: the prefixes served; ``deserialized``: as pages and files too."""
    forms = [(form, what) for path, form, what in (_FORMS if deserialized else _TRUSTLESS_FORMS) if path in paths]
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    if html and "text/html" in request.headers.get("accept", ""):
        rows = "".join(f"<tr><td><code>{shown(form)}</code></td><td>{shown(what)}</td></tr>\n" for form, what in forms)
        href = EXAMPLE if deserialized else f"{EXAMPLE}?format=raw"
        example = f"<p>For example: {link(href, href)}</p>\n" if "/ipfs" in paths else ""
        body = (
            f"{begin(TITLE)}<h1>{TITLE}</h1>\n"
            "<p>It shows content of IPFS. Paste an address behind its host, in the address bar:</p>\n"
            f"<table>\n{rows}</table>\n{example}{_handlers(paths) if deserialized else ''}{END}"
        )
        return Response(200, {**headers, "Content-Type": HTML_TYPE, "Content-Security-Policy": _POLICY}, body.encode())
    lines = [f"{TITLE}. Ask for:", *(f"{form}: {what}" for form, what in forms)]
    return text(200, "\n".join(lines), headers)


def _handlers(paths: Sequence[str]) -> str:
    """Buttons by which a browser sends clicks on links of IPFS here."""
    schemes = [path.removeprefix("/") for path in paths]
    buttons = " ".join(f'<button value="{shown(one)}" disabled>{shown(one)}://</button>' for one in schemes)
    return (
        f"<p>Open links of these kinds here, in this browser: {buttons}</p>\n"
        '<p class="soft" id="said" role="status">This needs scripts, and HTTPS or localhost.</p>\n'
        f"<script>{_SCRIPT}</script>\n"
    )
