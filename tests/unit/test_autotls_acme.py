"""The way to a certificate against a scripted authority: in order, and with one that lies."""

import hashlib
import json
import os
from datetime import timedelta

import pytest
from cryptography import x509

from cidery.autotls.acme import MAX_NONCE_TRIES, POLL_SECONDS, Acme, Refused
from cidery.autotls.certificate import certified, kept, request_for
from cidery.autotls.jws import AccountKey, BadPem, b64url, key_to_pem, new_key
from cidery.autotls.steps import MAX_RETRY_AFTER, BadAnswer, NoCertificate, Response, Steps, retry_after
from peers.scripted_authority import NOW, URL, Drive, Issuer, ScriptedAuthority, pem

NAME = "*.k51qzi5uqu5dg.libp2p.direct"
ISSUER = Issuer()


def issued(acme: Acme) -> Steps[bytes]:
    """Without a broker."""
    order = yield from acme.order(NAME)
    for url in order.authorizations:
        challenge = yield from acme.challenge(url)
        if challenge.status != "valid":
            yield from acme.ready(challenge)
    return (yield from acme.certificate(order, request_for(NAME, KEY)))


KEY = new_key(os.urandom)


@pytest.fixture
def authority() -> ScriptedAuthority:
    return ScriptedAuthority(ISSUER)


@pytest.fixture
def acme() -> Acme:
    return Acme(URL + "/directory", AccountKey(new_key(os.urandom)))


def test_a_certificate_comes_of_an_order(authority: ScriptedAuthority, acme: Acme) -> None:
    got = certified(Drive(authority.answer).run(issued(acme)), KEY, NAME)
    assert (got.begins, got.ends) == (NOW.timestamp(), (NOW + timedelta(days=90)).timestamp())
    assert kept(got.pem, NAME) == got
    assert authority.names == [NAME]
    assert authority.asked.count("/nonce") == 1, "each answer brings the next nonce"
    assert acme.kid == URL + "/account/1"
    again = Acme(URL + "/directory", acme.key, acme.kid)
    Drive(authority.answer).run(again.order(NAME))
    assert authority.asked.count("/acct") == 1, "the account is kept"


def test_an_account_that_the_authority_has_forgotten_is_made_anew(authority: ScriptedAuthority, acme: Acme) -> None:
    acme.kid = URL + "/account/gone"
    Drive(authority.answer).run(issued(acme))
    assert acme.kid == URL + "/account/1"


def test_a_bad_nonce_is_answered_by_another_a_few_times(authority: ScriptedAuthority, acme: Acme) -> None:
    def never(_: Response) -> Response:
        return authority.problem(400, "badNonce", "no")

    authority.changes["/new"] = never
    with pytest.raises(Refused, match=r"ca.example: no \(badNonce\)"):
        Drive(authority.answer).run(issued(acme))
    assert authority.asked.count("/new") == MAX_NONCE_TRIES
    left = MAX_NONCE_TRIES - 1

    def twice(honest: Response) -> Response:
        nonlocal left
        left -= 1
        return never(honest) if left >= 0 else honest

    authority.changes["/new"] = twice
    Drive(authority.answer).run(issued(acme))


def without_nonce(response: Response) -> Response:
    return response._replace(headers={"replay-nonce": 'x"\r\n'})


def test_a_nonce_that_is_none_is_not_used(authority: ScriptedAuthority, acme: Acme) -> None:
    authority.changes["/nonce"] = without_nonce
    with pytest.raises(BadAnswer, match="no nonce"):
        Drive(authority.answer).run(issued(acme))


@pytest.mark.parametrize(("path", "key", "status"), [("/authz", "authz", "pending"), ("/order", "order", "processing")])
def test_what_is_never_done_is_given_up(
    authority: ScriptedAuthority, acme: Acme, path: str, key: str, status: str
) -> None:
    def stuck(honest: Response) -> Response:
        if path == "/order" and authority.status["order"] != "valid":
            return honest  # it gets stuck in finishing
        found = json.loads(honest.body) | {"status": status}
        return honest._replace(body=json.dumps(found).encode())

    authority.changes[path] = stuck
    if path == "/order":
        authority.changes["/finalize"] = stuck
    drive = Drive(authority.answer)
    with pytest.raises(NoCertificate, match="not done after 180 s"):
        drive.run(issued(acme))
    assert drive.waited == POLL_SECONDS
    assert drive.requests < 30


def test_it_looks_no_oftener_than_it_is_asked_to(authority: ScriptedAuthority, acme: Acme) -> None:
    looks = 0

    def slow(honest: Response) -> Response:
        nonlocal looks
        looks += 1
        if looks == 2:  # the first after the challenge
            body = json.dumps(json.loads(honest.body) | {"status": "processing"}).encode()
            return honest._replace(body=body, headers={**honest.headers, "retry-after": "20"})
        return honest

    authority.changes["/authz"] = slow
    drive = Drive(authority.answer)
    drive.run(issued(acme))
    assert drive.waited == 20


def test_a_refusal_says_why_and_for_how_long(authority: ScriptedAuthority, acme: Acme) -> None:
    detail = "too many certificates\x1b[31m\nfor this name"
    authority.changes["/new"] = lambda _: authority.problem(429, "rateLimited", detail, {"retry-after": "86400"})
    with pytest.raises(Refused) as caught:
        Drive(authority.answer).run(issued(acme))
    assert str(caught.value) == "ca.example: too many certificates [31m for this name (rateLimited)"
    assert caught.value.retry_after == 86400


def test_a_challenge_that_failed_says_why(authority: ScriptedAuthority, acme: Acme) -> None:
    def invalid(honest: Response) -> Response:
        found = json.loads(honest.body)
        if authority.status["authz"] == "valid":
            found["status"] = "invalid"
            found["challenges"][1]["error"] = {"detail": "no TXT record"}
        return honest._replace(body=json.dumps(found).encode())

    authority.changes["/authz"] = invalid
    with pytest.raises(NoCertificate, match="did not find the record: no TXT record"):
        Drive(authority.answer).run(issued(acme))


@pytest.mark.parametrize("path", ["/directory", "/acct", "/new", "/authz", "/order", "/finalize"])
def test_no_url_of_another_origin_is_asked(authority: ScriptedAuthority, acme: Acme, path: str) -> None:
    def elsewhere(honest: Response) -> Response:
        body = honest.body.replace(URL.encode(), b"https://other.example")
        return honest._replace(
            body=body, headers={name: text.replace(URL, "http://ca.example") for name, text in honest.headers.items()}
        )

    authority.changes[path] = elsewhere
    with pytest.raises(BadAnswer, match="another origin"):
        Drive(authority.answer).run(issued(acme))


def test_a_chain_that_is_not_what_was_asked_for_is_refused() -> None:
    leaf, other = ISSUER.leaf(KEY, [NAME]), ISSUER.leaf(new_key(os.urandom), [NAME])
    good = pem(leaf, ISSUER.intermediate, ISSUER.root)
    assert certified(good, KEY, NAME).name == NAME
    for chain, reason in (
        (pem(ISSUER.intermediate, leaf), "no order"),
        (pem(leaf, ISSUER.root, ISSUER.intermediate), "no order"),
        (pem(leaf, other), "no order"),
        (pem(other, ISSUER.intermediate), "another key"),
        (pem(ISSUER.leaf(KEY, ["*.other.libp2p.direct"])), "is for \\*.other.libp2p.direct, not for"),
        (pem(ISSUER.leaf(KEY, [NAME, "example.com"])), "example.com"),
        (pem(ISSUER.root), "names no host"),
        (pem(*[leaf] * 11), "more than 10"),
        (good[:-40], "cut off"),
        (good.replace(b"MII", b"!!!"), "does not parse"),
        (b"", "no certificate"),
        (b"-" * 70_000, "longer"),
    ):
        with pytest.raises(BadPem, match=reason):
            certified(chain, KEY, NAME)


def test_what_is_kept_holds_what_was_checked_alone() -> None:
    text = b"words\n" + pem(ISSUER.leaf(KEY, [NAME])) + b"-----BEGIN PRIVATE KEY-----\nnone of ours\n"
    found = certified(text, KEY, NAME).pem
    assert b"words" not in found and b"none" not in found
    assert found.startswith(key_to_pem(KEY))


def test_an_expired_certificate_is_not_valid() -> None:
    old = certified(pem(ISSUER.leaf(KEY, [NAME], NOW - timedelta(days=91))), KEY, NAME)
    assert not old.valid(NOW.timestamp())
    assert old.valid(NOW.timestamp() - 2 * 86400)
    late = certified(pem(ISSUER.leaf(KEY, [NAME], NOW + timedelta(minutes=50))), KEY, NAME)
    assert late.valid(NOW.timestamp()), "our clock is a little late"


def test_a_request_in_der_names_the_host_alone() -> None:
    csr = x509.load_der_x509_csr(request_for(NAME, KEY))
    assert csr.is_signature_valid and not list(csr.subject)


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    # RFC 7638 takes the members in order without spaces; the form is checked on a key whose value is known
    key = AccountKey(new_key(lambda size: bytes(size - 1) + b"\x00"))  # the number 1: the point is the generator
    text = (
        '{"crv":"P-256","kty":"EC","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",'
        '"y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}'
    )
    assert key.thumbprint == b64url(hashlib.sha256(text.encode()).digest())
    assert key.dns_value("t") == b64url(hashlib.sha256(f"t.{key.thumbprint}".encode()).digest())
    assert key.signed("https://a/b", "n", {}) == key.signed("https://a/b", "n", {}), "no randomness"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("-5", 0.0),
        ("soon", 0.0),
        ("Fri, 99 Foo 0000", 0.0),
        ("", 0.0),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(text: str, seconds: float) -> None:
    assert retry_after(Response(503, {"retry-after": text}, b"", 100.0)) == seconds
