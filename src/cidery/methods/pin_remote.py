"""node.pin.remote: services that are asked to keep content."""

from __future__ import annotations

from contextlib import aclosing
from functools import cached_property

from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, path_text
from cidery.methods.results import RemotePin, RemoteService
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cidery.methods.caller import Value


class Remote(Group):
    """Pins at services. All raise UnknownService, ServiceUnreachable, ServiceRefused (KeyRefused for a wrong key),
    BadAnswer for a service that breaks the specification, and RedirectRefused.

    Spec: https://ipfs.github.io/pinning-services-api-spec/
    """

    async def add(
        self,
        path: str | CID,
        *,
        service: str,
        name: str = "",
        background: bool = False,
        progress: Callable[[RemotePin], None] | None = None,
    ) -> RemotePin:
        """Ask a service to pin content, and wait until it has.

        Args:
            background: return when the service has the request; see ls() for what becomes of it.
            progress: called with the state each time that the service is asked.
        Raises: PathError, BadPinName, RemotePinFailed, CannotFollow, and WaitEnded after a time limit.
        Cancellation: safe; the service continues.
        """
        last: Value | None = None
        values = self._caller.values(
            "pin remote add",
            path_text(path),
            service=service,
            name=name or None,
            background=background,
            progress=progress is not None,
        )
        async with aclosing(values):
            async for last in values:
                if "Progress" in last and progress is not None:
                    progress(_pin(last))
        assert last is not None  # the command tells the state, or raises
        return _pin(last)

    async def ls(
        self, service: str, *, name: str = "", cids: Sequence[CID] = (), status: Sequence[str] = ("pinned",)
    ) -> AsyncGenerator[RemotePin, None]:
        """What a service pins, the newest first, as its pages come.

        Args:
            name: only pins with exactly this name.
            cids: only pins of these.
            status: only pins in these states ("queued", "pinning", "pinned", "failed").
        Raises: EndlessPages for a service whose list does not end.
        """
        values = self._caller.values(
            "pin remote ls", service=service, name=name or None, cid=_texts(cids), status=list(status)
        )
        async with aclosing(values):
            async for value in values:
                yield _pin(value)

    async def rm(
        self,
        service: str,
        *,
        name: str = "",
        cids: Sequence[CID] = (),
        status: Sequence[str] = ("pinned",),
        force: bool = False,
    ) -> None:
        """Remove the pin that ls() gives for the same arguments; ``force``: all of them, if there are several.

        Raises: InvalidInput if there are several, NotRemoved.
        """
        await self._done(
            "pin remote rm",
            service=service,
            name=name or None,
            cid=_texts(cids),
            status=list(status),
            force=force,
        )

    @cached_property
    def service(self) -> RemoteServices:
        """The services that may be asked."""
        return RemoteServices(self._caller)


class RemoteServices(Group):
    """The services of the config; their keys are never shown."""

    async def add(self, name: str, endpoint: str, key: str) -> None:
        """Add a service. ``endpoint``: its URL, without /pins. Raises BadService."""
        await self._done("pin remote service add", name, endpoint, key)

    async def ls(self, *, stat: bool = False) -> list[RemoteService]:
        """The services by name. ``stat``: ask each how many pins it has."""
        value = await self._value("pin remote service ls", stat=stat)
        return [_service(one) for one in value["RemoteServices"]]

    async def rm(self, name: str) -> None:
        """Remove a service, and its key; what it pins stays there. Of one that is not there: nothing happens."""
        await self._done("pin remote service rm", name)


def _texts(cids: Sequence[CID]) -> list[str] | None:
    return [str(cid) for cid in cids] or None


def _pin(value: Value) -> RemotePin:
    return RemotePin(CID.parse(value["Cid"]), value["Name"], value["Status"], value.get("Details", ""))


def _service(value: Value) -> RemoteService:
    stat = value.get("Stat")
    counts = None if stat is None else stat.get("PinCount")
    return RemoteService(
        value["Service"],
        value["ApiEndpoint"],
        None if stat is None else stat["Status"] == "valid",
        None if counts is None else {state.lower(): count for state, count in counts.items()},
    )


class BlockingRemote(BlockingGroup[Remote]):
    """The methods of Remote, blocking."""

    add = blocking(Remote.add)
    ls = iterating(Remote.ls)
    rm = blocking(Remote.rm)

    @cached_property
    def service(self) -> BlockingRemoteServices:
        """The services that may be asked."""
        return BlockingRemoteServices(self._inner.service, self._loop, self._seconds)


class BlockingRemoteServices(BlockingGroup[RemoteServices]):
    """The methods of RemoteServices, blocking."""

    add = blocking(RemoteServices.add)
    ls = blocking(RemoteServices.ls)
    rm = blocking(RemoteServices.rm)
