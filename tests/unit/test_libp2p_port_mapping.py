"""Port mapping with a router in this process that speaks UPnP over HTTP on loopback."""

import asyncio
import re

from aiohttp import web

from cidery.libp2p.io.port_mapping import LEASE, TRIES, PortMapping

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


class Router:
    """Maps ports; ``taken`` belong to others, ``leases`` False refuses mappings that end."""

    def __init__(self, *, taken: tuple[int, ...] = (), leases: bool = True) -> None:
        self.mappings: dict[int, tuple[str, int, int]] = {}
        self.taken = taken
        self.leases = leases
        self.location = ""

    async def __aenter__(self) -> "Router":
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


async def mapping(router: Router, port: int | None = 4001) -> tuple[PortMapping, bool]:
    """A started mapping, and whether it changed within the time a router takes."""
    changed = asyncio.Event()
    made = PortMapping(lambda: port, changed.set, router.find)
    made.start()
    try:
        async with asyncio.timeout(5):
            await changed.wait()
    except TimeoutError:
        return made, False
    return made, True


async def test_a_port_is_mapped_and_given_back():
    async with Router() as router:
        made, changed = await mapping(router)
        assert changed and str(made.mapped) == "/ip4/203.0.113.7/tcp/4001"
        assert router.mappings == {4001: ("127.0.0.1", 4001, int(LEASE))}
        await made.close()
        assert router.mappings == {}


async def test_a_port_that_another_machine_has_gives_the_next_one():
    async with Router(taken=(4001, 4002), leases=False) as router:
        made, changed = await mapping(router)
        assert changed and str(made.mapped) == "/ip4/203.0.113.7/tcp/4003"
        assert router.mappings == {4003: ("127.0.0.1", 4001, 0)}
        await made.close()


async def test_a_router_that_refuses_or_is_none_gives_no_address():
    async with Router(taken=tuple(range(4001, 4001 + TRIES))) as router:
        made = PortMapping(lambda: 4001, lambda: None, router.find)
        assert await made._map() is None and router.mappings == {}
        router.location = router.location.replace("root.xml", "nothing.xml")
        assert await made._map() is None
        router.location = "http://192.0.2.1:1/root.xml"
        assert await made._attempt(lambda: made._map_at("http://8.8.8.8/root.xml", 4001)) is None
        assert await made._attempt(lambda: made._map_at("http://example.org/root.xml", 4001)) is None
        assert await PortMapping(lambda: None, lambda: None, router.find)._map() is None
