"""The service through weeks of virtual time, against a scripted authority and broker; its requests over real HTTP."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cidery.autotls.io.driver import driving
from cidery.autotls.names import ForgeNames
from cidery.autotls.schedule import FIRST_BACKOFF
from cidery.autotls.service import LOOK_EVERY, Around, AutoTls, Whom
from cidery.autotls.steps import MAX_BODY, BadAnswer, LookUp, NoCertificate, Request, Response, Steps, asked
from cidery.core.network import CertificateState
from cidery.core.reached import certificate_words
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.autotls_files import AutoTlsFiles
from cidery.testing.virtual_clock import run_virtual
from peers.peer_auth_server import AuthServer
from peers.scripted_authority import NOW, URL, Issuer, ScriptedAuthority

KEY = PrivateKey.generate_ed25519(os.urandom)
SERVER = PrivateKey.generate_ed25519(os.urandom)
NAMES = ForgeNames(KEY.peer_id, "libp2p.test")
BROKER = "https://broker.example"
DAY = 86_400.0


class World:
    """A node, an authority and a broker in virtual time, which begins at NOW."""

    def __init__(self, folder: Path, life: timedelta = timedelta(days=90)) -> None:
        self.files = AutoTlsFiles(folder / "autotls", URL)
        self.authority = ScriptedAuthority(Issuer(self.date, life))
        self.broker = AuthServer(SERVER, "broker.example")
        self.health = 204
        self.value = self.token = ""
        self.public = True
        self.asked: list[tuple[float, str]] = []
        self.changes: list[tuple[float, bool]] = []
        self.delay = self.last = 0.0
        self.one = self.service()

    def service(self) -> AutoTls:
        around = Around(
            lambda: self.public,
            lambda: [Multiaddr.parse("/ip4/8.8.8.8/tcp/4001")],
            self.driving,
            self.changed,
            os.urandom,
        )
        whom = Whom(URL + "/directory", BROKER, self.token)
        return AutoTls(
            NAMES, KEY, whom, self.files, around, not_before=self.delay, clock=self.now, wall_clock=self.wall
        )

    def now(self) -> float:
        try:
            self.last = asyncio.get_running_loop().time()
        except RuntimeError:
            pass  # between two lives
        return self.last

    def wall(self) -> float:
        return NOW.timestamp() + self.now()

    def date(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    async def changed(self) -> None:
        self.changes.append((self.now(), self.one.valid))

    @asynccontextmanager
    async def driving(self) -> AsyncIterator["World"]:
        yield self

    async def run(self, steps: Steps[Any]) -> Any:
        got: Any = None
        try:
            while True:
                step = steps.send(got)
                if isinstance(step, Request):
                    got = self.answer(step)
                elif isinstance(step, LookUp):
                    got = (self.value,) if step.name == NAMES.challenge else ()
                else:
                    await asyncio.sleep(step.seconds)
                    got = None
        except StopIteration as stop:
            return stop.value

    def answer(self, request: Request) -> Response:
        self.asked.append((self.now(), request.url))
        if request.url == f"{BROKER}/v1/health":
            return Response(self.health, {}, b"", self.wall())
        if not request.url.startswith(BROKER):
            return self.authority.answer(request)
        said = self.broker.answer(request)
        if said.status == 200:
            self.value = json.loads(request.body)["value"]
        return said

    def attempts(self) -> list[float]:
        return [at for at, url in self.asked if url.endswith("/health")]

    def live(self, seconds: float, events: Callable[[], Awaitable[None]] | None = None) -> None:
        async def main() -> None:
            running = asyncio.create_task(self.one.run())
            happening = asyncio.create_task(events()) if events is not None else None
            await asyncio.sleep(seconds)
            assert not running.done(), running.result()
            running.cancel()
            if happening is not None:
                await happening

        run_virtual(main())


def test_a_certificate_is_there_for_weeks_and_renewed_at_two_thirds_of_its_life(tmp_path: Path) -> None:
    world = World(tmp_path, timedelta(days=6))
    world.live(24 * DAY)
    times = world.attempts()
    assert 6 <= len(times) <= 7
    assert all(0.64 * 6 * DAY < later - earlier < 0.7 * 6 * DAY for earlier, later in pairwise(times))
    assert all(valid for _, valid in world.changes), "it was there all the time"
    assert world.authority.asked.count("/acct") == 1


def test_nobody_is_asked_before_the_node_is_public_and_the_delay_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.public, world.delay = False, 3600.0
    world.one = world.service()
    said: list[str] = []

    async def events() -> None:
        await asyncio.sleep(2 * 3600)
        said.append(world.one.waits)
        assert world.asked == []
        world.public = True

    world.live(3 * 3600, events)
    assert said == ["until others are known to reach this node by TCP"]
    assert 7200 <= world.attempts()[0] <= 7200 + LOOK_EVERY
    (tmp_path / "other").mkdir()
    world = World(tmp_path / "other")
    world.delay = 3600.0
    world.one = world.service()
    assert world.one.waits == "60 more minutes (AutoTLS.RegistrationDelay)"
    world.live(2 * 3600)
    assert world.attempts() == [3600.0]


def test_failures_are_few_and_the_first_success_ends_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.authority.changes["/new"] = lambda _: world.authority.problem(500, "serverInternal", "no")

    async def events() -> None:
        await asyncio.sleep(3 * DAY)
        assert "ca.example: no (serverInternal)" in world.one.failure
        assert world.one.next_try > world.wall()
        world.authority.changes.clear()

    world.live(5 * DAY, events)
    failed = [at for at in world.attempts() if at < 3 * DAY]
    assert len(failed) <= 13
    assert 0.8 * FIRST_BACKOFF <= failed[1] - failed[0] <= 1.2 * FIRST_BACKOFF
    assert world.one.valid and world.one.failure == ""
    kept = world.files.read_account()
    assert kept is not None and kept.failures == 0


def test_what_a_server_asks_for_is_waited_for_also_by_a_new_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    limit = {"retry-after": str(int(2 * DAY))}
    world.authority.changes["/new"] = lambda _: world.authority.problem(429, "rateLimited", "slowly", limit)
    world.live(3600.0)
    assert world.attempts() == [0.0]
    world.asked.clear()
    world.one = world.service()
    world.live(1.9 * DAY)
    assert world.asked == []
    world.token = "another"
    world.one = world.service()
    world.authority.changes.clear()
    world.live(60.0)
    assert world.one.valid, "what failed before says nothing of this"


def test_an_expired_certificate_is_withdrawn_and_a_broker_that_is_well_again_brings_another(tmp_path: Path) -> None:
    world = World(tmp_path, timedelta(days=6))

    async def events() -> None:
        await asyncio.sleep(DAY)
        assert world.one.valid and world.one.context is not None
        world.health = 503
        await asyncio.sleep(6 * DAY)
        assert not world.one.valid and world.one.context is None
        assert "broker.example: it is not well" in world.one.failure
        world.health = 204

    world.live(9 * DAY, events)
    assert [valid for _, valid in world.changes] == [True, False, True]
    assert world.changes[1][0] == pytest.approx(6 * DAY, abs=2)
    assert world.one.valid


def test_it_is_not_renewed_while_nobody_reaches_the_node(tmp_path: Path) -> None:
    world = World(tmp_path, timedelta(days=6))

    async def events() -> None:
        await asyncio.sleep(DAY)
        world.public = False
        await asyncio.sleep(4.5 * DAY)
        assert len(world.attempts()) == 1 and world.one.valid
        world.public = True

    world.live(5.6 * DAY, events)
    assert len(world.attempts()) == 2


def test_a_damaged_file_is_as_if_it_were_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    world.live(60.0)
    assert world.one.valid
    world.files.certificate.write_bytes(world.files.certificate.read_bytes()[:-100])
    world.files.account.write_bytes(b"{")
    world.asked.clear()
    world.one = world.service()
    world.live(60.0)
    assert world.one.valid
    assert "the certificate that was kept is not used" in caplog.text and "a new account is made" in caplog.text


def test_a_certificate_that_is_not_valid_now_is_not_used(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.authority.issuer.now = lambda: NOW - timedelta(days=200)
    world.live(60.0)
    assert not world.one.valid and "not valid now" in world.one.failure
    assert not world.files.certificate.exists()


def test_how_it_stands_is_said_in_words() -> None:
    until = datetime(2027, 2, 26, 12, tzinfo=UTC).timestamp()
    then = datetime(2027, 1, 27, 8, tzinfo=UTC).timestamp()
    assert certificate_words(None) == []
    for state, words in (
        (CertificateState("*.x"), ["There is no certificate for *.x."]),
        (CertificateState("*.x", waits="for rain"), ["No certificate for browsers yet: it waits for rain."]),
        (CertificateState("*.x", asking=True), ["A certificate for *.x is being asked for."]),
        (
            CertificateState("*.x", until, then),
            ["Certificate for *.x until 2027-02-26 12:00 UTC, next renewal 2027-01-27 08:00 UTC."],
        ),
        (
            CertificateState("*.x", failure="no", next_try=then),
            [
                "There is no certificate for *.x.",
                "The last attempt to get one failed: no; it tries again at 2027-01-27 08:00 UTC.",
            ],
        ),
    ):
        assert certificate_words(state) == words


# --- over HTTP


async def texts(_: str) -> tuple[str, ...]:
    return ()


async def answered(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], request: Request) -> Response:
    """The answer of a real server."""
    runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with driving("agent/1", "", texts, lambda: 0.0) as driver:
            return await driver.run(asked(request._replace(url=f"http://127.0.0.1:{port}{request.url}")))
    finally:
        await runner.cleanup()


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    with pytest.raises(BadAnswer, match="a redirect"):
        await answered(elsewhere, Request("POST", "/x", (), b"body"))


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_without_end_is_cut_off(compressed: bool) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if compressed:
            answer.enable_compression(web.ContentCoding.gzip)
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(bytes(MAX_BODY))
        return answer

    with pytest.raises((BadAnswer, NoCertificate), match="more than 131072 bytes"):
        await answered(endless, Request("GET", "/x"))


async def test_a_connection_that_is_cut_is_an_answer_that_failed() -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(NoCertificate, match="127.0.0.1:"):
        await answered(cut, Request("GET", "/x"))


async def test_who_is_not_there_is_named() -> None:
    async with driving("agent/1", "", texts, lambda: 0.0) as driver:
        with pytest.raises(NoCertificate, match=r"127\.0\.0\.1:1: no connection: "):
            await driver.run(asked(Request("GET", "http://127.0.0.1:1/")))


async def test_roots_that_are_none_are_named() -> None:
    with pytest.raises(NoCertificate, match="TrustedCARootsPEM"):
        async with driving("agent/1", "no PEM", texts, lambda: 0.0):
            pass
