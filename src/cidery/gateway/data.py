"""Nodes of data as answers: DAG-JSON, DAG-CBOR, JSON, CBOR, as stored, and a page for people.

Blocks are not converted from one codec to another: the client would get bytes that its CID does not name (IPIP-524).

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#format-request-query-parameter
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from cidery.core.reading.dag import dag_get
from cidery.core.session import BlockSession
from cidery.errors import CideryError, InvalidInput
from cidery.gateway.caching import GENERATED
from cidery.gateway.conditional import matches_tag
from cidery.gateway.dag_page import dag_page, tag_of
from cidery.gateway.disposition import disposition, filename_of
from cidery.gateway.negotiate import TYPE_OF_FORM, Form
from cidery.gateway.origin import Origin, with_slash
from cidery.gateway.page import CSP, HTML_TYPE
from cidery.gateway.ranged import in_parts, outside, ranges_of
from cidery.http.message import Request, Response
from cidery.http.ranges import Unsatisfiable
from cidery.ipld.codecs import codec_name
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, DAG_CBOR, DAG_JSON, JSON
from cidery.multiformats.varint import Buffer

_OWN_FORM = {DAG_JSON: Form.DAG_JSON, DAG_CBOR: Form.DAG_CBOR, JSON: Form.JSON, CBOR: Form.CBOR}
"""The form of each codec that is asked for without one."""
_FITTING = {
    Form.DAG_JSON: (DAG_JSON,),
    Form.DAG_CBOR: (DAG_CBOR,),
    Form.JSON: (JSON, DAG_JSON),
    Form.CBOR: (CBOR, DAG_CBOR),
}
"""The codecs whose blocks are valid in a form."""


class OtherCodec(InvalidInput):
    """A form that the block does not have (406)."""

    def __init__(self, cid: CID, form: Form | None) -> None:
        super().__init__(cid, form)
        self.cid = cid
        self.form = form

    def __str__(self) -> str:
        codec = codec_name(self.cid.codec)
        what = f"is no {self.form.value}" if self.form is not None else "cannot be shown"
        return f"{self.cid} has the codec {codec} and {what}; blocks are not converted: ask for ?format=raw"


async def answer(
    request: Request, origin: Origin, cid: CID, form: Form | None, blocks: BlockSession, headers: dict[str, str]
) -> Response:
    """The block, or its preview. Raises OtherCodec, and as get()."""
    own = _OWN_FORM.get(cid.codec)
    if own is None or (form is not None and cid.codec not in _FITTING.get(form, ())):
        raise OtherCodec(cid, form)
    if form is None:
        headers["Vary"] = "Accept"  # people get a page at the same address
    if form is None and "text/html" in request.header("accept"):
        return await _preview(request, origin, cid, blocks, headers)
    form = form or own
    tag = f'"{cid}.{form.value}"'
    headers["Etag"] = tag
    if matches_tag(request.header("if-none-match"), (tag,)):
        return Response(304, headers)
    is_json = form in (Form.JSON, Form.DAG_JSON)
    name = filename_of(request) or f"{cid}.{'json' if is_json else 'cbor'}"
    inline = is_json and request.query().get("download") != "true"
    headers |= {
        "Content-Type": TYPE_OF_FORM[form],
        "Content-Disposition": disposition("inline" if inline else "attachment", name),
        "Accept-Ranges": "bytes",
    }
    data = cid.identity_data if cid.is_identity else await blocks.get(cid)
    try:
        ranges = ranges_of(request, tag, len(data))
    except Unsatisfiable as exc:
        return outside(headers, exc)

    async def read(offset: int, length: int) -> AsyncGenerator[Buffer, None]:
        yield memoryview(data)[offset : offset + length]

    return in_parts(ranges, len(data), headers, data, read)


async def _preview(
    request: Request, origin: Origin, cid: CID, blocks: BlockSession, headers: dict[str, str]
) -> Response:
    if not request.path.endswith("/"):
        redirect = with_slash(request)
        return Response(redirect.status, {**headers, "Location": redirect.location})
    tag = tag_of(cid)
    headers |= {"Etag": tag, "Content-Type": HTML_TYPE, "Content-Security-Policy": CSP}
    if "Cache-Control" in headers:
        headers["Cache-Control"] = GENERATED
    if matches_tag(request.header("if-none-match"), (tag,)):
        return Response(304, headers)
    data = cid.identity_data if cid.is_identity else await blocks.get(cid)
    value: bytes | None
    try:
        value = await dag_get(cid, blocks)
    except CideryError:
        value = None  # the page says so; the block can be had as it is
    return Response(200, headers, dag_page(origin.crumbs(), cid, len(data), value))
