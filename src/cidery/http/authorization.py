"""How a caller of the RPC says who it is, and which daemon it means.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#apiauthorizations-authsecret
"""

TOKEN_FILE = "api-token"
"""In a repository while its daemon runs: what the header below must hold; readable by the daemon's user only."""
TOKEN_HEADER = "Cidery-Repository"
"""A call with this header is meant for the daemon with this token and no other; without it, for any."""
MISDIRECTED = 421
"""Status for a call that is meant for another daemon: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.20"""
AGENT = "cidery/"
"""How the Server header of each of our answers begins."""


def header_of(secret: str) -> str:
    """``Bearer TOKEN`` or ``Basic BASE64`` of ``bearer:TOKEN``, ``basic:USER:PASSWORD``, ``basic:BASE64`` or ``TOKEN``.

    A secret of another kind is the header as it is.
    """
    kind, colon, rest = secret.partition(":")
    if not colon:
        return f"Bearer {secret}"
    if kind == "bearer":
        return f"Bearer {rest}"
    if kind == "basic":
        from base64 import b64encode  # here: the CLI reads the names above at each start

        return "Basic " + (b64encode(rest.encode()).decode() if ":" in rest else rest)
    return secret
