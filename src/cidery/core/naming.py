"""Names in the Api: the resolver, and the parts that publish names."""

from dataclasses import dataclass

from cidery.core.keys import KeyRing
from cidery.namesys.publisher import NamePublisher
from cidery.namesys.resolver import NameResolver
from cidery.repo.names import Names


@dataclass(frozen=True, slots=True)
class Naming:
    """Everything a node has for names."""

    resolver: NameResolver
    local: NameResolver
    """The same without the network: own and followed records, fixed names."""
    publisher: NamePublisher
    keys: KeyRing
    names: Names

    def offline(self) -> "Naming":
        """For --offline: the resolver is the local one."""
        return Naming(self.local, self.local, self.publisher, self.keys, self.names)
