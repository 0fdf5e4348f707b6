"""How a caller of the RPC identifies itself, and which daemon it means.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#apiauthorizations-authsecret
"""

TOKEN_FILE = "api-token"
"""File in the repository while its daemon runs: the required value of the header below; readable by its user only."""
CERTIFICATE_FILE = "api-cert"
"""File in the repository while its daemon serves the RPC over TLS: its certificate, which local clients trust alone."""
TOKEN_HEADER = "Cidery-Repository"
"""A call with this header is meant for the daemon with this token and no other; without it, for any."""
MISDIRECTED = 421
"""Status for a call that is meant for another daemon: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.20"""
AGENT = "cidery/"
"""Prefix of the Server header in our answers."""


def header_of(secret: str) -> str:
    """``Bearer TOKEN`` or ``Basic BASE64`` of ``bearer:TOKEN``, ``basic:USER:PASSWORD``, ``basic:BASE64`` or ``TOKEN``.

    Any other secret is used as the header, unchanged.
    """
    kind, colon, rest = secret.partition(":")
    if not colon:
        return f"Bearer {secret}"
    if kind == "bearer":
        return f"Bearer {rest}"
    if kind == "basic":
        from base64 import b64encode  # late: the CLI reads the names above at each start

        return "Basic " + (b64encode(rest.encode()).decode() if ":" in rest else rest)
    return secret
