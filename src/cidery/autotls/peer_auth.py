"""Authentication by peer id over HTTP: both sides sign a challenge of the other. The client's side.

::

    >  Authorization: libp2p-PeerID challenge-server, public-key
    <  401  WWW-Authenticate: libp2p-PeerID challenge-client, public-key, sig, opaque       the server is known now
    >  Authorization: libp2p-PeerID opaque, sig       and what is asked
    <  200  Authentication-Info: libp2p-PeerID bearer

A server that does not go along answers with a challenge of its own and no signature; it signs at the end then.

Spec: https://github.com/libp2p/specs/blob/master/http/peer-id-auth.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from cidery.autotls.steps import BadAnswer, NoCertificate, Request, Response, Steps, asked, host_in, retry_after
from cidery.errors import RemoteProtocolError
from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.multiformats.varint import encode_uvarint

SCHEME = "libp2p-PeerID"
MAX_HEADER = 2048
"""Characters of a header: "the suggested maximum length"."""
LEAST_CHALLENGE = 32
"""Characters of a challenge: what is signed must not be guessed before."""
CHALLENGE = 32
"""Random bytes of our challenge."""
MAX_REQUESTS = 4
"""Requests of one authentication: a challenge and an answer, and each once more from a server that has forgotten."""
_PARAM = re.compile(r'\s*,?\s*([a-z0-9-]{1,32})="([^"\\\x00-\x1f\x7f]*)"')


class BadAuth(RemoteProtocolError):
    """A header that does not say what it must, or proves nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{SCHEME} authentication: {self.reason}"


def parse_params(header: str) -> dict[str, str]:
    """The parameters of our scheme in a header; empty if it has none. Raises BadAuth only (fuzzed)."""
    if len(header) > MAX_HEADER:
        raise BadAuth(f"a header of more than {MAX_HEADER} characters")
    at = header.lower().find(SCHEME.lower() + " ")  # "case-insensitive" (RFC 9110, 11.1); others may come before it
    if at < 0:
        return {}
    out: dict[str, str] = {}
    at += len(SCHEME) + 1
    while (match := _PARAM.match(header, at)) is not None:
        if match[1] in out:
            raise BadAuth(f"{match[1]} comes twice")
        out[match[1]] = match[2]
        at = match.end()
    return out


def format_params(params: Mapping[str, str]) -> str:
    """The header's value."""
    return f"{SCHEME} " + ", ".join(f'{name}="{value}"' for name, value in params.items())


def signed_data(params: Mapping[str, bytes]) -> bytes:
    """What is signed: each name=value behind its length, in the order of the names."""
    out = bytearray(SCHEME.encode())
    for name in sorted(params):
        one = name.encode() + b"=" + params[name]
        out += encode_uvarint(len(one)) + one
    return bytes(out)


def decode_base64(text: str, what: str) -> bytes:
    """Base64 for URLs; "padding MAY be omitted". Raises BadAuth."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error) as exc:
        raise BadAuth(f"{what} is no base64") from exc


def encode_base64(data: bytes) -> str:
    """With padding, as go-libp2p demands it."""
    return base64.urlsafe_b64encode(data).decode()


class ClientAuth:
    """One authentication of a client. ``header`` is what to send next, until ``proven``."""

    def __init__(self, key: PrivateKey, hostname: str, challenge: bytes) -> None:
        """``hostname``: as the Host field of the requests has it. ``challenge``: random bytes, never used before."""
        self._key = key
        self._public = key.public.encode()
        self._hostname = hostname.encode()
        self._challenge = encode_base64(challenge)
        self._server: PublicKey | None = None
        self.server_known = False
        """Whether the server has proven its key: what is asked may be sent."""
        self.proven = False
        """Whether the server has accepted who we are."""
        self.header = format_params({"challenge-server": self._challenge, "public-key": encode_base64(self._public)})

    def challenged(self, header: str) -> None:
        """The WWW-Authenticate of an answer 401. Raises BadAuth only (fuzzed)."""
        params = parse_params(header)
        challenge, opaque = params.get("challenge-client", ""), params.get("opaque", "")
        if len(challenge) < LEAST_CHALLENGE:
            raise BadAuth("no challenge that could not be guessed")
        server = self._learn(params)
        if "sig" in params:
            self._verify(server, params)
            answer = {"opaque": opaque}
        else:
            answer = {"public-key": encode_base64(self._public), "challenge-server": self._challenge, "opaque": opaque}
        signed = {
            "challenge-client": challenge.encode(),
            "server-public-key": server.encode(),
            "hostname": self._hostname,
        }
        answer["sig"] = encode_base64(self._key.sign(signed_data(signed)))
        self.header = format_params(answer)

    def accepted(self, header: str) -> None:
        """The Authentication-Info of another answer. Raises BadAuth only (fuzzed)."""
        params = parse_params(header)
        if not self.server_known:
            self._verify(self._learn(params), params)
        if not params.get("bearer"):
            raise BadAuth("the server does not say that it knows this node")
        self.header = format_params({"bearer": params["bearer"]})
        self.proven = True

    def _learn(self, params: Mapping[str, str]) -> PublicKey:
        if "public-key" in params:
            try:
                shown = PublicKey.decode(decode_base64(params["public-key"], "the public key"))
            except BadKey as exc:
                raise BadAuth(exc.reason) from exc
            if self._server is not None and shown != self._server:
                raise BadAuth("the server shows another key than before")
            self._server = shown
        if self._server is None:
            raise BadAuth("the server shows no key")
        return self._server

    def _verify(self, server: PublicKey, params: Mapping[str, str]) -> None:
        signed = {
            "challenge-server": self._challenge.encode(),
            "client-public-key": self._public,
            "hostname": self._hostname,
        }
        if not server.verify(signed_data(signed), decode_base64(params.get("sig", ""), "the signature")):
            raise BadAuth("the server's signature is wrong")
        self.server_known = True


def authenticated(request: Request, key: PrivateKey, entropy: Callable[[int], bytes]) -> Steps[Response]:
    """The answer to a request that is made as a peer. Raises BadAnswer, NoCertificate, and what asked() does.

    The body goes out once the server is known. An answer that is no success may come from one that is not.
    """
    who = host_in(request.url)
    auth = ClientAuth(key, who, entropy(CHALLENGE))
    try:
        for _ in range(MAX_REQUESTS):
            whole = auth.server_known
            headers = (*request.headers, ("Authorization", auth.header))
            response = yield from asked(request._replace(headers=headers, body=request.body if whole else b""))
            if response.status == 401:
                auth.challenged(response.headers.get("www-authenticate", ""))
                continue
            if "authentication-info" in response.headers:
                auth.accepted(response.headers["authentication-info"])
            if response.status == 200 and not auth.proven:
                raise BadAuth("the server does not say that it knows this node")
            if whole or not auth.proven:
                return response
    except BadAuth as exc:
        raise BadAnswer(who, f"a wrong proof: {exc.reason}") from exc
    raise NoCertificate(who, "it does not believe that this is its peer", retry_after(response))
