"""Fuzz targets: every decoder that reads blocks, archives and names from elsewhere, fed with broken vectors.

    python tests/fuzz/decoders.py [SECONDS=60] [SEED=0]

Any input must give a value or one of the decoder's own errors, within MAX_SECONDS. The first that does not is printed.
The same seed makes the same inputs; a property test runs some of each.
"""

from __future__ import annotations

import base64
import random
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import kubo_repo
from cidery.autotls import acme
from cidery.autotls import steps as autotls_steps
from cidery.autotls.certificate import kept
from cidery.autotls.jws import BadPem, key_to_pem, new_key
from cidery.autotls.peer_auth import BadAuth, ClientAuth, format_params
from cidery.errors import IntegrityError, InvalidInput
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipld.car_reader import CarReader
from cidery.ipld.codecs import codec_of
from cidery.ipld.data_model import links_of
from cidery.ipld.links import named_links
from cidery.ipns.record import IpnsRecord
from cidery.kad.message import DhtMessage, KadError, MessageType, PeerInfo, Record
from cidery.kad.routing_table import RoutingTable, restore
from cidery.kad.sweep import Schedule
from cidery.kubo import leveldb_format
from cidery.kubo.flatfs import key_multihash
from cidery.kubo.repository import decode_name_key, decode_pin, decode_reference
from cidery.kubo.snappy import decompress
from cidery.libp2p.io.nat_pmp import default_gateway
from cidery.libp2p.protocols import autonat, fetch, nat_pmp
from cidery.libp2p.protocols.dcutr import DcutrError, HolePunch, PunchType
from cidery.libp2p.protocols.relay_messages import (
    Granted,
    HopMessage,
    HopType,
    Peer,
    RelayError,
    RelayLimit,
    StopMessage,
    StopType,
)
from cidery.multiformats.cid import CID
from cidery.multiformats.multibase import decode_multibase
from cidery.multiformats.multicodec import CODECS, DAG_PB
from cidery.pinning.records import BadAnswer, decode_failure, decode_results, decode_status
from cidery.pubsub.message import BadRpc, Message, Offered, Prune, Rpc
from cidery.repo.autotls_files import AccountDamaged, decode_account
from cidery.repo.keystore import key_name
from cidery.unixfs.node import decode_node
from peers import scripted_authority

PIN_STATUS = (
    b'{"requestid":"a1","status":"queued","created":"2020-07-27T17:32:28.5Z","delegates":["/ip4/192.0.2.1/tcp/4001"],'
    b'"pin":{"cid":"bafkqaaa","name":"n","origins":[],"meta":{}},"info":{"status_details":"7 of 9"}}'
)
"""An answer of a pinning service."""
VECTORS = Path(__file__).parent.parent / "vectors"
MAX_SECONDS = 5.0
"""Longest that one input may take: they are small, and decoders are linear."""
MAX_SEED_BYTES = 4096
"""Larger vectors are cut to this, in bytes."""
MAX_CHANGES = 4
"""Most changes of one input."""
BYTES_OF_INTEREST = b'\x00\x01\x7f\x80\x81\x9f\xa1\xbf\xd8\x2a\xf6\xfb\xff\x0a\x12\x18\x22\x28{}[]"\\/:0'

ROUTES = b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t0\t0101A8C0\t0003\t0\t0\t9\t0\n"


class Target(NamedTuple):
    """One decoder."""

    name: str
    decode: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    """Its own; anything else is a finding."""
    seeds: list[bytes]


def read_archive(data: bytes) -> int:
    reader = CarReader()
    count = len(reader.receive_data(data[: len(data) // 2])) + len(reader.receive_data(data[len(data) // 2 :]))
    reader.receive_eof()
    return count


def read_and_write(code: int) -> Callable[[bytes], object]:
    """Decodes, finds the links, and encodes again: what was accepted has a form."""

    def step(data: bytes) -> object:
        value = codec_of(code).decode(data)
        links_of(value)
        return codec_of(code).encode(value)

    return step


def read_table(data: bytes) -> int:
    """A whole table of LevelDB as its reader goes through it, checksums aside: they would end every input at once."""
    at = leveldb_format.table_index(data[-leveldb_format.FOOTER_BYTES :])
    count = 0
    for _, handle in leveldb_format.index_items(data[at.offset : at.offset + at.size]):
        count += len(list(leveldb_format.block_entries(data[handle.offset : handle.offset + handle.size])))
    return count


def read_edits(data: bytes) -> object:
    version = leveldb_format.Version()
    leveldb_format.apply_edit(version, data)
    return version


def of_kubo() -> list[Target]:
    """Decoders of what is in a repository of Kubo."""
    table = kubo_repo.table_file([(b"/a", 1, b"one"), (b"/b", 2, None), (b"/c", 3, b"three" * 9)])
    batch = kubo_repo.batch(7, [(b"/a", b"one"), (b"/b", None)])
    edits = kubo_repo.edit(log=3, added=[(1, 5, 99, b"a" * 9, b"b" * 9)], deleted=[(0, 4)])
    cid = CID.of(b"x", DAG_PB)
    key, pin = kubo_repo.pin_record(1, cid, name="site")
    place, reference = kubo_repo.reference_record(cid.multihash, "a/b", 3, 4)
    snappy = [b"\x0c\x0cabcd\x01\x04\x0e\x08\x00", b"\x0e\x0cabcd\x19\x01"]
    own = (IntegrityError,)
    return [
        Target("leveldb table", read_table, own, [table]),
        Target("leveldb log", lambda data: list(leveldb_format.log_records(data)), own, [kubo_repo.log_file([batch])]),
        Target("leveldb batch", leveldb_format.batch_entries, own, [batch]),
        Target("leveldb edit", read_edits, own, [edits]),
        Target("leveldb block", leveldb_format.open_block, own, [kubo_repo.sealed(b"abc"), kubo_repo.sealed(b"", 1)]),
        Target("snappy", lambda data: decompress(data, 1 << 20), own, snappy),
        Target("kubo pin", lambda data: decode_pin(key, data), own, [pin]),
        Target("kubo reference", lambda data: decode_reference(place, data), own, [reference]),
        Target("kubo name", decode_name_key, own, [b"/ipns/CIQAAAAA", b"/ipns/AASAQAISEA"]),
        Target("kubo key", lambda data: key_multihash(data.decode("latin-1")), own, [place.rpartition(b"/")[2]]),
        Target("key file name", lambda data: key_name(data.decode("latin-1")), own, [b"key_nv4wwzlz"]),
    ]


def targets() -> list[Target]:
    """All of them, with the vectors they begin with."""
    blocks = {path: path.read_bytes()[:MAX_SEED_BYTES] for path in sorted(VECTORS.glob("codec-fixtures/fixtures/*/*"))}
    archives = [path.read_bytes()[:MAX_SEED_BYTES] for path in sorted(VECTORS.rglob("*.car"))]
    names = [path.stem.encode() for path in blocks]
    nodes = [data for path, data in blocks.items() if path.suffix == ".dag-pb"]
    for archive in archives:
        nodes += [bytes(block.data) for block, _ in CarReader().receive_data(archive) if block.cid.codec == DAG_PB]
    made = [
        Target(name, read_and_write(code), (IntegrityError, InvalidInput), list(blocks.values()))
        for name, code in CODECS.items()
    ]
    node = CID.of(b"", DAG_PB)
    made.append(Target("unixfs node and shard", lambda data: decode_node(node, data), (IntegrityError,), nodes))
    made.append(Target("links", lambda data: named_links(node, data), (IntegrityError,), nodes))
    made.append(Target("car", read_archive, (InvalidInput,), archives))
    made.append(Target("cid", CID.decode, (InvalidInput,), [CID.parse(name.decode()).encode() for name in names]))
    made.append(Target("cid text", lambda data: CID.parse(data.decode("latin-1")), (InvalidInput,), names))
    made.append(Target("multibase", lambda data: decode_multibase(data.decode("latin-1")), (InvalidInput,), names))
    records = [path.read_bytes() for path in sorted(VECTORS.rglob("*.ipns-record"))]
    made.append(Target("ipns record", IpnsRecord.decode, (InvalidInput,), records))
    return made + of_kubo() + of_peers()


def of_peers() -> list[Target]:
    """Messages and saved tables of the DHT, AutoNAT, and what a gateway says."""
    peer = PeerId.parse("12D3KooWGRMVjhzu6GMtfW1RXCuW4jGSmNhEKGorfMiWE2uSHjHY")
    info = PeerInfo(peer, (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",))
    message = DhtMessage(MessageType.GET_VALUE, b"/pk/x", Record(b"/pk/x", b"value", "2026"), [info], [info])
    pubsub = Rpc(
        [(True, "topic")],
        [Message(peer.multihash, b"data", b"12345678", "topic", b"signature", b"key")],
        [("topic", [b"id"])],
        [b"id"],
        ["topic"],
        [Prune("topic", (Offered(peer.multihash, b"record"),), 60)],
        [b"id"],
    )
    table = RoutingTable(peer, diverse=False)
    table.answered(PeerInfo(PeerId(peer.multihash[:-1] + b"x"), info.addrs), 0.0)
    schedule = Schedule.begin(60.0, 1.0)
    autonat_messages = [
        autonat.DialRequest((b"addr",), 7).encode(),
        autonat.DialResponse(200, 0, 200).encode(),
        autonat.DataRequest(0, 40_000).encode(),
    ]
    v1 = [autonat.V1Request(peer.multihash, (b"addr",)).encode(), autonat.V1Response(0, b"addr").encode()]
    own = (autonat.AutonatError,)
    gateway = [
        nat_pmp.AddressAnswer(9, IPv4Address("203.0.113.7")).encode(),
        nat_pmp.MappingAnswer(9, nat_pmp.TCP_OPCODE, 4001, 4001, 7200).encode(),
        nat_pmp.MappingAnswer(9, nat_pmp.UDP_OPCODE, 4001, 4001, 7200).encode(),
        nat_pmp.Refusal(9, nat_pmp.TCP_OPCODE, 2).encode(),
    ]
    hop = HopMessage(HopType.STATUS, Peer(peer, info.addrs), Granted(9, info.addrs, b"v"), RelayLimit(120, 9), 100)
    return [
        Target("dht message", DhtMessage.decode, (KadError,), [message.encode()]),
        Target("pubsub", Rpc.decode, (BadRpc,), [pubsub.encode()]),
        Target("fetch request", fetch.decode_request, (fetch.BadFetch,), [fetch.encode_request(b"/ipns/x")]),
        Target(
            "fetch response", fetch.Response.decode, (fetch.BadFetch,), [fetch.Response(fetch.Status.OK, b"x").encode()]
        ),
        Target("saved routing table", restore, (), [table.save()]),
        Target("saved schedule", lambda data: Schedule.restore(data, 60.0, 5.0), (), [schedule.save()]),
        Target("autonat message", autonat.decode, own, autonat_messages),
        Target("autonat v1 request", autonat.V1Request.decode, own, v1),
        Target("autonat v1 response", autonat.V1Response.decode, own, v1),
        Target("relay hop", HopMessage.decode, (RelayError,), [hop.encode(), b"\x08\x00"]),
        Target("relay stop", StopMessage.decode, (RelayError,), [StopMessage(StopType.CONNECT, Peer(peer)).encode()]),
        Target("hole punch", HolePunch.decode, (DcutrError,), [HolePunch(PunchType.CONNECT, info.addrs).encode()]),
        Target("pin at a service", decode_status, (BadAnswer,), [PIN_STATUS]),
        Target("pins at a service", decode_results, (BadAnswer,), [b'{"count":1,"results":[%b]}' % PIN_STATUS]),
        Target("refusal of a service", decode_failure, (), [b'{"error":{"reason":"R","details":"d"}}']),
        Target("nat-pmp answer", nat_pmp.decode, (nat_pmp.NatPmpError,), gateway),
        Target("routes of the system", lambda data: default_gateway(data.decode("latin-1")), (), [ROUTES]),
        *of_autotls(),
    ]


def of_autotls() -> list[Target]:
    """What an authority and a broker say, and what is kept of it."""
    url, issuer, key = (
        scripted_authority.URL,
        scripted_authority.Issuer(),
        new_key(lambda size: bytes(size - 1) + b"\x05"),
    )
    chain = key_to_pem(key) + scripted_authority.pem(issuer.leaf(key, ["*.x"]), issuer.intermediate)
    order = b'{"status":"valid","authorizations":["%b/a"],"finalize":"%b/f","certificate":"%b/c"}'
    challenge = b'{"status":"pending","challenges":[{"type":"dns-01","url":"%b/c","token":"t","status":"pending"}]}'
    directory = b'{"newNonce":"%b/n","newAccount":"%b/a","newOrder":"%b/o"}'
    at, own = url.encode(), (autotls_steps.BadAnswer,)
    server = PrivateKey.generate_ed25519(lambda size: bytes(size))
    header = format_params(
        {
            "challenge-client": "E" * 43 + "=",
            "public-key": base64.urlsafe_b64encode(server.public.encode()).decode(),
            "sig": base64.urlsafe_b64encode(bytes(64)).decode(),
            "opaque": "eA==",
        }
    ).encode()

    def challenged(data: bytes) -> None:
        ClientAuth(server, "example.com", bytes(32)).challenged(data.decode("latin-1"))

    return [
        Target("acme directory", lambda data: acme.decode_directory(data, url), own, [directory.replace(b"%b", at)]),
        Target("acme order", lambda data: acme.decode_order(data, url), own, [order.replace(b"%b", at)]),
        Target("acme challenge", lambda data: acme.decode_challenge(data, url), own, [challenge.replace(b"%b", at)]),
        Target("peer id authentication", challenged, (BadAuth,), [header]),
        Target("certificate with its key", lambda data: kept(data, "*.x"), (BadPem,), [chain]),
        Target("account", lambda data: decode_account(data, Path("account")), (AccountDamaged,), [ACCOUNT]),
    ]


ACCOUNT = b'{"key": "-----BEGIN", "kid": "https://ca.example/1", "failures": 2, "next_try": 12.5}'


def broken(seeds: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Endless inputs: vectors with bytes changed, cut, doubled, and parts of others put in."""
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, MAX_CHANGES)):
            at = chance.randint(0, len(data))
            match chance.randrange(6):
                case 0 if data:
                    data[at % len(data)] = chance.choice(BYTES_OF_INTEREST)
                case 1 if data:
                    data[at % len(data)] ^= 1 << chance.randrange(8)
                case 2:
                    del data[at : at + chance.randint(1, 8)]
                case 3:
                    data[at:at] = chance.choice(BYTES_OF_INTEREST).to_bytes() * chance.choice((1, 2, 8, 700))
                case 4:
                    other = chance.choice(seeds)
                    start = chance.randint(0, len(other))
                    data[at:at] = other[start : start + chance.randint(1, 64)]
                case _:
                    data[at:] = data[at:] + data[: chance.randint(0, len(data))]
        yield bytes(data)


class Finding(Exception):
    """An input that a decoder does not take as it should."""


def check(target: Target, data: bytes) -> None:
    """Raises Finding."""
    begun = time.perf_counter()
    try:
        target.decode(data)
    except target.errors as exc:
        if "\n" in str(exc):
            raise Finding(f"{target.name}: a message of several lines: {exc!r}\n{data.hex()}") from exc
    except Exception as exc:
        raise Finding(f"{target.name}: {exc!r}\n{data.hex()}") from exc
    if time.perf_counter() - begun > MAX_SECONDS:
        raise Finding(f"{target.name}: more than {MAX_SECONDS} s\n{data.hex()}")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    everything = [(target, broken(target.seeds, random.Random(seed))) for target in targets()]
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for target, inputs in everything:
            check(target, next(inputs))
            done += 1
    names = ", ".join(target.name for target, _ in everything)
    print(f"{done} inputs to {len(everything)} decoders ({names}): nothing found")


if __name__ == "__main__":
    main()
