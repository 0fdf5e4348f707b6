"""Authentication by peer id over HTTP: the specification's examples, both ways to begin, and servers that lie."""

import base64
import os

import pytest

from cidery.autotls.broker import LOOK_SECONDS, UNHEALTHY_WAIT, Broker, healthy, published, registered
from cidery.autotls.peer_auth import (
    MAX_REQUESTS,
    BadAuth,
    ClientAuth,
    authenticated,
    decode_base64,
    encode_base64,
    format_params,
    parse_params,
    signed_data,
)
from cidery.autotls.steps import BadAnswer, NoCertificate, Request, Response
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from peers.peer_auth_server import CHALLENGE, AuthServer
from peers.scripted_authority import Drive

SERVER = PrivateKey.decode(
    bytes.fromhex("08011240" + "01" * 32 + "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
)
CLIENT = PrivateKey.decode(
    bytes.fromhex("08011240" + "02" * 32 + "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394")
)
SERVER_KEY = "CAESIIqI4910CfGV_VLbLTy6XXLKZwm_HZQSG_N0iAG0D29c"
SERVER_SIG = "HQ7BJRaSpRhNCORNiALNJENdwXUyq0eM2cxNoxe-XnQw6oEAMaeYnjMYaHHjgq0XNxZmy4W2ngKUcI1CgprLCQ=="
OURS = base64.urlsafe_b64decode("MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMz")
URL = "http://broker.example/v1/_acme-challenge"
POST = Request("POST", URL, (), b"what is asked")


def test_what_is_signed_is_that_of_the_specification() -> None:
    challenge = b"ERERERERERERERERERERERERERERERERERERERERERE="
    signed = {"hostname": b"example.com", "client-public-key": CLIENT.public.encode(), "challenge-server": challenge}
    signature = "UA88qZbLUzmAxrD9KECbDCgSKAUBAvBHrOCF2X0uPLR1uUCF7qGfLPc7dw3Olo-LaFCDpk5sXN7TkLWPVvuXAA=="
    assert SERVER.sign(signed_data(signed)) == base64.urlsafe_b64decode(signature)


def test_a_client_that_begins_says_what_the_example_says() -> None:
    auth = ClientAuth(CLIENT, "example.com", OURS)
    assert parse_params(auth.header) == {
        "challenge-server": "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMz",
        "public-key": "CAESIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
    }
    auth.challenged(
        f'libp2p-PeerID challenge-client="{CHALLENGE}", public-key="{SERVER_KEY}", sig="{SERVER_SIG}", opaque="1Jrl"'
    )
    assert auth.server_known
    assert parse_params(auth.header) == {
        "opaque": "1Jrl",
        "sig": "OrwJPO4buHKJdKXP2av8PFwv3XF_-m5MqndskeVV5UzufYzBCTm7RBaFnBS1sEhuQHZSZPh9RJgN5NmLzrUrBQ==",
    }
    auth.accepted('libp2p-PeerID bearer="Yhl=="')
    assert auth.proven and parse_params(auth.header) == {"bearer": "Yhl=="}


def test_a_server_that_begins_is_answered_as_the_text_demands() -> None:
    # the example of this way shows no key in the challenge, and a signature without it: it is older than the text,
    # and than go-libp2p, which sign what the other example shows
    auth = ClientAuth(CLIENT, "example.com", OURS)
    auth.challenged(f'libp2p-PeerID challenge-client="{CHALLENGE}", public-key="{SERVER_KEY}", opaque="0H1Y"')
    assert not auth.server_known
    assert parse_params(auth.header) == {
        "public-key": "CAESIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
        "challenge-server": "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMz",
        "sig": "OrwJPO4buHKJdKXP2av8PFwv3XF_-m5MqndskeVV5UzufYzBCTm7RBaFnBS1sEhuQHZSZPh9RJgN5NmLzrUrBQ==",
        "opaque": "0H1Y",
    }
    auth.accepted(f'libp2p-PeerID sig="{SERVER_SIG}", bearer="Yhl=", public-key="{SERVER_KEY}"')
    assert auth.server_known and auth.proven


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["ed25519", "secp256k1", "rsa"])
def test_both_ways_to_begin_lead_to_an_answer(first: bool, kind: str) -> None:
    makers = {
        "ed25519": lambda: PrivateKey.generate_ed25519(os.urandom),
        "secp256k1": PrivateKey.generate_secp256k1,
        "rsa": lambda: PrivateKey.generate_rsa(2048),
    }
    client = makers[kind]()
    server = AuthServer(SERVER, "broker.example", first=first)
    drive = Drive(server.answer)
    assert drive.run(authenticated(POST, client, os.urandom)).status == 200
    assert server.peers == [client.public]
    # nothing is told to a server that has not proven who it is
    assert server.bodies == ([b"", POST.body] if first else [b"", b"", POST.body])


def test_a_server_that_forgets_its_challenge_is_answered_once_more() -> None:
    server = AuthServer(SERVER, "broker.example")
    answers: list[Response] = []

    def forgetful(request: Request) -> Response:
        if len(answers) == 1:
            request = request._replace(headers=())
        answers.append(server.answer(request))
        return answers[-1]

    assert Drive(forgetful).run(authenticated(POST, CLIENT, os.urandom)).status == 200
    assert len(answers) <= MAX_REQUESTS


def test_endless_challenges_are_given_up() -> None:
    server = AuthServer(SERVER, "broker.example", first=False)
    drive = Drive(lambda request: server.answer(request._replace(headers=())))
    with pytest.raises(NoCertificate, match="does not believe"):
        drive.run(authenticated(POST, CLIENT, os.urandom))
    assert drive.requests == MAX_REQUESTS


@pytest.mark.parametrize("first", [True, False])
def test_a_server_that_signs_for_another_host_is_refused(first: bool) -> None:
    server = AuthServer(SERVER, "broker.example", first=first)

    def elsewhere(request: Request) -> Response:
        # as a machine in the middle could: it lets the broker's own host believe us, and signs for itself
        server.hostname = b"broker.example"
        if "sig" in parse_params(dict(request.headers)["Authorization"]):
            said = server.answer(request)
            server.hostname = b"other.example"
            params = parse_params(dict(request.headers)["Authorization"])
            if "challenge-server" in params:
                signature = server._signature(params["challenge-server"], CLIENT.public)
                return said._replace(headers={"authentication-info": format_params({"sig": signature, "bearer": "Yg"})})
            return said
        server.hostname = b"other.example"
        return server.answer(request)

    with pytest.raises(BadAnswer, match="signature is wrong"):
        Drive(elsewhere).run(authenticated(POST, CLIENT, os.urandom))
    assert POST.body not in server.bodies


def test_a_server_that_shows_another_key_at_the_end_is_refused() -> None:
    server = AuthServer(SERVER, "broker.example", first=False)
    other = encode_base64(PrivateKey.generate_ed25519(os.urandom).public.encode())

    def changed(request: Request) -> Response:
        said = server.answer(request)
        if "authentication-info" not in said.headers:
            return said
        return said._replace(headers={"authentication-info": f'libp2p-PeerID public-key="{other}", bearer="Yg"'})

    with pytest.raises(BadAnswer, match="another key than before"):
        Drive(changed).run(authenticated(POST, CLIENT, os.urandom))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "no challenge"),
        ("Basic realm=x", "no challenge"),
        (f'libp2p-PeerID challenge-client="{CHALLENGE[:20]}", public-key="{SERVER_KEY}"', "no challenge"),
        (f'libp2p-PeerID challenge-client="{CHALLENGE}"', "no key"),
        (f'libp2p-PeerID challenge-client="{CHALLENGE}", public-key="!!!"', "no base64"),
        (f'libp2p-PeerID challenge-client="{CHALLENGE}", public-key="CAES"', "truncated"),
        (f'libp2p-PeerID challenge-client="{CHALLENGE}", public-key="{SERVER_KEY}", sig="AAAA"', "wrong"),
        ('libp2p-PeerID opaque="a", opaque="b"', "twice"),
        ("libp2p-PeerID " + "x" * 3000, "2048"),
    ],
)
def test_a_header_that_proves_nothing_is_refused(header: str, reason: str) -> None:
    with pytest.raises(BadAuth, match=reason):
        ClientAuth(CLIENT, "example.com", OURS).challenged(header)


def test_an_answer_without_a_proof_is_none() -> None:
    drive = Drive(lambda _: Response(200, {}, b"", 0.0))
    with pytest.raises(BadAnswer, match="does not say that it knows"):
        drive.run(authenticated(POST, CLIENT, os.urandom))
    assert Drive(lambda _: Response(404, {}, b"", 0.0)).run(authenticated(POST, CLIENT, os.urandom)).status == 404


def test_padding_may_be_left_out() -> None:
    assert decode_base64("-_8", "it") == decode_base64("-_8=", "it") == b"\xfb\xff"


def broker(token: str = "") -> Broker:
    return Broker("http://broker.example", CLIENT, token, os.urandom)


def test_a_broker_that_is_not_well_is_left_alone_for_an_hour_or_longer() -> None:
    Drive(lambda _: Response(204, {}, b"", 0.0)).run(healthy(broker()))
    for headers, wait in (({}, UNHEALTHY_WAIT), ({"retry-after": "7200"}, 7200.0), ({"retry-after": "1"}, 3600.0)):
        with pytest.raises(NoCertificate) as caught:
            Drive(lambda _, said=headers: Response(503, said, b"", 0.0)).run(healthy(broker()))  # type: ignore[misc]
        assert caught.value.retry_after == wait


def test_a_broker_says_why_it_refuses() -> None:
    server = AuthServer(SERVER, "broker.example")

    def unable(request: Request) -> Response:
        said = server.answer(request)
        return said if said.status == 401 else said._replace(status=400, body=b"error testing addresses:\n\x1b[2J none")

    addr = Multiaddr.parse("/ip4/203.0.113.4/tcp/4001")
    with pytest.raises(NoCertificate) as caught:
        Drive(unable).run(registered(broker("t"), "value", [addr]))
    assert caught.value.reason == "error testing addresses:  [2J none"
    assert server.bodies[-1] == b'{"value":"value","addresses":["/ip4/203.0.113.4/tcp/4001"]}'


def test_a_record_that_does_not_come_is_waited_for_three_minutes() -> None:
    drive = Drive(lambda _: Response(500, {}, b"", 0.0), lambda _: ("not set yet",))
    with pytest.raises(NoCertificate, match="not seen after 180 s"):
        drive.run(published("_acme-challenge.x", "value"))
    assert drive.waited == LOOK_SECONDS and drive.look_ups < 12
    drive = Drive(lambda _: Response(500, {}, b"", 0.0), lambda _: ("old", "value"))
    drive.run(published("_acme-challenge.x", "value"))
    assert drive.look_ups == 1
