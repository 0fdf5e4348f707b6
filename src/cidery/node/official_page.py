"""The gateway that answers for the official page at the RPC's address."""

from functools import partial

from cidery.core.api import Api
from cidery.http.late_handler import Handler, made_when_asked
from cidery.rpc.official import KNOWN, OfficialPage


def official_page(api: Api, cids: tuple[str, ...] = KNOWN) -> OfficialPage:
    """By paths alone: the page has to have the origin of the RPC, whatever hosts the public gateway knows."""
    return OfficialPage(made_when_asked(partial(_site, api)), cids)


def _site(api: Api) -> Handler:
    from cidery.gateway.options import options_of
    from cidery.gateway.site import Site

    options = options_of(api.config)._replace(hosts={}, deserialized=True, no_dnslink=True, replaced={}, root="")
    return Site(api, options).handle
