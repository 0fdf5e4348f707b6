"""NAT-PMP: whatever a gateway says is read or refused, and makes no flood."""

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.libp2p.protocols import nat_pmp

many = settings(derandomize=True, max_examples=150, deadline=None)

GATEWAY = [
    nat_pmp.AddressAnswer(9, IPv4Address("203.0.113.7")).encode(),
    nat_pmp.AddressAnswer(0, IPv4Address("203.0.113.8")).encode(),
    nat_pmp.MappingAnswer(9, nat_pmp.TCP_OPCODE, 4001, 4001, 1).encode(),
    nat_pmp.MappingAnswer(0, nat_pmp.TCP_OPCODE, 4001, 4002, 2**32 - 1).encode(),
    nat_pmp.MappingAnswer(9, nat_pmp.UDP_OPCODE, 4001, 4003, 7200).encode(),
]


@many
@given(st.binary(max_size=40) | st.sampled_from(GATEWAY))
def test_any_bytes_are_an_answer_of_a_gateway_or_its_error(data):
    try:
        answer = nat_pmp.decode(data)
    except nat_pmp.NatPmpError:
        return
    assert answer.encode() == bytes(data)[: len(answer.encode())]


@many
@given(
    st.sampled_from([nat_pmp.TCP_OPCODE, nat_pmp.UDP_OPCODE]),
    st.lists(st.tuples(st.floats(0, 400), st.binary(max_size=20) | st.sampled_from(GATEWAY)), max_size=40),
)
def test_whatever_a_gateway_says_makes_no_flood_of_questions(opcode, said):
    now, sent = 0.0, 0
    machine = nat_pmp.NatPmp(opcode, 4001, now)
    for after, data in said:
        until = now + after
        while not machine.failure and machine.next_deadline() <= until:
            assert machine.next_deadline() > now
            now = machine.next_deadline()
            machine.handle_deadline(now)
            sent += machine.data_to_send() is not None
        now = until
        machine.receive_data(data, now)
        sent += machine.data_to_send() is not None
    rounds = 1 + now / nat_pmp.LEAST_RENEWAL
    assert sent <= rounds * 2 * nat_pmp.MAX_TRIES
