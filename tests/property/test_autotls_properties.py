"""AutoTLS: whatever an authority, a broker or a file says gives a value or its own error, and ends in bounded time."""

import json
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.autotls.acme import Acme, decode_challenge, decode_directory, decode_order, problem_of
from cidery.autotls.broker import Broker, registered
from cidery.autotls.certificate import certified, kept, request_for
from cidery.autotls.issuing import Issuing, issued
from cidery.autotls.jws import AccountKey, BadPem, key_from_pem, key_to_pem, new_key
from cidery.autotls.names import ForgeNames
from cidery.autotls.peer_auth import SCHEME, BadAuth, ClientAuth, format_params, parse_params
from cidery.autotls.steps import BadAnswer, NoCertificate, Request, Response
from cidery.errors import CideryError
from cidery.identity.keys import PrivateKey
from cidery.repo.autotls_files import AccountDamaged, decode_account
from cidery.repo.config_autotls import is_domain, is_token, url_fault
from peers.scripted_authority import URL, Drive, Issuer, ScriptedAuthority, pem

many = settings(derandomize=True, max_examples=200, deadline=None)
few = settings(derandomize=True, max_examples=60, deadline=None)

IDENTITY = PrivateKey.generate_ed25519(lambda size: bytes(range(size)))
KEY = new_key(lambda size: bytes(range(size)))
NAME = "*.k51.libp2p.direct"
ISSUER = Issuer()
CHAIN = key_to_pem(KEY) + pem(ISSUER.leaf(KEY, [NAME]), ISSUER.intermediate)
FIELDS = (
    *("status", "authorizations", "finalize", "certificate", "error", "challenges", "newNonce", "newOrder", "detail"),
    *("type", "url", "token"),
)
PATHS = ["/acct", "/new", "/authz", "/chall", "/order", "/finalize", "/cert"]
PIECES = [f"{SCHEME} ", 'sig="AA"', ", ", 'opaque="', '"', "="]
STATUS = [200, 201, 204, 400, 401, 404, 429, 500]
SETTINGS = ["https://a", "http://127.0.0.1:1", "http://a", "https://u@a"]
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([URL + "/a", "valid"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=12,
)
bodies = st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode())
headers = st.dictionaries(
    st.sampled_from(["location", "replay-nonce", "retry-after", "www-authenticate", "authentication-info"]),
    st.text(max_size=40) | st.sampled_from([URL + "/a", "nonce", "5", f'{SCHEME} sig="AA", bearer="x"']),
)
responses = st.builds(Response, st.sampled_from(STATUS), headers, bodies, st.just(0.0))


@many
@given(bodies)
def test_any_body_is_an_object_of_acme_or_its_error(body):
    for decode in (decode_directory, decode_order, decode_challenge):
        try:
            decode(body, URL + "/x")
        except BadAnswer:
            pass
    assert isinstance(problem_of(Response(400, {}, body, 0.0), "ca"), NoCertificate)


@many
@given(st.text(max_size=80) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_header_is_a_challenge_or_its_error(header):
    try:
        params = parse_params(header)
    except BadAuth:
        params = {}
    else:
        if params:
            assert parse_params(format_params(params)) == params
    for take in (ClientAuth.challenged, ClientAuth.accepted):
        auth = ClientAuth(IDENTITY, "example.com", bytes(32))
        try:
            take(auth, header)
        except BadAuth:
            assert not auth.proven


@many
@given(st.data())
def test_any_pem_is_a_certificate_or_its_error(data):
    broken = bytearray(CHAIN)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=8))
    for read in (lambda: kept(bytes(broken), NAME), lambda: certified(bytes(broken), KEY, NAME)):
        try:
            assert read().name == NAME
        except BadPem:
            pass
    try:
        key_from_pem(bytes(broken))
    except BadPem:
        pass


@many
@given(bodies)
def test_any_file_is_an_account_or_its_error(body):
    try:
        account = decode_account(body, Path("account.json"))
    except AccountDamaged:
        return
    assert decode_account(json.dumps(account._asdict()).encode(), Path("x")) == account


@few
@given(st.lists(responses, min_size=1, max_size=12))
def test_whatever_servers_answer_it_ends_soon(answers):
    """With answers that repeat themselves, and look-ups that never find anything."""
    at = 0

    def answer(request: Request) -> Response:
        nonlocal at
        at += 1
        return answers[at % len(answers)]

    drive = Drive(answer)
    acme = Acme(URL + "/directory", AccountKey(KEY))
    broker = Broker(URL, IDENTITY, "", os.urandom)
    issuing = Issuing(acme, broker, ForgeNames(IDENTITY.peer_id, "libp2p.direct"), list, os.urandom)
    try:
        drive.run(issued(issuing))
    except CideryError:
        pass
    assert drive.requests < 400 and drive.waited < 3600


@few
@given(
    st.lists(responses, min_size=1, max_size=6),
    st.sampled_from(PATHS),
)
def test_one_lie_of_an_honest_authority_is_an_error_of_it(lies, path):
    authority = ScriptedAuthority(ISSUER)
    at = 0

    def lie(honest: Response) -> Response:
        nonlocal at
        at += 1
        return lies[at % len(lies)]

    authority.changes[path] = lie
    acme = Acme(URL + "/directory", AccountKey(KEY))
    try:
        order = Drive(authority.answer).run(acme.order(NAME))
        challenge = Drive(authority.answer).run(acme.challenge(order.authorizations[0]))
        Drive(authority.answer).run(acme.ready(challenge))
        Drive(authority.answer).run(acme.certificate(order, request_for(NAME, KEY)))
    except CideryError:
        pass


@few
@given(responses)
def test_a_broker_that_says_anything_is_an_error_of_it(response):
    try:
        Drive(lambda _: response).run(registered(Broker(URL, IDENTITY, "", os.urandom), "v", []))
    except (BadAnswer, NoCertificate):
        return
    raise AssertionError("it has proven nothing")


@many
@given(st.text(max_size=60) | st.integers() | st.sampled_from(SETTINGS))
def test_any_value_is_a_setting_or_its_fault(value):
    assert isinstance(url_fault(value), str)
    assert is_domain(value) in (True, False)
    assert is_token(value) in (True, False)
