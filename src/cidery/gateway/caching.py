"""The headers that all answers with content have: which it is, and how long it stays the same. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#cache-control-response-header
"""

IMMUTABLE = "public, max-age=29030400, immutable"
"""Of immutable content (48 weeks)."""
GENERATED = "public, max-age=604800, stale-while-revalidate=2678400"
"""Of pages made here about immutable content: their looks may change."""


def cache_control(lasts: float | None, *, generated: bool = False) -> dict[str, str]:
    """``lasts``: seconds that a name stands for this content; None: it is immutable. 0: nobody knows, no header."""
    if lasts is None:
        return {"Cache-Control": GENERATED if generated else IMMUTABLE}
    return {"Cache-Control": f"public, max-age={int(lasts)}"} if lasts >= 1 else {}


def content_headers(path: str, roots: str, lasts: float | None) -> dict[str, str]:
    """``path``: as it was asked for, escaped. ``roots``: the CIDs on its way, joined by commas."""
    return {
        "X-Ipfs-Path": path,
        "X-Ipfs-Roots": roots,
        "X-Content-Type-Options": "nosniff",
        **cache_control(lasts),
    }
