"""A certificate from an authority: account, order, challenge, finalisation. RFC 8555 as far as one name needs it.

Every body of a request is signed with the account's key and a nonce of the server, which each answer brings anew.

Spec: https://www.rfc-editor.org/rfc/rfc8555
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cidery.autotls.jws import AccountKey, b64url
from cidery.autotls.steps import (
    BadAnswer,
    NoCertificate,
    Pause,
    Request,
    Response,
    Steps,
    asked,
    checked_url,
    host_in,
    json_object,
    retry_after,
    said,
)

MAX_NONCE_TRIES = 5
"""Times that one request is sent whose nonce the server does not take."""
FIRST_POLL, LAST_POLL, POLL_SECONDS = 1.0, 30.0, 180.0
"""Seconds before the first look at what is under way, at most between two, and in all."""
MAX_ITEMS = 16
"""Authorizations of an order, and challenges of an authorization, that are read."""
MAX_TOKEN = 512
_JOSE = (("Content-Type", "application/jose+json"),)
_ERROR = "urn:ietf:params:acme:error:"
_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Refused(NoCertificate):
    """The authority says no, and why."""

    def __init__(self, who: str, kind: str, detail: str, wait: float) -> None:
        """``kind``: of the error, as ``rateLimited``."""
        super().__init__(who, f"{detail or 'no reason'} ({kind})", wait)
        self.args = (who, kind, detail, wait)
        self.kind = kind


class Directory(NamedTuple):
    """Where an authority is asked for what."""

    new_nonce: str
    new_account: str
    new_order: str


class Order(NamedTuple):
    """What an authority was asked for."""

    url: str
    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str
    """Its URL; "" while there is none."""
    problem: str


class Challenge(NamedTuple):
    """The proof by DNS that an authority wants, and the state of the authorization that it is for."""

    authorization: str
    status: str
    url: str
    token: str
    problem: str


def decode_directory(body: bytes, base: str) -> Directory:
    """Raises BadAnswer only (fuzzed)."""
    who = host_in(base)
    found = json_object(body, who)
    urls = (checked_url(found.get(name), base, who) for name in ("newNonce", "newAccount", "newOrder"))
    return Directory(*urls)


def decode_order(body: bytes, url: str) -> Order:
    """Raises BadAnswer only (fuzzed)."""
    who = host_in(url)
    found = json_object(body, who)
    urls = found.get("authorizations")
    if not isinstance(urls, list) or not 0 < len(urls) <= MAX_ITEMS:
        raise BadAnswer(who, f"an order without 1 to {MAX_ITEMS} authorizations")
    certificate = found.get("certificate")
    return Order(
        url,
        _status(found, who),
        tuple(checked_url(one, url, who) for one in urls),
        checked_url(found.get("finalize"), url, who),
        checked_url(certificate, url, who) if certificate else "",
        _problem_in(found),
    )


def decode_challenge(body: bytes, url: str) -> Challenge:
    """The dns-01 challenge of an authorization. Raises BadAnswer only (fuzzed)."""
    who = host_in(url)
    found = json_object(body, who)
    several = found.get("challenges")
    several = several[:MAX_ITEMS] if isinstance(several, list) else []
    one = next((one for one in several if isinstance(one, dict) and one.get("type") == "dns-01"), None)
    if one is None:
        raise BadAnswer(who, "an authorization without a dns-01 challenge")
    token = one.get("token")
    # "It MUST NOT contain any characters outside the base64url alphabet"
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN or not _TOKEN.issuperset(token):
        raise BadAnswer(who, "a challenge without a token")
    return Challenge(url, _status(found, who), checked_url(one.get("url"), url, who), token, _problem_in(one))


def _status(found: Mapping[str, Any], who: str) -> str:
    status = found.get("status")
    if not isinstance(status, str):
        raise BadAnswer(who, "an object without a status")
    return said(status)


def _problem_in(found: Mapping[str, Any]) -> str:
    problem = found.get("error")
    return said(problem.get("detail") or problem.get("type") or "") if isinstance(problem, dict) else ""


def problem_of(response: Response, who: str) -> NoCertificate:
    """Why an authority refuses, from its problem document (RFC 7807), or from the status alone. Never raises."""
    wait = retry_after(response)
    try:
        found = json_object(response.body, who)
    except BadAnswer:
        return NoCertificate(who, f"HTTP status {response.status}", wait)
    kind = said(found.get("type", "")).removeprefix(_ERROR)
    return Refused(who, kind or f"HTTP status {response.status}", said(found.get("detail", "")), wait)


class Acme:
    """Talks with one authority in one account. Its methods are Steps."""

    def __init__(self, directory: str, key: AccountKey, kid: str = "") -> None:
        """``directory``: the URL. ``kid``: the account's URL, "" as long as it is not known."""
        self.url = directory
        self.who = host_in(directory)
        self.key = key
        self.kid = kid
        self._nonce = ""
        self._known: Directory | None = None

    def _directory(self) -> Steps[Directory]:
        if self._known is None:
            response = yield from asked(Request("GET", self.url))
            if response.status != 200:
                raise problem_of(response, self.who)
            self._known = decode_directory(response.body, self.url)
        return self._known

    def _post(self, url: str, payload: object | None, *, by_key: bool = False) -> Steps[Response]:
        """A signed request; an answer that is no success is raised."""
        for left in reversed(range(MAX_NONCE_TRIES)):
            if not self._nonce:
                directory = yield from self._directory()
                got = yield from asked(Request("HEAD", directory.new_nonce))
                self._take_nonce(got)
            nonce, self._nonce = self._nonce, ""
            if not nonce:
                raise BadAnswer(self.who, "no nonce")
            body = self.key.signed(url, nonce, payload, "" if by_key else self.kid)
            response = yield from asked(Request("POST", url, _JOSE, body))
            self._take_nonce(response)
            if 200 <= response.status < 300:
                return response
            problem = problem_of(response, self.who)
            # "the server MUST provide a fresh nonce [...] the client SHOULD retry"
            if left and isinstance(problem, Refused) and problem.kind == "badNonce":
                continue
            raise problem
        raise AssertionError("the last try returns or raises")

    def _take_nonce(self, response: Response) -> None:
        text = response.headers.get("replay-nonce", "")
        self._nonce = text if 0 < len(text) <= MAX_TOKEN and _TOKEN.issuperset(text) else ""

    def account(self) -> Steps[None]:
        """Make the account, or find it again by its key."""
        directory = yield from self._directory()
        response = yield from self._post(directory.new_account, {"termsOfServiceAgreed": True}, by_key=True)
        self.kid = checked_url(response.headers.get("location"), self.url, self.who)

    def order(self, name: str) -> Steps[Order]:
        """Ask for a certificate; the account is made anew if the authority has forgotten it."""
        if not self.kid:
            yield from self.account()
        directory = yield from self._directory()
        wanted = {"identifiers": [{"type": "dns", "value": name}]}
        try:
            response = yield from self._post(directory.new_order, wanted)
        except Refused as exc:
            if exc.kind != "accountDoesNotExist":
                raise
            yield from self.account()
            response = yield from self._post(directory.new_order, wanted)
        return decode_order(response.body, checked_url(response.headers.get("location"), self.url, self.who))

    def challenge(self, authorization: str) -> Steps[Challenge]:
        """What an authorization wants."""
        response = yield from self._post(authorization, None)
        return decode_challenge(response.body, authorization)

    def ready(self, challenge: Challenge) -> Steps[None]:
        """Say that the record is there, and wait until the authority has seen it."""
        yield from self._post(challenge.url, {})

        def look(response: Response) -> Challenge:
            return decode_challenge(response.body, challenge.authorization)

        found = yield from self._until(challenge.authorization, look, ("pending", "processing"))
        if found.status != "valid":
            raise NoCertificate(self.who, f"it did not find the record: {found.problem or found.status}")

    def certificate(self, order: Order, csr: bytes) -> Steps[bytes]:
        """Finish an order whose authorizations are valid: the chain in PEM."""

        def look(response: Response) -> Order:
            return decode_order(response.body, order.url)

        if order.status != "valid":
            order = yield from self._until(order.url, look, ("pending",))
            if order.status == "ready":
                response = yield from self._post(order.finalize, {"csr": b64url(csr)})
                order = decode_order(response.body, order.url)
            if order.status in ("ready", "processing"):
                order = yield from self._until(order.url, look, ("ready", "processing"))
        if order.status != "valid" or not order.certificate:
            raise NoCertificate(self.who, f"the order came to nothing: {order.problem or order.status}")
        response = yield from self._post(order.certificate, None)
        return response.body

    def _until(self, url: str, look: Callable[[Response], Any], unfinished: tuple[str, ...]) -> Steps[Any]:
        """Look at an object until its status is another one. Raises NoCertificate after POLL_SECONDS of waiting."""
        waited, pause = 0.0, FIRST_POLL
        while True:
            response = yield from self._post(url, None)
            found = look(response)
            if found.status not in unfinished:
                return found
            if waited >= POLL_SECONDS:
                raise NoCertificate(self.who, f"it is not done after {POLL_SECONDS:.0f} s")
            # "MUST [...] use exponential backoff"; what it asks for goes before that, as far as we wait at all
            wait = min(max(pause, retry_after(response)), POLL_SECONDS - waited)
            yield Pause(wait)
            waited += wait
            pause = min(2 * pause, LAST_POLL)
