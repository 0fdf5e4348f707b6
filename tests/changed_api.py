"""An Api with some of its parts replaced, for tests."""

from typing import Any

from cidery.core.adding.job import Adding
from cidery.core.api import Api


class _Changed:
    def __init__(self, api: Api, parts: dict[str, Any]) -> None:
        self._api = api
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        return self._parts[name] if name in self._parts else getattr(self._api, name)


def changed(api: Api, **parts: Any) -> Api:
    """The same node with other parts; one with another clock adds by that clock."""
    if clock := parts.get("clock"):
        parts["adding"] = Adding(api.store, api.pins, api.jobs, api.config.imports, clock)
    return Api(_Changed(api, parts))
