"""Port mapping: which router is kept to, and one in this process that speaks UPnP over HTTP on loopback."""

import asyncio
import re
from collections.abc import Callable

from aiohttp import web

from cidery.libp2p.io.port_mapping import LOST_AGAIN, PortMapping, Router, every_form, mappable_port
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
    """Maps ports; ``taken`` belong to others, ``leases`` False refuses mappings that end."""

    def __init__(self, *, taken: tuple[int, ...] = (), leases: bool = True) -> None:
        self.mappings: dict[int, tuple[str, int, int]] = {}
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
        body = await request.text()
        action = request.headers["SOAPAction"].strip('"').rpartition("#")[2]
        given = dict(re.findall(r"<(New\w+)>([^<]*)</", body))
        answer = ""
        if action == "AddPortMapping":
            port, lease = int(given["NewExternalPort"]), int(given["NewLeaseDuration"])
            if port in self.taken or (lease and not self.leases):
                return web.Response(
                    status=500, text=_fault(718 if port in self.taken else 725), content_type="text/xml"
                )
            self.mappings[port] = (given["NewInternalClient"], int(given["NewInternalPort"]), lease)
        elif action == "DeletePortMapping":
            del self.mappings[int(given["NewExternalPort"])]
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


async def mapping(*routers: Router) -> tuple[PortMapping, bool]:
    """A started mapping, and whether it changed within the time a router takes."""
    changed = asyncio.Event()
    made = PortMapping(lambda: 4001, changed.set, routers)
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
        assert gateway.mappings == {4001: ("127.0.0.1", 4001, int(LEASE))}
        await made.close()
        assert gateway.mappings == {}


async def test_a_port_that_another_machine_has_gives_the_next_one():
    async with UpnpGateway(taken=(4001, 4002), leases=False) as gateway:
        made, changed = await mapping(UpnpRouter(gateway.find))
        assert changed and str(made.mapped) == "/ip4/203.0.113.7/tcp/4003"
        assert gateway.mappings == {4003: ("127.0.0.1", 4001, 0)}
        await made.close()


async def test_a_router_that_refuses_or_is_none_gives_no_address():
    async with UpnpGateway(taken=tuple(range(4001, 4001 + TRIES))) as gateway:
        router = UpnpRouter(gateway.find)
        assert await router.map(4001) is None and gateway.mappings == {}
        gateway.location = gateway.location.replace("root.xml", "nothing.xml")
        assert await router.map(4001) is None
        assert await router._attempt(lambda: router._map_at("http://8.8.8.8/root.xml", 4001)) is None
        assert await router._attempt(lambda: router._map_at("http://example.org/root.xml", 4001)) is None


class Scripted:
    """A router that reports what it is told to, when it is told to."""

    def __init__(self, *addrs: str, after: float = 0.0) -> None:
        self.addrs = addrs
        self.after = after
        self.answers: list[bool] = []
        self.ended = ""

    async def keep(self, port: int, report: Callable[[Multiaddr], bool]) -> None:
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
        made = PortMapping(lambda: 4001, lambda: seen.append(str(made.mapped)), (fast, slow, same_time))
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
    bound = [Multiaddr.parse(one) for one in (plain, f"{plain}/ws", f"{plain}/tls/ws", "/ip4/0.0.0.0/udp/4001", other)]
    outside = "/ip4/203.0.113.7/tcp/9999"
    found = every_form(Multiaddr.parse(outside), bound)
    assert list(map(str, found)) == [outside, f"{outside}/ws", f"{outside}/tls/ws"]
    assert every_form(None, bound) == []
    alone = [Multiaddr.parse(one) for one in ("/ip4/127.0.0.1/tcp/4001", other)]
    assert mappable_port(alone) == 4002 and list(map(str, every_form(Multiaddr.parse(outside), alone))) == [
        f"{outside}/ws"
    ]
