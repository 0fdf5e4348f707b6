"""A certificate authority as a function of requests, for what Pebble does not do: lies, and delays without end.

It checks what it is sent as RFC 8555 demands it, signatures and nonces included.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from cidery.autotls.steps import LookUp, Pause, Request, Response, Steps

URL = "https://ca.example"
TOKEN = "a-token"
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Issuer:
    """A root and an intermediate, the same ones in every run."""

    def __init__(self, now: Callable[[], datetime] = lambda: NOW, life: timedelta = timedelta(days=90)) -> None:
        """``now``, ``life``: of the certificates that it issues, unless they are given."""
        self.now = now
        self.life = life
        self.root_key, self.key = (ec.derive_private_key(number, ec.SECP256R1()) for number in (2, 3))
        self.root = made("root", self.root_key, "root", self.root_key, ca=True)
        self.intermediate = made("intermediate", self.key, "root", self.root_key, ca=True)

    def leaf(
        self, public: Any, names: list[str], begins: datetime | None = None, life: timedelta | None = None
    ) -> x509.Certificate:
        begins = begins or self.now()
        return made("", public, "intermediate", self.key, names=names, begins=begins, life=life or self.life)


def made(
    subject: str,
    public: Any,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    names: list[str] | None = None,
    begins: datetime = NOW,
    life: timedelta = timedelta(days=90),
    ca: bool = False,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])

    begins = begins.replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public.public_key() if hasattr(public, "public_key") else public)
        .serial_number(serial_of(names, begins))
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def serial_of(names: list[str] | None, begins: datetime) -> int:
    return 1 + len("".join(names or ())) + int(begins.timestamp())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


class ScriptedAuthority:
    """Answers requests. ``changes``: path -> what becomes of the honest answer."""

    def __init__(self, issuer: Issuer, url: str = URL) -> None:
        self.issuer = issuer
        self.url = url
        self.changes: dict[str, Callable[[Response], Response]] = {}
        self.asked: list[str] = []
        self.accounts: dict[str, dict[str, str]] = {}
        self.status = {"authz": "pending", "order": "pending"}
        self.names: list[str] = []
        self.chain = b""
        self._nonces: set[str] = set()
        self._count = 0

    def nonce(self) -> str:
        self._count += 1
        self._nonces.add(f"nonce-{self._count}")
        return f"nonce-{self._count}"

    def answer(self, request: Request) -> Response:
        path = request.url.removeprefix(self.url)
        self.asked.append(path)
        honest = self._honest(request, path)
        return self.changes.get(path, lambda same: same)(honest)

    def _honest(self, request: Request, path: str) -> Response:
        if path == "/directory":
            return self.reply(
                200, {"newNonce": self.url + "/nonce", "newAccount": self.url + "/acct", "newOrder": self.url + "/new"}
            )
        if path == "/nonce":
            return self.reply(200, {})
        wrong = self._checked(request, path)
        if wrong is not None:
            return wrong
        if path == "/authz":
            challenge = {"type": "dns-01", "url": self.url + "/chall", "token": TOKEN, "status": self.status["authz"]}
            others = {"type": "http-01", "url": self.url + "/other", "token": "x", "status": "pending"}
            return self.reply(200, {"status": self.status["authz"], "challenges": [others, challenge]})
        if path == "/chall":
            self.status = {"authz": "valid", "order": "ready"}
            return self.reply(200, {"type": "dns-01", "status": "processing"})
        if path in ("/new", "/order", "/finalize"):
            return self._order(path)
        assert path == "/cert", path
        return Response(200, {"replay-nonce": self.nonce()}, self.chain, 0.0)

    def _order(self, path: str) -> Response:
        if path == "/new":
            self.status = {"authz": "pending", "order": "pending"}
        if path == "/finalize":
            csr = x509.load_der_x509_csr(unpadded(self.payload["csr"]))
            assert csr.is_signature_valid
            wanted = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.names = wanted.get_values_for_type(x509.DNSName)
            self.chain = pem(self.issuer.leaf(csr.public_key(), self.names), self.issuer.intermediate)
            self.status["order"] = "valid"
        order = {
            "status": self.status["order"],
            "authorizations": [self.url + "/authz"],
            "finalize": self.url + "/finalize",
        }
        if self.status["order"] == "valid":
            order["certificate"] = self.url + "/cert"
        return self.reply(
            201 if path == "/new" else 200, order, {"location": self.url + "/order"} if path == "/new" else {}
        )

    def _checked(self, request: Request, path: str) -> Response | None:
        """The problem with a signed request, None if there is none."""
        assert dict(request.headers)["Content-Type"] == "application/jose+json"
        body = json.loads(request.body)
        head = json.loads(unpadded(body["protected"]))
        assert head["url"] == request.url and head["alg"] == "ES256"
        if head["nonce"] not in self._nonces:
            return self.problem(400, "badNonce", "this nonce was used")
        self._nonces.discard(head["nonce"])
        jwk = head["jwk"] if "jwk" in head else self.accounts.get(head["kid"])
        if jwk is None:
            return self.problem(400, "accountDoesNotExist", "who is that?")
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(unpadded(jwk["x"])), int.from_bytes(unpadded(jwk["y"])), ec.SECP256R1()
        )
        raw = unpadded(body["signature"])
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        signed = f"{body['protected']}.{body['payload']}".encode()
        numbers.public_key().verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        self.payload = json.loads(unpadded(body["payload"])) if body["payload"] else None
        if path == "/acct":
            assert "jwk" in head and self.payload == {"termsOfServiceAgreed": True}
            self.accounts[self.url + "/account/1"] = jwk
            return self.reply(201, {"status": "valid"}, {"location": self.url + "/account/1"})
        assert "kid" in head
        return None

    def reply(self, status: int, value: object, headers: dict[str, str] | None = None) -> Response:
        return Response(status, {"replay-nonce": self.nonce(), **(headers or {})}, json.dumps(value).encode(), 0.0)

    def problem(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> Response:
        return self.reply(status, {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}, headers)


class Drive:
    """Runs steps in no time; counts the seconds that they would have waited, and what they asked."""

    def __init__(self, answer: Callable[[Request], Response], texts: Callable[[str], tuple[str, ...]] = lambda _: ()):
        self.answer = answer
        self.texts = texts
        self.waited = 0.0
        self.requests = self.look_ups = 0

    def run(self, steps: Steps[Any]) -> Any:
        got: Any = None
        try:
            while True:
                step = steps.send(got)
                if isinstance(step, Request):
                    self.requests += 1
                    got = self.answer(step)
                elif isinstance(step, LookUp):
                    self.look_ups += 1
                    got = self.texts(step.name)
                else:
                    assert isinstance(step, Pause) and step.seconds >= 0
                    self.waited += step.seconds
                    got = None
        except StopIteration as stop:
            return stop.value
