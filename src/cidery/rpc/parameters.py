"""The arguments and options of a call: its query or, if that would be too long, a form as its body.

Bytes that are not UTF-8 are kept in the form of os.fsdecode(), so file names mean the same as in a shell.

Spec: https://url.spec.whatwg.org/#application/x-www-form-urlencoded
"""

from urllib.parse import parse_qsl

from cidery.commands.bind import MAX_ARGUMENTS, BadCall
from cidery.http.message import Request

FORM = "application/x-www-form-urlencoded"
"""Content type of a body that holds parameters."""
MAX_FORM = 16 << 20
"""Longest form, in bytes: 100,000 CIDs, with paths."""
MAX_FIELDS = MAX_ARGUMENTS + 1000
"""Most parameters of a call: all arguments, and more options than any command has."""
Parameters = list[tuple[str, str]]


async def read_parameters(request: Request) -> Parameters:
    """The parameters in order. Raises BadCall."""
    found = parse_parameters(request.target.partition("?")[2])
    if request.header("content-type").partition(";")[0].strip().lower() != FORM or request.body is None:
        return found
    form = bytearray()
    async for chunk in request.body:
        form += chunk
        if len(form) > MAX_FORM:
            raise BadCall(f"more than {MAX_FORM} bytes of arguments")
    return found + parse_parameters(form.decode("utf-8", "surrogateescape"))


def parse_parameters(text: str) -> Parameters:
    """Those of a query or form. Raises BadCall."""
    if not text:
        return []
    try:
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_FIELDS)
    except ValueError as exc:
        raise BadCall(f"more than {MAX_FIELDS} arguments and options") from exc
