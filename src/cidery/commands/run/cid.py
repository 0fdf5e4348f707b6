"""cid format, base32, inspect, bases, codecs, hashes; multibase encode, decode, transcode, list. None needs a node."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.cid import CidFormatted, CidParts, CodeAndName
from cidery.errors import InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.ipld_codecs import IPLD_CODECS
from cidery.multiformats.multibase import BASES, MAX_TEXT, MultibaseError, decode_multibase, encode_multibase
from cidery.multiformats.multicodec import CODECS, DAG_PB
from cidery.multiformats.multihash import (
    DBL_SHA2_256,
    MIN_SECURE_DIGEST,
    MURMUR3_X64_64,
    SHA2_256,
    MultihashError,
    hash_function,
    hash_names,
)

_NAMES = {code: name for name, code in IPLD_CODECS.items()}
_BASE_OF_PREFIX = {prefix: name for name, (prefix, _, _) in BASES.items()}
_NOT_FOR_CIDS = (MURMUR3_X64_64, DBL_SHA2_256)
_BLAKE2_STEP = 8


class Conversion(NamedTuple):
    """The conversion of ``cid format``."""

    form: str
    version: str
    """"", "0" or "1"."""
    codec: int | None
    base: str
    """"" to keep the CID's own."""


async def format_cids(context: Context, call: Call) -> AsyncIterator[CidFormatted]:
    """One value per CID; an invalid CID has an ErrorMsg."""
    codec = call.text("codec")
    if codec and codec not in IPLD_CODECS:
        raise BadCall(f"option 'codec': unknown codec {codec[:40]!r}; see: cidery cid codecs")
    version, base = call.text("cid-version"), _known_base(call.text("base"))
    if version == "0" and codec and codec != "dag-pb":
        raise BadCall("cannot convert to CIDv0 with any codec other than dag-pb")
    if version == "0" and base not in ("", "base58btc"):
        raise BadCall("cannot convert to CIDv0 with any multibase other than the implicit base58btc")
    form = call.text("format")
    if "%" not in form:
        raise BadCall(f"invalid format string {form[:40]!r}: it names nothing of the CID, see --help")
    wanted = Conversion(form, version or ("1" if base else ""), IPLD_CODECS[codec] if codec else None, base)
    for given in call.many("cid"):
        yield _converted(given, wanted)


async def base32(context: Context, call: Call) -> AsyncIterator[CidFormatted]:
    for given in call.many("cid"):
        yield _converted(given, Conversion("%s", "1", None, "base32"))


def _known_base(base: str) -> str:
    if base and base not in BASES:
        raise BadCall(f"unknown multibase {base[:40]!r}; see: cidery cid bases")
    return base


def _converted(given: str, wanted: Conversion) -> CidFormatted:
    try:
        cid = CID.parse(given)
        if wanted.codec is not None and wanted.codec != cid.codec:
            cid = CID(1, wanted.codec, cid.multihash)
        if wanted.version == "0":
            cid = _to_v0(cid)
        elif wanted.version == "1":
            cid = cid.to_v1()
        base = "base58btc" if cid.version == 0 else wanted.base or _base_of(given)
        return CidFormatted(CidStr=given, Formatted=format_cid(cid, base, wanted.form), ErrorMsg="")
    except CIDError as exc:
        return CidFormatted(CidStr=given, Formatted="", ErrorMsg=f"invalid cid: {exc.reason}")
    except MultibaseError as exc:
        return CidFormatted(CidStr=given, Formatted="", ErrorMsg=exc.reason)


def _to_v0(cid: CID) -> CID:
    if cid.codec != DAG_PB:
        raise CIDError("can't convert non-dag-pb nodes to cidv0")
    multihash = cid.decoded_multihash()
    if (multihash.code, len(multihash.digest)) != (SHA2_256, 32):
        raise CIDError("only a sha2-256 multihash of 32 bytes can be a cidv0")
    return CID(0, DAG_PB, cid.multihash)


def _base_of(text: str) -> str:
    """The multibase of a CID's text."""
    is_v0 = len(text) == 46 and text.startswith("Qm")
    return "base58btc" if is_v0 else _BASE_OF_PREFIX.get(text[:1], "base32")


def _hash_name(code: int) -> str:
    try:
        return hash_function(code)[0]
    except MultihashError:
        return f"0x{code:x}"


def format_cid(cid: CID, base: str, form: str) -> str:
    """Fill a format of ``cid format``. Raises BadCall for an unknown letter."""
    multihash = cid.decoded_multihash()
    codec, hashed = _NAMES.get(cid.codec, f"0x{cid.codec:x}"), _hash_name(multihash.code)
    length = str(len(multihash.digest))
    whole = cid.format(base)
    shown = {
        "%": "%", "b": base, "B": BASES[base][0], "v": f"cidv{cid.version}", "V": str(cid.version), "c": codec,
        "C": str(cid.codec), "h": hashed, "H": str(multihash.code), "L": length,
        "m": encode_multibase(base, cid.multihash), "M": BASES[base][1](cid.multihash),
        "d": encode_multibase(base, multihash.digest), "D": BASES[base][1](multihash.digest),
        "s": whole, "S": whole if cid.version == 0 else whole[1:],
        "P": f"cidv{cid.version}-{codec}-{hashed}-{length}",
    }  # fmt: skip
    out, at = "", 0
    while at < len(form):
        if form[at] != "%":
            out, at = out + form[at], at + 1
            continue
        letter = form[at + 1 : at + 2]
        if letter not in shown:
            raise BadCall(f"invalid format string: %{letter} is not known, see --help")
        out, at = out + shown[letter], at + 2
    return out


async def inspect(context: Context, call: Call) -> AsyncIterator[CidParts]:
    for given in call.many("cid"):
        cid = CID.parse(given)
        multihash = cid.decoded_multihash()
        base = _base_of(given)
        try:
            v0 = str(_to_v0(cid))
        except CIDError:
            v0 = ""  # shown in the text form
        yield CidParts(
            Cid=given,
            Version=cid.version,
            Multibase=f"{base} (implicit)" if cid.version == 0 else base,
            Prefix="" if cid.version == 0 else BASES[base][0],
            Codec=_NAMES.get(cid.codec, "unknown"),
            CodecCode=cid.codec,
            Hash=_hash_name(multihash.code),
            HashCode=multihash.code,
            DigestLength=len(multihash.digest),
            Digest=multihash.digest.hex(),
            CidV0=v0,
            CidV1=str(cid.to_v1()),
        )


def _listed(names: dict[str, int]) -> list[CodeAndName]:
    return [CodeAndName(Code=code, Name=name) for name, code in sorted(names.items(), key=lambda item: item[1])]


async def bases(context: Context, call: Call) -> list[CodeAndName]:
    """Sorted as Kubo does: by letter, lower case first."""
    listed = [CodeAndName(Code=ord(prefix), Name=name) for name, (prefix, _, _) in BASES.items()]
    return sorted(listed, key=lambda one: (ord(chr(one["Code"]).lower()), -one["Code"]))


async def codecs(context: Context, call: Call) -> list[CodeAndName]:
    return _listed(CODECS if call.flag("supported") else IPLD_CODECS)


async def hashes(context: Context, call: Call) -> list[CodeAndName]:
    """Those that content may be addressed by: digests of 20 bytes and more, and identity."""
    allowed = {}
    for name, code in hash_names().items():
        size = hash_function(code)[1]
        if code not in _NOT_FOR_CIDS and (size < 0 or size >= MIN_SECURE_DIGEST):
            allowed[name] = code
    return _listed(allowed)


async def _input(context: Context) -> bytes:
    """The bytes of the only file. Raises InvalidInput for more than MAX_TEXT."""
    assert context.uploads is not None  # the definition's file argument
    from cidery.core.adding.items import sent_bytes

    return await sent_bytes(context.uploads, MAX_TEXT, _too_long)


def _too_long(_: int) -> InvalidInput:
    return InvalidInput(f"the input is longer than {MAX_TEXT} bytes; multibase is for short texts")


async def _decoded(context: Context) -> bytes:
    text = (await _input(context)).decode("utf-8", "surrogateescape")
    return decode_multibase(text.rstrip("\r\n"))[1]


def _body(data: bytes) -> Body:
    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        yield data

    return Body(chunks(), len(data))


async def multibase_encode(context: Context, call: Call) -> Body:
    return _body(encode_multibase(_known_base(call.text("base")), await _input(context)).encode())


async def multibase_decode(context: Context, call: Call) -> Body:
    return _body(await _decoded(context))


async def multibase_transcode(context: Context, call: Call) -> Body:
    return _body(encode_multibase(_known_base(call.text("base")), await _decoded(context)).encode())
