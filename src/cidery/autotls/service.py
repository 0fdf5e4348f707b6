"""Keeps the certificate of a node: asks for it once the node is public, renews it, and says how it stands."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cidery.autotls.acme import Acme
from cidery.autotls.broker import Broker
from cidery.autotls.certificate import Certified, kept
from cidery.autotls.issuing import Issuing, issued
from cidery.autotls.jws import AccountKey, BadPem, key_from_pem, key_to_pem, new_key
from cidery.autotls.names import ForgeNames
from cidery.autotls.schedule import next_try, renewal, waited_for
from cidery.autotls.steps import Steps, wanted_wait
from cidery.errors import CideryError, IntegrityError
from cidery.http.tls import BadCertificate, Certificate
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.autotls_files import Account, AutoTlsFiles
from cidery.tasks import in_thread

log = logging.getLogger("cidery.autotls")
T = TypeVar("T")

LOOK_EVERY = 5.0
"""Seconds between two looks whether this node is known to be public."""
LEAST_SLEEP, LONGEST_SLEEP = 1.0, 600.0
"""Seconds between two looks at the clock: machines sleep, and clocks are set."""
ALPN = ["http/1.1"]
"""What is spoken under TLS: the upgrade to a WebSocket."""


@dataclass(frozen=True, slots=True)
class Whom:
    """Who is asked for the certificate."""

    authority: str
    """URL of its directory."""
    broker: str
    """URL, without a slash at its end."""
    token: str
    """For the broker; "": none."""


class Driver(Protocol):
    """Runs generators; see io/driver.py."""

    async def run(self, steps: Steps[T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What is needed of the rest of a node."""

    public: Callable[[], bool]
    """Whether others are known to reach it by TCP."""
    addresses: Callable[[], Sequence[Multiaddr]]
    """At which the broker may dial it."""
    driving: Callable[[], AbstractAsyncContextManager[Driver]]
    """What asks over the network, for one attempt."""
    changed: Callable[[], Awaitable[object]]
    """Called when there is a certificate, another one, or none any more."""
    entropy: Callable[[int], bytes]


class AutoTls:
    """One per node. ``run()`` works until it is cancelled; the rest tells how it stands."""

    def __init__(
        self,
        names: ForgeNames,
        key: PrivateKey,
        whom: Whom,
        files: AutoTlsFiles,
        around: Around,
        *,
        not_before: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``key``: the node's. ``not_before``: when a first certificate may be asked for, by ``clock``."""
        self.names = names
        self.certificate: Certified | None = None
        self.renewal = 0.0
        """When it is renewed: seconds since 1970."""
        self.asking = False
        self.failure = ""
        self.alpn = ALPN
        self._key = key
        self._whom = whom
        self._files = files
        self._around = around
        self._clock, self._wall_clock = clock, wall_clock
        self._not_before = not_before
        self._served: Certificate | None = None
        whole = "\0".join((whom.broker, whom.token, names.domain))
        self._asked = hashlib.sha256(whole.encode()).hexdigest()[:16]
        self._account = Account("", asked=self._asked)

    @property
    def valid(self) -> bool:
        """Whether there is a certificate that browsers accept now."""
        return self.certificate is not None and self.certificate.valid(self._wall_clock())

    @property
    def context(self) -> ssl.SSLContext | None:
        """For the listener; None while there is no certificate."""
        return self._served.context if self._served is not None and self.valid else None

    @property
    def next_try(self) -> float:
        """When the next attempt may begin, after one that failed: seconds since 1970."""
        return self._account.next_try if self._account.failures else 0.0

    @property
    def waits(self) -> str:
        """What is waited for before a first certificate is asked for; "": nothing."""
        if self.valid or self.asking or self.next_try > self._wall_clock():
            return ""
        return waited_for(public=self._around.public(), left=self._not_before - self._clock())

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._load()
        while True:
            was, wait = self.valid, self._wait()
            if wait <= 0:
                await self._attempt()
                continue
            await asyncio.sleep(max(wait, LEAST_SLEEP))
            if was and not self.valid:
                log.error("the certificate for %s has expired, and its addresses are withdrawn", self.names.wildcard)
                await self._around.changed()

    def _wait(self) -> float:
        """Seconds until there may be something to do; 0.0: a certificate is to be asked for now."""
        now = self._wall_clock()
        soon = min(max(self.next_try - now, 0.0), LONGEST_SLEEP)
        if self.certificate is not None and self.valid:
            if soon <= 0 and now >= self.renewal and not self._around.public():
                return LOOK_EVERY  # the broker could not dial it
            soon = max(soon, min(self.renewal - now, LONGEST_SLEEP))
            return max(0.0, min(soon, self.certificate.ends - now))
        if soon <= 0 and not self._around.public():
            return LOOK_EVERY
        return max(soon, min(self._not_before - self._clock(), LONGEST_SLEEP))

    async def _load(self) -> None:
        """What was kept. What is damaged is as if it were not there."""
        try:
            pem = await in_thread(self._files.read_certificate)
            if pem is not None:
                await self._use(kept(pem, self.names.wildcard))
        except (CideryError, BadCertificate) as exc:
            log.warning("the certificate that was kept is not used: %s", exc)
        try:
            account = await in_thread(self._files.read_account)
            if account is not None:
                key_from_pem(account.key.encode())
                same = account.asked == self._asked
                self._account = account if same else Account(account.key, account.kid, asked=self._asked)
        except CideryError as exc:
            log.warning("a new account is made: %s", exc)

    async def _use(self, certificate: Certified) -> None:
        """Show a certificate, which is in the file, from now on; connections that exist go on."""
        if self._served is None:
            path = str(self._files.certificate)
            self._served = await in_thread(Certificate, path, path, self.alpn)
        else:
            await in_thread(self._served.renew)
        self.certificate = certificate
        luck = int.from_bytes(self._around.entropy(4)) / 2**32
        self.renewal = renewal(certificate, luck)
        if self.valid:
            until, then = _day(certificate.ends), _day(self.renewal)
            log.info("certificate for %s until %s, next renewal %s", certificate.name, until, then)
            await self._around.changed()

    async def _attempt(self) -> None:
        """Ask for a certificate, once; a failure is logged in a line, and decides when the next attempt is."""
        self.asking = True
        log.info("asking for a certificate for %s", self.names.wildcard)
        try:
            await self._issue()
        except CideryError as exc:
            await self._failed(exc)
        else:
            self.failure = ""
            await self._keep_account(self._account._replace(failures=0, next_try=0.0))
        finally:
            self.asking = False

    async def _issue(self) -> None:
        around, whom = self._around, self._whom
        if not self._account.key:
            # kept before it is used: what the authority knows must not be lost
            made = key_to_pem(new_key(around.entropy)).decode()
            self._account = self._account._replace(key=made, kid="")
            await in_thread(self._files.write_account, self._account)
        acme = Acme(whom.authority, AccountKey(key_from_pem(self._account.key.encode())), self._account.kid)
        broker = Broker(whom.broker, self._key, whom.token, around.entropy)
        try:
            async with around.driving() as driver:
                steps = issued(Issuing(acme, broker, self.names, around.addresses, around.entropy))
                certificate = await driver.run(steps)
        finally:
            self._account = self._account._replace(kid=acme.kid)
        if not certificate.valid(self._wall_clock()):
            raise BadPem(f"{whom.authority} gave a certificate that is not valid now; is the clock right?")
        await in_thread(self._files.write_certificate, certificate.pem)
        await self._use(certificate)

    async def _failed(self, exc: CideryError) -> None:
        failures = self._account.failures + 1
        luck = int.from_bytes(self._around.entropy(4)) / 2**32
        at = next_try(failures, self._wall_clock(), wanted_wait(exc), luck)
        self.failure = str(exc)
        log.warning("no certificate for %s: %s; the next attempt is at %s", self.names.wildcard, exc, _day(at))
        await self._keep_account(self._account._replace(failures=failures, next_try=at))

    async def _keep_account(self, account: Account) -> None:
        self._account = account
        if account.key:
            with suppress(CideryError, IntegrityError):  # at worst it is forgotten with the process
                await in_thread(self._files.write_account, account)


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
