"""Byte streams of the operating system: what is asked of its TCP."""

import asyncio
import socket

import pytest

from cidery.libp2p.io.byte_network import SLOW_UNSENT, UNSENT, TcpNetwork, keep_unsent
from cidery.multiformats.address_filter import AddressFilter


class Over(asyncio.Transport):
    def __init__(self, sock: object) -> None:
        super().__init__({"socket": sock})


async def test_a_connection_that_ends_as_it_is_made_is_one_that_has_ended_and_no_error_of_a_socket():
    class Ends(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    server = await asyncio.start_server(lambda _, accepted: accepted.close(), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        assert isinstance(await TcpNetwork(AddressFilter()).connect(Ends, host, port), Ends)


def test_what_has_no_socket_or_a_closed_one_is_left_alone():
    closed = socket.socket()
    closed.close()
    for sock in (None, closed):
        keep_unsent(Over(sock), slow=True)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system does not let programs choose")
def test_the_system_takes_less_of_what_goes_over_a_slow_line():
    with socket.socket() as sock:
        taken = []
        for slow in (True, False, True):
            keep_unsent(Over(sock), slow=slow)
            taken.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))
    assert taken == [SLOW_UNSENT, UNSENT, SLOW_UNSENT]
