"""The preview of a node of data (DAG-JSON, DAG-CBOR, JSON, CBOR): its value as text, with links to follow. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#content-type-response-header
"""

from __future__ import annotations

import json
import re
from html import escape

from cidery.commands.byte_size import human_size
from cidery.gateway.listing import Crumbs
from cidery.gateway.page import END, STYLE_TAG, begin
from cidery.ipld.codecs import codec_name
from cidery.multiformats.cid import CID

MAX_SHOWN = 128 * 1024
"""Bytes of a value's text that are shown; the whole is one request away."""
_LINK = re.compile(r"\{\s*&quot;/&quot;:\s*&quot;([a-zA-Z0-9]{8,128})&quot;\s*\}")


def tag_of(cid: CID) -> str:
    """Etag of the preview."""
    return f'"DagIndex-{STYLE_TAG}_CID-{cid}"'


def dag_page(crumbs: Crumbs, cid: CID, size: int, dag_json: bytes | None) -> bytes:
    """The page. ``dag_json``: the value as DAG-JSON; None: it cannot be read as a value."""
    codec = codec_name(cid.codec)
    own = {"dag-json": "json", "dag-cbor": "cbor"}.get(codec, codec)
    forms = " · ".join(
        f'<a href="?format={form}">{words}</a>' for form, words in (("raw", "block"), (own, codec), ("car", "CAR"))
    )
    return (
        f"{begin(crumbs.title())}<h1>{crumbs.html()}</h1>\n"
        f'<div class="soft"><span class="ipfs-hash" translate="no">{cid}</span> · {codec} · {human_size(size)}</div>\n'
        f"<p>{forms}</p>\n<pre>{_value(crumbs, dag_json)}</pre>\n{END}"
    ).encode()


def _value(crumbs: Crumbs, dag_json: bytes | None) -> str:
    if dag_json is None:
        return "This block does not hold what its codec says."
    if len(dag_json) > MAX_SHOWN:
        text = dag_json[:MAX_SHOWN].decode("utf-8", "ignore") + " …"
    else:
        try:
            text = json.dumps(json.loads(dag_json), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = dag_json.decode("utf-8", "replace")
    base = f"//{crumbs.host}" if crumbs.host and not crumbs.dnslink else ""
    shown = escape(text.encode("utf-8", "replace").decode())
    return _LINK.sub(lambda found: f'<a href="{escape(base)}/ipfs/{found[1]}/">{found[0]}</a>', shown)
