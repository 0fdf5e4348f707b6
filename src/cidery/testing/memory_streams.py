"""What a real node serves over streams, for nodes that are nothing but a store: CAR archives of what is stored."""

from __future__ import annotations

from cidery.blockstore.interface import BlockStore
from cidery.core.api import Api
from cidery.core.reading.content_path import ContentPath
from cidery.core.session import StoreSession
from cidery.exchange.terms import EAGER, Terms
from cidery.gateway.options import OVER_STREAMS
from cidery.gateway.site import Site
from cidery.node.archives import serve_archives
from cidery.node.network import NodeNetwork


class _StoreApi(Api):
    """As much of an offline node as the gateway asks for content by CID."""

    def __init__(self, store: BlockStore) -> None:
        self._only = store

    def offline(self) -> Api:
        return self

    def admitted(self, path: ContentPath) -> ContentPath:
        return path

    @property
    def store(self) -> BlockStore:  # type: ignore[override]
        return self._only

    @property
    def served(self) -> BlockStore:
        return self._only

    @property
    def blocks(self) -> BlockStore:  # type: ignore[override]
        return self._only

    def session(self, *, kept: bool = False, name: str = "", terms: Terms = EAGER) -> StoreSession:
        return StoreSession(self._only)


async def serve_streams(network: NodeNetwork, store: BlockStore) -> None:
    """As every connected node does."""
    await serve_archives(network, Site(_StoreApi(store), OVER_STREAMS).handle)
