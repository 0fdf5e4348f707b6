"""Names of answers: ``Content-Disposition`` and ``Content-Location``. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#filename-request-query-parameter, RFC 6266
"""

from urllib.parse import quote

from cidery.gateway.negotiate import Form
from cidery.http.message import Request

MAX_FILENAME = 255
"""Longest name that is passed on, in characters: the limit of file systems."""
_ESCAPED = '"\\%/'
"""Characters that some parsers of ``filename="..."`` would misread."""


def attachment(request: Request, usual: str) -> str:
    """Headers that save the answer under the requested name, or the default one. Raises BadRequest."""
    wanted = request.query().get("filename", "")[:MAX_FILENAME]
    if not wanted:
        return f'attachment; filename="{usual}"'
    plain = "".join(letter if _is_plain(letter) else "_" for letter in wanted)
    shown = f'attachment; filename="{plain}"'
    if plain == wanted:
        return shown
    return f"{shown}; filename*=UTF-8''{quote(wanted, safe='', errors='replace')}"


def _is_plain(letter: str) -> bool:
    return " " <= letter <= "~" and letter not in _ESCAPED


def location(request: Request, form: Form, of_type: dict[str, str]) -> dict[str, str]:
    """The address of a form chosen by Accept; none if the query states it. Raises BadRequest."""
    query = request.query()
    if "format" in query:
        return {}
    fields = [("format", form.value)]
    for name in ("version", "order", "dups") if form is Form.CAR else ():
        if name in of_type and f"car-{name}" not in query:
            fields.append((f"car-{name}", quote(of_type[name], safe="")))
    added = "&".join(f"{name}={text}" for name, text in fields)
    path, _, given = request.target.partition("?")
    return {"Content-Location": f"{path}?{given}&{added}" if given else f"{path}?{added}"}
