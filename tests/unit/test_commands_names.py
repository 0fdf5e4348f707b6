"""The key and name groups as commands, on a node in this process without a network."""

import base64
import os

import pytest

import cidery
from cidery.commands.run.name import NotFollowed, PublishOffline
from cidery.commands.run.routing import NotStored, OnlyNames
from cidery.core.keys import BadKeyOption, NoSuchKey
from cidery.core.reading.content_path import PathError, last_name, name_path
from cidery.identity.keys import BadKey, PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipns.record import IpnsRecordError
from cidery.namesys.resolver import NameNotFound
from cidery.repo.keystore import KeyExists, KeyMissing
from shell import Shell


@pytest.fixture
async def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPNS_NS_MAP", "example.org:/ipfs/bafkqabtimvwgy3yk")
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield Shell(node.api)


async def test_keys_are_made_listed_renamed_and_removed(shell):
    made = {kind: (await shell.run(f"key gen {kind} -t {kind}")).strip() for kind in ("ed25519", "rsa", "secp256k1")}
    listed = dict(reversed(line.split()) for line in (await shell.run("key ls -l")).splitlines())
    assert {name: listed[name] for name in made} == made
    assert listed["self"] == (await shell.run("key ls -l")).split()[0]
    assert (await shell.run("key ls")).split() == ["self", "ed25519", "rsa", "secp256k1"]
    assert "renamed to other" in await shell.run("key rename rsa other")
    with pytest.raises(KeyExists):
        await shell.run("key rename other ed25519")
    assert "which was another key" in await shell.run("key rename --force other ed25519")
    assert (await shell.run("key rm -l ed25519")).split() == [made["rsa"], "ed25519"]
    with pytest.raises(KeyMissing):
        await shell.run("key rm ed25519")
    assert (await shell.run("key ls")).split() == ["self", "secp256k1"]


async def test_files_of_keys_are_for_their_owner_only(shell):
    await shell.run("key gen mine")
    directory = shell.api.path / "keystore"
    assert [os.stat(directory / name).st_mode & 0o777 for name in os.listdir(directory)] == [0o600]


async def test_ids_are_in_the_base_that_was_asked_for(shell):
    await shell.run("key gen mine")
    assert (await shell.run("key ls -l --ipns-base=b58mh")).split()[0].startswith("12D3Koo")
    assert (await shell.run("key ls -l --ipns-base=base32")).split()[0].startswith("bafzaaj")
    with pytest.raises(cidery.errors.InvalidInput, match="ipns-base"):
        await shell.run("key ls --ipns-base=base99")


@pytest.mark.parametrize("line", ["key gen x -t rsa -s 512", "key gen x -t rsa -s 99999"])
async def test_sizes_that_make_no_sense_are_refused(shell, line):
    with pytest.raises(BadKeyOption):
        await shell.run(line)


async def test_a_name_is_taken_once(shell):
    await shell.run("key gen x")
    with pytest.raises(KeyExists):
        await shell.run("key gen x")
    with pytest.raises(KeyExists):
        await shell.run("key import x", PrivateKey.generate_ed25519(os.urandom).encode())


async def test_keys_come_in_both_formats(shell):
    for number, key in enumerate((PrivateKey.generate_ed25519(os.urandom), PrivateKey.generate_secp256k1())):
        one = await shell.run(f"key import proto{number}", key.encode())
        two = await shell.run(f"key import pem{number} -f pem-pkcs8-cleartext", key.to_pem())
        assert one == two
    with pytest.raises(BadKey):
        await shell.run("key import bad", b"no key")
    with pytest.raises(BadKey):
        await shell.run("key import bad -f pem-pkcs8-cleartext", b"-----BEGIN PRIVATE KEY-----\nAAAA\n")


async def test_ecdsa_keys_need_a_word_more(shell):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BadKey, match="allow-any-key-type"):
        await shell.run("key import e -f pem-pkcs8-cleartext", pem)
    assert await shell.run("key import e --allow-any-key-type -f pem-pkcs8-cleartext", pem)


async def test_messages_are_signed_and_checked(shell):
    await shell.run("key gen mine")
    signature = (await shell.run("key sign -k mine", b"message")).strip()
    identity = (await shell.run("key ls -l")).split()[2]
    assert await shell.run(f"key verify -k mine -s {signature}", b"message") == "valid\n"
    assert await shell.run(f"key verify -k {identity} -s {signature}", b"message") == "valid\n"
    assert await shell.run(f"key verify -k self -s {signature}", b"message") == "not valid\n"
    assert await shell.run(f"key verify -k mine -s {signature}", b"massage") == "not valid\n"
    with pytest.raises(NoSuchKey):
        await shell.run("key sign -k nobody", b"message")


async def test_publishing_without_a_network_has_to_be_allowed(shell):
    with pytest.raises(PublishOffline, match="--allow-offline"):
        await shell.run("name publish /ipfs/bafkqaaa")


async def test_a_published_name_is_read_wherever_a_path_is(shell):
    cid = (await shell.run("add -Q", b"hello\n")).strip()
    said = await shell.run(f"name publish --allow-offline /ipfs/{cid}")
    name = said.split()[2].rstrip(":")
    assert said == f"Published to {name}: /ipfs/{cid}\n"
    assert await shell.run("name resolve") == f"/ipfs/{cid}\n"
    assert await shell.run(f"name resolve {name}") == f"/ipfs/{cid}\n"
    for path in (f"/ipns/{name}", f"ipns://{name}"):
        assert await shell.run(f"cat {path}") == "hello\n"
        assert await shell.run(f"resolve {path}") == f"/ipfs/{cid}\n"
    assert await shell.run(f"resolve -r=false /ipns/{name}") == f"/ipfs/{cid}\n"
    assert await shell.run(f"files cp /ipns/{name} /copy") == ""
    assert await shell.run("files read /copy") == "hello\n"
    assert (await shell.run(f"name publish --allow-offline -Q /ipfs/{cid}")).strip() == name


async def test_domains_are_read_too(shell):
    assert await shell.run("cat /ipns/example.org") == "hello\n"
    assert await shell.run("name resolve example.org") == "/ipfs/bafkqabtimvwgy3yk\n"


async def test_what_is_not_there_is_not_published(shell):
    absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    with pytest.raises(cidery.errors.NotFound):
        await shell.run(f"name publish --allow-offline /ipfs/{absent}/a")
    with pytest.raises(PathError):
        await shell.run("name publish --allow-offline nonsense")
    assert await shell.run(f"name publish --allow-offline --resolve=false /ipfs/{absent}/a")


async def test_a_record_can_be_taken_out_looked_at_and_put_back(shell):
    name = (await shell.run("name publish --allow-offline -Q /ipfs/bafkqaaa")).strip()
    raw = (await shell.run(f"name get {name}")).encode("latin-1")
    shown = await shell.run(f"name inspect --verify={name} --dump=false", raw)
    assert "Value:          /ipfs/bafkqaaa\n" in shown and "Valid:     true" in shown and "V1+V2" in shown
    other = (await shell.run("key gen other")).strip()
    assert "Valid:     false" in await shell.run(f"name inspect --verify={other}", raw)
    assert name in await shell.run(f"name put --allow-offline {name}", raw)
    with pytest.raises(IpnsRecordError):
        await shell.run(f"name put --allow-offline {other}", raw)
    with pytest.raises(IpnsRecordError):
        await shell.run("name inspect", b"junk")
    with pytest.raises(NameNotFound):
        await shell.run(f"name get {other}")


async def record_of_a_stranger(tmp_path):
    async with cidery.Node(tmp_path / "stranger", profile="test", offline=True) as other:
        there = Shell(other.api)
        name = (await there.run("name publish --allow-offline -Q /ipfs/bafkqaaa")).strip()
        return name, (await there.run(f"name get {name}")).encode("latin-1")


@pytest.mark.parametrize("command", ["name put --allow-offline {}", "routing put --allow-offline /ipns/{}"])
async def test_a_record_that_was_put_offline_is_there_after_a_restart(tmp_path, command):
    name, raw = await record_of_a_stranger(tmp_path)
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        await Shell(node.api).run(command.format(name), raw)
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        again = Shell(node.api)
        assert (await again.run(f"name get {name}")).encode("latin-1") == raw
        assert await again.run(f"name resolve {name}") == "/ipfs/bafkqaaa\n"
        assert base64.b64decode(await again.run(f"routing get /ipns/{name}")) == raw


async def test_nothing_is_put_offline_unless_the_user_says_that_this_is_fine(shell, tmp_path):
    name, raw = await record_of_a_stranger(tmp_path)
    with pytest.raises(PublishOffline):
        await shell.run(f"name put {name}", raw)
    with pytest.raises(NotStored):
        await shell.run(f"routing put /ipns/{name}", raw)
    with pytest.raises(OnlyNames):
        await shell.run(f"routing put --allow-offline /pk/{shell.api.config.peer_id}", b"key")
    assert shell.api.naming.names.get(PeerId.parse(name)) is None


async def test_a_node_without_peers_publishes_and_says_that_nobody_took_it(tmp_path):
    async with cidery.Node(tmp_path / "repo", profile="test") as node:
        lonely = Shell(node.api)
        said = await lonely.run("name publish /ipfs/bafkqaaa")
        assert said.startswith("Published to k51") and "warning: no peer took the record; it is stored here" in said
        name = (await lonely.run("name publish -Q /ipfs/bafkqaaa")).strip()
        assert await lonely.run(f"name resolve {name}") == "/ipfs/bafkqaaa\n"
        await lonely.run(
            f"routing put --allow-offline /ipns/{name}", (await lonely.run(f"name get {name}")).encode("latin-1")
        )


async def test_nothing_is_followed_that_has_no_record(shell):
    other = (await shell.run("key gen other")).strip()
    with pytest.raises(NameNotFound):
        await shell.run(f"name follow {other}")
    with pytest.raises(NotFollowed):
        await shell.run(f"name unfollow {other}")
    assert await shell.run("name ls") == ""


def test_paths_of_names_are_told_from_others():
    assert name_path("/ipns/k51/a") == "/ipns/k51/a"
    assert name_path("ipns://example.org/a%20b") == "/ipns/example.org/a b"
    assert name_path("/ipfs/bafkqaaa") is None
    assert [last_name(text) for text in ("/ipns/example.org", "/ipns/x/a/b.txt", "bafkqaaa")] == [
        "example.org",
        "b.txt",
        "bafkqaaa",
    ]
