"""What a request asks for: path, form of the answer, parameters of a CAR. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#request-headers,
https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from cidery.core.car.trustless import ByteRange, Scope
from cidery.http.message import BadRequest, Request

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
RECORD_TYPE = "application/vnd.ipfs.ipns-record"
MAX_ACCEPTED = 64
"""Media types of an Accept header that are looked at: browsers send eight."""
MAX_NUMBER_DIGITS = 18
"""Digits of a position in a file: more than any file needs."""


class Form(Enum):
    """The form of an answer."""

    RAW = "raw"
    CAR = "car"
    RECORD = "ipns-record"
    TAR = "tar"
    DAG_JSON = "dag-json"
    DAG_CBOR = "dag-cbor"
    JSON = "json"
    CBOR = "cbor"

    @property
    def is_trustless(self) -> bool:
        """Whether the reader can verify the answer."""
        return self in _TRUSTLESS


_TRUSTLESS = frozenset((Form.RAW, Form.CAR, Form.RECORD))
TYPE_OF_FORM = {
    Form.RAW: RAW_TYPE,
    Form.CAR: CAR_TYPE,
    Form.RECORD: RECORD_TYPE,
    Form.TAR: "application/x-tar",
    Form.DAG_JSON: "application/vnd.ipld.dag-json",
    Form.DAG_CBOR: "application/vnd.ipld.dag-cbor",
    Form.JSON: "application/json",
    Form.CBOR: "application/cbor",
}
"""The media type of each form; a CAR's has parameters."""
_FORM_OF_TYPE = {name: form for form, name in TYPE_OF_FORM.items()}
_FORM_OF_NAME = {form.value: form for form in Form}
_OURS = ("application/vnd.ipld.", "application/vnd.ipfs.")
_ANY = {"*/*", "application/*"}
"""From a gateway that answers in trustless forms only it is the block: what a CID names, and can be verified alone."""


class NotTrustless(BadRequest):
    """A form that the client could not verify."""

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"{wanted or 'a page'} could not be verified by its reader: "
            "ask for ?format=raw, ?format=car or ?format=ipns-record"
        )


class Wanted(NamedTuple):
    """The form that is wanted."""

    form: Form | None
    """None: the content itself, as a page, a file or a listing."""
    of_type: Mapping[str, str]
    """Parameters of its media type."""
    explicit: bool
    """Whether the query names the form, not a header."""


_PLAIN = Wanted(None, {}, False)


class CarParameters(NamedTuple):
    """Parameters of a CAR answer."""

    scope: Scope = Scope.ALL
    byte_range: ByteRange | None = None
    duplicates: bool = False
    order: str = "dfs"

    @property
    def media_type(self) -> str:
        return f"{CAR_TYPE}; version=1; order={self.order}; dups={'y' if self.duplicates else 'n'}"


def form_of(request: Request, *, trustless: bool = False) -> Wanted:
    """The form that is wanted; ``?format=`` overrides Accept (IPIP-523).

    Of several forms in Accept the one of the highest quality, then the first. Of a ``trustless`` gateway, anything
    that is not a form is a block.
    Raises BadRequest for unknown forms, and NotTrustless for others than trustless ones of such a gateway.
    """
    accept = request.header("accept")
    named = request.query().get("format") if "format=" in request.target else None
    if named is None and (not accept or accept == "*/*") and not trustless:
        return _PLAIN
    kinds = _media_types(accept)
    if named is not None:
        form = _FORM_OF_NAME.get(named)
        if form is None:
            kinds_of_form = ", ".join(_FORM_OF_NAME)
            raise BadRequest(f"format={named[:40]} is not known; it may be one of {kinds_of_form}")
        of_type = next((given for name, given in kinds if _FORM_OF_TYPE.get(name) is form), {})
        wanted = Wanted(form, of_type, True)
    else:
        wanted = _accepted(kinds)
    if trustless and (wanted.form is None or not wanted.form.is_trustless):
        names = {name for name, _ in kinds}
        if wanted.form is None and names & _ANY and "text/html" not in names:
            return Wanted(Form.RAW, {}, False)  # a browser accepts anything too, but wants pages
        raise NotTrustless(f"format={named[:40]}" if named else next((name for name, _ in kinds if name), ""))
    return wanted


def _accepted(kinds: list[tuple[str, dict[str, str]]]) -> Wanted:
    for name, of_type in kinds:
        if (form := _FORM_OF_TYPE.get(name)) is not None:
            return Wanted(form, of_type, False)
        if name.startswith(_OURS):
            raise BadRequest(f"Accept: {name[:80]} is not known here")
    return _PLAIN


def _media_types(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Types and parameters, the best quality first; without those of quality 0 (RFC 9110, 12.5.1)."""
    if not accept:
        return []
    kinds = [_media_type(item) for item in accept.split(",")[:MAX_ACCEPTED]]
    if "q=" not in accept:
        return kinds
    rated = [(_quality(of_type.pop("q", "1")), name, of_type) for name, of_type in kinds]
    return [(name, of_type) for quality, name, of_type in sorted(rated, key=lambda one: -one[0]) if quality > 0]


def _quality(text: str) -> float:
    try:
        return float(text) if len(text) <= 5 else 1.0
    except ValueError:
        return 1.0


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    name, *fields = (part.strip() for part in text.split(";"))
    pairs = (field.partition("=") for field in fields)
    return name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def car_parameters(request: Request, of_type: Mapping[str, str]) -> CarParameters:
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
