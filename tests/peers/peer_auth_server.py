"""The server's side of authentication by peer id over HTTP, for tests of our client. Pure.

Spec: https://github.com/libp2p/specs/blob/master/http/peer-id-auth.md
"""

from cidery.autotls.peer_auth import SCHEME, decode_base64, encode_base64, format_params, parse_params, signed_data
from cidery.autotls.steps import Request, Response
from cidery.identity.keys import PrivateKey, PublicKey

CHALLENGE = "ERERERERERERERERERERERERERERERERERERERERERE="
"""Of the specification's example; a real server has a new one each time."""
BEARER = "YmVhcmVy"


class AuthServer:
    """Answers requests with 401 until the client has proven who it is. ``peers``: of those that have."""

    def __init__(self, key: PrivateKey, hostname: str, *, first: bool = True) -> None:
        """``first``: whether it lets the client begin, else it begins itself."""
        self.key = key
        self.hostname = hostname.encode()
        self.first = first
        self.peers: list[PublicKey] = []
        self.bodies: list[bytes] = []
        self._asking: PublicKey | None = None

    def answer(self, request: Request) -> Response:
        params = parse_params(dict(request.headers).get("Authorization", ""))
        self.bodies.append(request.body)
        if params.get("bearer") == BEARER:
            return Response(200, {}, b"", 0.0)
        if "sig" in params:
            return self._proven(params, request)
        if self.first and "public-key" in params:
            self._asking = PublicKey.decode(decode_base64(params["public-key"], "key"))
            return self._challenge({"sig": self._signature(params["challenge-server"], self._asking)})
        return self._challenge({})

    def _challenge(self, more: dict[str, str]) -> Response:
        public = encode_base64(self.key.public.encode())
        said = {"challenge-client": CHALLENGE, "public-key": public, **more, "opaque": "b3BhcXVl"}
        # others may come before ours (RFC 9110, 11.6.1)
        return Response(401, {"www-authenticate": f'Basic realm="x", {format_params(said)}'}, b"", 0.0)

    def _proven(self, params: dict[str, str], request: Request) -> Response:
        client = self._asking
        if "public-key" in params:
            client = PublicKey.decode(decode_base64(params["public-key"], "key"))
        assert client is not None and params["opaque"] == "b3BhcXVl"
        signed = {"challenge-client": CHALLENGE.encode(), "server-public-key": self.key.public.encode()}
        data = signed_data({**signed, "hostname": self.hostname})
        if not client.verify(data, decode_base64(params["sig"], "signature")):
            return Response(400, {}, b"", 0.0)
        self.peers.append(client)
        info = {"bearer": BEARER}
        if "challenge-server" in params:
            info = {"sig": self._signature(params["challenge-server"], client), **info}
        status = 200 if request.body or request.method == "GET" else 400
        return Response(status, {"authentication-info": format_params(info)}, b"", 0.0)

    def _signature(self, challenge: str, client: PublicKey) -> str:
        signed = {"challenge-server": challenge.encode(), "client-public-key": client.encode()}
        return encode_base64(self.key.sign(signed_data({**signed, "hostname": self.hostname})))


__all__ = ["BEARER", "CHALLENGE", "SCHEME", "AuthServer"]
