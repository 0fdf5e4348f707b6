"""Names of answers: ``Content-Disposition`` and ``Content-Location``. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#filename-request-query-parameter, RFC 6266
"""

from collections.abc import Mapping
from urllib.parse import quote

from cidery.gateway.negotiate import Form
from cidery.http.message import Request

MAX_FILENAME = 255
"""Longest name that is passed on, in characters: the limit of file systems."""
_ESCAPED = '"\\%/'
"""Characters that some parsers of ``filename="..."`` would misread."""


def filename_of(request: Request) -> str:
    """The name that the query gives the answer, "" if none. Raises BadRequest."""
    return request.query().get("filename", "")[:MAX_FILENAME] if "filename=" in request.target else ""


def attachment(request: Request, usual: str) -> str:
    """Content-Disposition that saves the answer under the requested name, or the usual one. Raises BadRequest."""
    name = filename_of(request)
    return disposition("attachment", name) if name else f'attachment; filename="{usual}"'


def named_by_query(request: Request) -> str | None:
    """Content-Disposition of a file: ``?filename=`` names it, ``&download=true`` saves it; None: neither.

    Raises BadRequest.
    """
    if "?" not in request.target:
        return None
    name = filename_of(request)
    saved = request.query().get("download") == "true"
    if not name:
        return "attachment" if saved else None
    return disposition("attachment" if saved else "inline", name)


def disposition(kind: str, name: str) -> str:
    """``kind``: attachment or inline."""
    plain = "".join(letter if _is_plain(letter) else "_" for letter in name)
    shown = f'{kind}; filename="{plain}"'
    return shown if plain == name else f"{shown}; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _is_plain(letter: str) -> bool:
    return " " <= letter <= "~" and letter not in _ESCAPED


def location(request: Request, form: Form, of_type: Mapping[str, str]) -> dict[str, str]:
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
