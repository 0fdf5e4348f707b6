"""node.name: names that can change what they point to (IPNS)."""

from __future__ import annotations

from cidery.methods.blocking import BlockingGroup, blocking
from cidery.methods.caller import Group, path_text, seconds_of
from cidery.methods.results import FollowedName, NameRecord, Published
from cidery.methods.sources import pieces_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.methods.caller import Value
    from cidery.methods.sources import Source
    from cidery.multiformats.cid import CID


class Name(Group):
    """IPNS names: node.key makes the keys that own them."""

    async def publish(
        self,
        path: str | CID,
        *,
        key: str = "self",
        lifetime: float | None = None,
        ttl: float | None = None,
        resolve: bool = True,
        allow_offline: bool = False,
        sequence: int | None = None,
    ) -> Published:
        """Let the name of a key point to a path.

        Args:
            lifetime: seconds until the record ends; None: Ipns.RecordLifetime. The node renews it in time.
            ttl: seconds that readers may rely on it without asking again.
            resolve: check first that the path leads to something.
            allow_offline: without a network it is stored here and published later; else PublishOffline.
            sequence: of the record; None: the next one.
        Cancellation: safe; the record may be stored, and is then published later.
        """
        text = path if isinstance(path, str) else f"/ipfs/{path_text(path)}"
        return _published(
            await self._value(
                "name publish",
                text,
                key=key,
                lifetime=lifetime,
                ttl=ttl,
                resolve=resolve,
                allow_offline=allow_offline,
                sequence=sequence,
            )
        )

    async def resolve(
        self, name: str = "", *, recursive: bool = True, fresh: bool = False, seconds: float | None = None
    ) -> str:
        """The path that a name or a domain points to; "": this node's own name.

        Args:
            recursive: follow names that point to other names.
            fresh: ask the network even if an answer is cached.
            seconds: longest search.
        Raises: NameNotFound, NoDnsLink, BadDomain.
        """
        value = await self._value(
            "name resolve", *([name] if name else []), recursive=recursive, nocache=fresh, dht_timeout=seconds
        )
        return str(value["Path"])

    async def inspect(self, record: Source, *, name: str = "") -> NameRecord:
        """The fields of a record, as get() gives it. ``name``: check too that it belongs to this name.

        Raises: IpnsRecordError.
        """
        value = await self._value("name inspect", body=pieces_of(record), verify=name or None, dump=False)
        entry, checked = value["Entry"], value.get("Validation")
        return NameRecord(
            value=entry["Value"],
            validity=seconds_of(entry["Validity"]),
            sequence=entry["Sequence"],
            ttl=entry["TTL"] / 1e9,
            size=value["PbSize"],
            signatures=value["SignatureType"],
            valid=None if checked is None else checked["Valid"],
            reason="" if checked is None else checked["Reason"],
        )

    async def get(self, name: str) -> bytes:
        """The newest record of a name, signed by its owner. Raises NameNotFound."""
        return await self._bytes("name get", name)

    async def put(self, name: str, record: Source, *, force: bool = False, allow_offline: bool = False) -> Published:
        """Publish a record that its owner has signed. ``force``: even if a newer one is known.

        Raises: IpnsRecordError, PublishOffline.
        """
        return _published(
            await self._value("name put", name, body=pieces_of(record), force=force, allow_offline=allow_offline)
        )

    async def follow(self, name: str) -> Published:
        """Keep somebody else's name alive by republishing its newest record."""
        return _published(await self._value("name follow", name))

    async def unfollow(self, name: str) -> None:
        """Stop keeping a name alive. Raises NotFollowed."""
        await self._done("name unfollow", name)

    async def ls(self) -> list[FollowedName]:
        """The names that are kept alive for others."""
        value = await self._value("name ls")
        return [FollowedName(one["Name"], one["Value"], seconds_of(one["Validity"])) for one in value["Names"]]


def _published(value: Value) -> Published:
    return Published(value["Name"], value["Value"], tuple(value.get("Warnings", ())))


class BlockingName(BlockingGroup[Name]):
    """The methods of Name, blocking."""

    publish = blocking(Name.publish)
    resolve = blocking(Name.resolve)
    inspect = blocking(Name.inspect)
    get = blocking(Name.get)
    put = blocking(Name.put)
    follow = blocking(Name.follow)
    unfollow = blocking(Name.unfollow)
    ls = blocking(Name.ls)
