"""Port mapping: which router is kept to, and one in this process that speaks UPnP over HTTP on loopback."""

import asyncio
import re
from collections.abc import Callable

import pytest
from aiohttp import web

from cidery.libp2p.io.port_mapping import (
    LOST_AGAIN,
    Carrier,
    Port,
    PortMapping,
    PortMappings,
    Router,
    every_form,
    mappable_port,
)
from cidery.libp2p.io.upnp import LEASE, TRIES, UpnpRouter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.testing.virtual_clock import run_virtual

DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>r</friendlyName>
<manufacturer>m</manufacturer><modelName>m</modelName><UDN>uuid:1</UDN>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><friendlyName>r</friendlyName>
<manufacturer>m</manufacturer><modelName>m</modelName><UDN>uuid:2</UDN>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>
<friendlyName>r</friendlyName><manufacturer>m</manufacturer><modelName>m</modelName><UDN>uuid:3</UDN>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><controlURL>/control</controlURL>
<eventSubURL>/event</eventSubURL><SCPDURL>/scpd.xml</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>"""

NAMES = {
    "NewRemoteHost": "string",
    "NewExternalPort": "ui2",
    "NewProtocol": "string",
    "NewInternalPort": "ui2",
    "NewInternalClient": "string",
    "NewEnabled": "boolean",
    "NewPortMappingDescription": "string",
    "NewLeaseDuration": "ui4",
    "NewExternalIPAddress": "string",
}


def _action(name: str, inside: list[str], outside: list[str]) -> str:
    arguments = "".join(
        f"<argument><name>{one}</name><direction>{way}</direction>"
        f"<relatedStateVariable>{one[3:]}</relatedStateVariable></argument>"
        for way, several in (("in", inside), ("out", outside))
        for one in several
    )
    return f"<action><name>{name}</name><argumentList>{arguments}</argumentList></action>"


MAPPING = list(NAMES)[:8]
SERVICE = (
    '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>0</minor>'
    "</specVersion><actionList>"
    + _action("AddPortMapping", MAPPING, [])
    + _action("DeletePortMapping", MAPPING[:3], [])
    + _action("GetExternalIPAddress", [], ["NewExternalIPAddress"])
    + "</actionList><serviceStateTable>"
    + "".join(
        f'<stateVariable sendEvents="no"><name>{name[3:]}</name><dataType>{kind}</dataType></stateVariable>'
        for name, kind in NAMES.items()
    )
    + "</serviceStateTable></scpd>"
)


class UpnpGateway:
    """Maps ports; ``taken`` belong to others, ``leases`` False refuses mappings that end, ``refused`` a protocol."""

    def __init__(self, *, taken: tuple[int, ...] = (), leases: bool = True, refused: str = "") -> None:
        self.mappings: dict[tuple[str, int], tuple[str, int, int]] = {}
        self.refused = refused
        self.asked: set[str] = set()
        self.busy = False
        """Whether it was asked for something before it had answered something else."""
        self._asking = 0
        self.taken = taken
        self.leases = leases
        self.location = ""

    async def __aenter__(self) -> "UpnpGateway":
        app = web.Application()
        app.router.add_get("/root.xml", self._root)
        app.router.add_get("/scpd.xml", self._scpd)
        app.router.add_post("/control", self._control)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.location = f"http://127.0.0.1:{port}/root.xml"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def find(self) -> list[str]:
        return [self.location]

    async def _root(self, _: web.Request) -> web.Response:
        return await self._text(DESCRIPTION)

    async def _scpd(self, _: web.Request) -> web.Response:
        return await self._text(SERVICE)

    @staticmethod
    async def _text(text: str) -> web.Response:
        return web.Response(text=text, content_type="text/xml")

    async def _control(self, request: web.Request) -> web.Response:
        self._asking += 1
        self.busy |= self._asking > 1
        try:
            await asyncio.sleep(0)
            return await self._obey(request)
        finally:
            self._asking -= 1

    async def _obey(self, request: web.Request) -> web.Response:
        body = await request.text()
        action = request.headers["SOAPAction"].strip('"').rpartition("#")[2]
        given = dict(re.findall(r"<(New\w+)>([^<]*)</", body))
        answer = ""
        if action == "AddPortMapping":
            port, lease = int(given["NewExternalPort"]), int(given["NewLeaseDuration"])
            kind = given["NewProtocol"]
            self.asked.add(kind)
            if port in self.taken or kind == self.refused or (lease and not self.leases):
                return web.Response(
                    status=500, text=_fault(718 if port in self.taken else 725), content_type="text/xml"
                )
            self.mappings[kind, port] = (given["NewInternalClient"], int(given["NewInternalPort"]), lease)
        elif action == "DeletePortMapping":
            del self.mappings[given["NewProtocol"], int(given["NewExternalPort"])]
        else:
            answer = "<NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>"
        service = "urn:schemas-upnp-org:service:WANIPConnection:1"
        return await self._text(_envelope(f'<u:{action}Response xmlns:u="{service}">{answer}</u:{action}Response>'))


def _envelope(body: str) -> str:
    soap = "http://schemas.xmlsoap.org/soap/envelope/"
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{soap}"><s:Body>{body}</s:Body></s:Envelope>'


def _fault(code: int) -> str:
    return _envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
        "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
    )


TCP_4001 = Port(Carrier.TCP, 4001)


async def mapping(*routers: Router) -> tuple[PortMapping, bool]:
    """A started mapping, and whether it changed within the time a router takes."""
    changed = asyncio.Event()
    made = PortMapping(lambda: TCP_4001, changed.set, routers)
    made.start()
    try:
        async with asyncio.timeout(5):
            await changed.wait()
    except TimeoutError:
        return made, False
    return made, True


async def test_a_port_is_mapped_by_upnp_and_given_back():
    async with UpnpGateway() as gateway:
        made, changed = await mapping(UpnpRouter(gateway.find))
        assert changed and str(made.mapped) == "/ip4/203.0.113.7/tcp/4001"
        assert gateway.mappings == {("TCP", 4001): ("127.0.0.1", 4001, int(LEASE))}
        await made.close()
        assert gateway.mappings == {}


@pytest.mark.parametrize("refused", ["", "TCP", "UDP"])
async def test_tcp_and_udp_are_mapped_by_upnp_each_on_its_own_and_one_after_the_other(refused: str):
    bound = [Multiaddr.parse(f"/ip4/0.0.0.0/{one}") for one in ("tcp/4001", "udp/4002/quic-v1")]
    outside = {"TCP": "/ip4/203.0.113.7/tcp/4001", "UDP": "/ip4/203.0.113.7/udp/4002/quic-v1"}
    wanted = [text for kind, text in outside.items() if kind != refused]
    async with UpnpGateway(refused=refused) as gateway:
        made = PortMappings(lambda: bound, lambda: None, (UpnpRouter(gateway.find),))
        made.start()
        async with asyncio.timeout(10):
            while list(map(str, made.mapped)) != wanted or len(gateway.asked) < 2:
                await asyncio.sleep(0.01)
        assert {kind for kind, _ in gateway.mappings} == set(outside) - {refused} and not gateway.busy
        await made.close()
        assert gateway.mappings == {}


async def test_a_port_that_another_machine_has_gives_the_next_one():
    async with UpnpGateway(taken=(4001, 4002), leases=False) as gateway:
        made, changed = await mapping(UpnpRouter(gateway.find))
        assert changed and str(made.mapped) == "/ip4/203.0.113.7/tcp/4003"
        assert gateway.mappings == {("TCP", 4003): ("127.0.0.1", 4001, 0)}
        await made.close()


async def test_a_router_that_refuses_or_is_none_gives_no_address():
    async with UpnpGateway(taken=tuple(range(4001, 4001 + TRIES))) as gateway:
        router = UpnpRouter(gateway.find)
        assert await router.map(TCP_4001) is None and gateway.mappings == {}
        gateway.location = gateway.location.replace("root.xml", "nothing.xml")
        assert await router.map(TCP_4001) is None
        assert await router._attempt(lambda: router._map_at("http://8.8.8.8/root.xml", TCP_4001)) is None
        assert await router._attempt(lambda: router._map_at("http://example.org/root.xml", TCP_4001)) is None


class Scripted:
    """A router that reports what it is told to, when it is told to."""

    def __init__(self, *addrs: str, after: float = 0.0) -> None:
        self.addrs = addrs
        self.after = after
        self.answers: list[bool] = []
        self.ended = ""

    async def keep(self, port: Port, report: Callable[[Multiaddr], bool]) -> None:
        try:
            await asyncio.sleep(self.after)
            for addr in self.addrs:
                self.answers.append(report(Multiaddr.parse(addr)))
                await asyncio.sleep(1)
            self.ended = "by itself"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


def test_the_first_router_that_maps_is_kept_to_and_the_others_end():
    async def main():
        fast, slow = Scripted(*ADDRS, after=1), Scripted("/ip4/203.0.113.9/tcp/1", after=2)
        same_time = Scripted("/ip4/203.0.113.9/tcp/1", after=1)
        seen: list[str] = []
        made = PortMapping(lambda: TCP_4001, lambda: seen.append(str(made.mapped)), (fast, slow, same_time))
        made.start()
        await asyncio.sleep(10)
        assert fast.answers == [True, True] and slow.answers == [] and same_time.answers in ([], [False])
        assert (fast.ended, slow.ended, same_time.ended) == ("by itself", "cancelled", "cancelled")
        assert seen == [*ADDRS, "None"]
        await asyncio.sleep(LOST_AGAIN - 5.5)  # it has stopped: all are tried again
        assert seen[3:] == [ADDRS[0]] and str(made.mapped) == ADDRS[0]
        await made.close()

    run_virtual(main())


def test_nothing_is_asked_where_nothing_listens_beyond_this_machine():
    async def main():
        router = Scripted(*ADDRS)
        made = PortMapping(lambda: None, lambda: None, (router,))
        made.start()
        await asyncio.sleep(10)
        assert router.answers == [] and made.mapped is None
        await made.close()

    run_virtual(main())


ADDRS = ("/ip4/203.0.113.7/tcp/4001", "/ip4/203.0.113.8/tcp/4001")


def test_websockets_on_the_mapped_port_are_reached_from_outside_too() -> None:
    plain, other = "/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4002/ws"
    bound = [
        Multiaddr.parse(one)
        for one in (plain, f"{plain}/ws", f"{plain}/tls/ws", "/ip4/0.0.0.0/udp/4001/quic-v1", other)
    ]
    outside = "/ip4/203.0.113.7/tcp/9999"
    found = every_form(TCP_4001, Multiaddr.parse(outside), bound)
    assert list(map(str, found)) == [outside, f"{outside}/ws", f"{outside}/tls/ws"]
    alone = [Multiaddr.parse(one) for one in ("/ip4/127.0.0.1/tcp/4001", other)]
    second = mappable_port(Carrier.TCP, alone)
    assert second == Port(Carrier.TCP, 4002)
    assert list(map(str, every_form(second, Multiaddr.parse(outside), alone))) == [f"{outside}/ws"]


def test_quic_is_mapped_where_it_listens_beyond_this_machine() -> None:
    texts = ("/ip4/127.0.0.1/udp/4001/quic-v1", "/ip6/::/udp/4002/quic-v1", "/ip4/0.0.0.0/tcp/4003")
    bound = [Multiaddr.parse(one) for one in texts]
    assert mappable_port(Carrier.UDP, bound) is None
    bound.append(Multiaddr.parse("/ip4/0.0.0.0/udp/4003/quic-v1"))
    port = mappable_port(Carrier.UDP, bound)
    assert port == Port(Carrier.UDP, 4003) and str(port.outside("203.0.113.7", 9)) == "/ip4/203.0.113.7/udp/9"
    found = every_form(port, port.outside("203.0.113.7", 9), bound)
    assert list(map(str, found)) == ["/ip4/203.0.113.7/udp/9/quic-v1"]
