"""The keystore: Kubo's file names, one key a file, never replaced."""

import os

import pytest

from cidery.errors import Unavailable
from cidery.identity.keys import KeyType, PrivateKey
from cidery.repo.keystore import (
    BadKeyName,
    KeyDamaged,
    KeyExists,
    KeyMissing,
    Keystore,
    KeystoreUnavailable,
    file_name,
    key_name,
)


def key(byte: int) -> PrivateKey:
    return PrivateKey.generate_ed25519(lambda n: bytes([byte]) * n)


def test_file_names_are_those_of_kubo():
    assert file_name("mykey") == "key_nv4wwzlz"
    assert key_name("key_nv4wwzlz") == "mykey"
    assert key_name(file_name("ключ ✓")) == "ключ ✓"
    assert file_name("../a/b") == "key_fyxc6yjpmi" and key_name("key_fyxc6yjpmi") == "../a/b"


@pytest.mark.parametrize("file", ["key_", "key_NV4WWZLZ", "key_nv4wwzlz=", "key_1", "key_onswyzq", "key_74"])
def test_other_files_are_no_keys(file):
    assert key_name(file) is None


@pytest.mark.parametrize("name", ["", "self", "a\0b", "\ud800", "x" * 121])
def test_names_that_no_key_can_have_are_refused(name):
    with pytest.raises(BadKeyName):
        file_name(name)


def test_a_key_comes_back_and_only_its_owner_can_read_it(tmp_path):
    store = Keystore(tmp_path / "keystore")
    assert store.names() == []
    assert store.put("site", key(1)) is True
    assert store.put("site", key(1)) is False
    assert store.names() == ["site"]
    assert store.get("site").encode() == key(1).encode()
    assert os.listdir(store.directory) == [file_name("site")]
    assert (store.directory / file_name("site")).stat().st_mode & 0o777 == 0o600
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_a_key_is_never_replaced(tmp_path):
    store = Keystore(tmp_path)
    store.put("site", key(1))
    with pytest.raises(KeyExists):
        store.put("site", key(2))
    assert store.get("site").encode() == key(1).encode()
    assert os.listdir(tmp_path) == [file_name("site")]


def test_keys_of_every_kind_are_kept_as_they_are(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = rsa.generate_private_key(65537, 2048)
    der = made.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    store = Keystore(tmp_path)
    for name, one in {
        "rsa": PrivateKey(KeyType.RSA, der),
        "secp": PrivateKey(KeyType.SECP256K1, b"\x05" * 32),
        "ed": key(3),
    }.items():
        store.put(name, one)
        assert store.get(name).encode() == one.encode()
        assert store.get(name).peer_id == one.peer_id


def test_what_is_no_key_is_named(tmp_path):
    store = Keystore(tmp_path)
    with pytest.raises(KeyMissing):
        store.get("site")
    (tmp_path / file_name("site")).write_bytes(b"\xff" * 20_000)
    with pytest.raises(KeyDamaged, match="longer than"):
        store.get("site")
    (tmp_path / file_name("dir")).mkdir()
    with pytest.raises((KeyDamaged, OSError)):
        store.get("dir")
    (tmp_path / "stray").touch()
    assert store.strangers() == ["stray"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "keystore").write_text("a file")
    with pytest.raises(KeystoreUnavailable) as caught:
        Keystore(tmp_path / "keystore").put("site", key(1))
    assert isinstance(caught.value, Unavailable)
