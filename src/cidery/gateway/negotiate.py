"""What a request to a trustless gateway asks for: path, form of the answer, parameters of a CAR. Pure.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from cidery.core.car.trustless import ByteRange, Scope
from cidery.http.message import BadRequest, Request

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
RECORD_TYPE = "application/vnd.ipfs.ipns-record"
MAX_NUMBER_DIGITS = 18
"""Digits of a position in a file: more than any file needs."""


class Form(Enum):
    """The form of an answer."""

    RAW = "raw"
    CAR = "car"
    RECORD = "ipns-record"


_FORM_OF_TYPE = {RAW_TYPE: Form.RAW, CAR_TYPE: Form.CAR, RECORD_TYPE: Form.RECORD}


_ANY = {"*/*", "application/*"}
"""The answer to ``*/*`` is the block: it is what a CID names, and can be verified alone."""


class NotTrustless(BadRequest):
    """A form that the client could not verify."""

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"{wanted or 'a page'} could not be verified by its reader: "
            "ask for ?format=raw, ?format=car or ?format=ipns-record"
        )


class CarParameters(NamedTuple):
    """Parameters of a CAR answer."""

    scope: Scope = Scope.ALL
    byte_range: ByteRange | None = None
    duplicates: bool = False
    order: str = "dfs"

    @property
    def media_type(self) -> str:
        return f"{CAR_TYPE}; version=1; order={self.order}; dups={'y' if self.duplicates else 'n'}"


def form_of(request: Request) -> tuple[Form, dict[str, str]]:
    """The form, and the parameters of its media type; ``?format=`` overrides Accept. Raises NotTrustless."""
    kinds = [_media_type(item) for item in request.header("accept").split(",")]
    wanted = request.query().get("format")
    if wanted is not None:
        form = next((form for form in Form if form.value == wanted), None)
        if form is None:
            raise NotTrustless(f"format={wanted[:40]}")
        parameters = next((given for name, given in kinds if _FORM_OF_TYPE.get(name) is form), {})
        return form, parameters
    for name, parameters in kinds:
        if (form := _FORM_OF_TYPE.get(name)) is not None:
            return form, parameters
    names = {name for name, _ in kinds}
    if names & _ANY and "text/html" not in names:  # a browser accepts anything too, but wants pages
        return Form.RAW, {}
    raise NotTrustless(next((name for name, _ in kinds if name), ""))


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    name, *fields = (part.strip() for part in text.split(";"))
    pairs = (field.partition("=") for field in fields)
    return name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def car_parameters(request: Request, of_type: dict[str, str]) -> CarParameters:
    """Query parameters take precedence over those of the media type. Raises BadRequest for unknown values."""
    query = request.query()
    version = query.get("car-version", of_type.get("version", "1"))
    order = query.get("car-order", of_type.get("order", "dfs"))
    duplicates = query.get("car-dups", of_type.get("dups", "n"))
    scope = query.get("dag-scope", "all")
    if version != "1":
        raise BadRequest(f"CAR version {version[:20]!r} is not served, only 1")
    if order not in ("dfs", "unk"):
        raise BadRequest(f"car-order {order[:20]!r} is neither dfs nor unk")
    if duplicates not in ("y", "n"):
        raise BadRequest(f"car-dups {duplicates[:20]!r} is neither y nor n")
    if scope not in ("all", "entity", "block"):
        raise BadRequest(f"dag-scope {scope[:20]!r} is none of all, entity, block")
    # "entity-bytes ... implies dag-scope=entity"
    wanted = query.get("entity-bytes")
    byte_range = None if wanted is None else parse_byte_range(wanted)
    return CarParameters(Scope.ENTITY if byte_range else Scope(scope), byte_range, duplicates == "y", "dfs")


def parse_byte_range(text: str) -> ByteRange:
    """``from:to`` with ``*`` for the end. Raises BadRequest."""
    first, colon, last = text.partition(":")
    low, high = _number(first), None if last == "*" else _number(last)
    if not colon or low is None or (last != "*" and high is None):
        raise BadRequest(f"entity-bytes {text[:40]!r} is not of the form from:to, as 0:1023, -1024:* or 0:*")
    if high is not None and (low >= 0) == (high >= 0) and low > high:
        raise BadRequest(f"entity-bytes {text[:40]!r} ends before it begins")
    return ByteRange(low, high)


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > MAX_NUMBER_DIGITS:
        return None
    return int(text)


def content_path(request: Request) -> tuple[str, str]:
    """(namespace, rest) of ``/ipfs/...`` and ``/ipns/...``, unescaped once. Raises BadRequest."""
    parts = request.path.split("/")
    if len(parts) < 3 or parts[1] not in ("ipfs", "ipns") or not parts[2]:
        raise BadRequest("the path is neither /ipfs/CID nor /ipns/NAME")
    return parts[1], "/".join(unquote(part, errors="surrogateescape") for part in parts[2:])


def matches_tag(header: str, tags: tuple[str, ...]) -> bool:
    """Whether If-None-Match names one of the tags, compared weakly, or ``*``."""
    given = [item.strip().removeprefix("W/") for item in header.split(",")]
    return "*" in given or any(tag.removeprefix("W/") in given for tag in tags)
