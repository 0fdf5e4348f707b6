"""The metrics of a running node: what its parts have counted, read when somebody asks."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cidery.core.api import Api
from cidery.core.network import RoutingOff
from cidery.http.exposition import Metric, Sample, exposition
from cidery.version import __version__

STARTED = time.time()
"""Seconds since 1970 at which this process imported its parts."""


def metrics_of(api: Api, others: Sequence[Callable[[], list[Metric]]]) -> Callable[[], Awaitable[bytes]]:
    """The text for one look, when called. Costs some ms: O(segments of the store)."""

    async def look() -> bytes:
        found = [about_program()]
        for other in others:
            found += other()
        found += await _store(api)
        return exposition([*found, *_denylists(api), *_network(api), *_process()])

    return look


def about_program() -> Metric:
    """Its version."""
    return Metric("cidery_info", "gauge", "This program.", [Sample(1, {"version": __version__})])


def resident_bytes() -> int | None:
    """Memory of this process; None: the system does not say."""
    try:  # Linux
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None


async def _store(api: Api) -> list[Metric]:
    stat = await api.store.stat()
    return [
        Metric("cidery_store_blocks", "gauge", "Blocks stored.", [Sample(stat.blocks)]),
        Metric("cidery_store_bytes", "gauge", "Bytes of blocks.", [Sample(stat.bytes)]),
        Metric("cidery_store_disk_bytes", "gauge", "Bytes of their files.", [Sample(stat.disk_bytes)]),
        Metric("cidery_store_limit_bytes", "gauge", "Datastore.StorageMax.", [Sample(api.config.storage_max)]),
    ]


def _denylists(api: Api) -> list[Metric]:
    files = api.deny_files
    if files is None:
        return []
    lists = files.denylists.lists
    unusable = sum(bool(file.error) for file in files.files.values())
    return [
        Metric("cidery_denylists", "gauge", "Denylists in force.", [Sample(len(lists))]),
        Metric("cidery_denylist_rules", "gauge", "Their rules.", [Sample(sum(one.rules for one in lists))]),
        Metric("cidery_denylists_unusable", "gauge", "Files whose newest version is not in force.", [Sample(unusable)]),
        Metric("cidery_denied_total", "counter", "Paths, names and blocks refused.", [Sample(files.denylists.refused)]),
    ]


def _network(api: Api) -> list[Metric]:
    network = api.network
    if network is None:
        return []
    swap, traffic = network.bitswap_stat(), network.bandwidth("", "")
    counted = (
        ("blocks_received", "Blocks received.", swap.blocks_received),
        ("received_bytes", "Their bytes.", swap.data_received),
        ("duplicate_blocks", "Of these, blocks that nobody waited for.", swap.dup_blocks_received),
        ("duplicate_bytes", "Their bytes.", swap.dup_data_received),
        ("blocks_sent", "Blocks sent.", swap.blocks_sent),
        ("sent_bytes", "Their bytes.", swap.data_sent),
        ("messages_received", "Messages received.", swap.messages_received),
    )
    both = [Sample(traffic.total_in, {"direction": "in"}), Sample(traffic.total_out, {"direction": "out"})]
    return [
        Metric("cidery_peers", "gauge", "Connections to peers.", [Sample(len(network.peers()))]),
        Metric("cidery_bandwidth_bytes_total", "counter", "Bytes of connections to peers.", both),
        Metric("cidery_bitswap_wants", "gauge", "Blocks that are being fetched.", [Sample(len(swap.wantlist))]),
        *(Metric(f"cidery_bitswap_{name}_total", "counter", what, [Sample(value)]) for name, what, value in counted),
        *_dht(api),
    ]


def _dht(api: Api) -> list[Metric]:
    try:
        stats = api.online.dht_stats()
    except RoutingOff:
        return []
    peers = [Sample(sum(len(one.peers) for one in dht.buckets), {"dht": dht.name}) for dht in stats]
    sizes = [Sample(dht.network_size, {"dht": dht.name}) for dht in stats if dht.network_size is not None]
    return [
        Metric("cidery_dht_peers", "gauge", "Peers in the routing table.", peers),
        Metric("cidery_dht_network_size", "gauge", "Peers of the network, estimated.", sizes),
    ]


def _process() -> list[Metric]:
    """As every program of Prometheus names them."""
    times = os.times()
    found = [
        Metric("process_cpu_seconds_total", "counter", "Processor time.", [Sample(times.user + times.system)]),
        Metric("process_start_time_seconds", "gauge", "Start, in seconds since 1970.", [Sample(STARTED)]),
    ]
    if (memory := resident_bytes()) is not None:
        found.append(Metric("process_resident_memory_bytes", "gauge", "Memory.", [Sample(memory)]))
    try:  # Linux
        files = len(os.listdir("/proc/self/fd"))
    except OSError:
        return found
    return [*found, Metric("process_open_fds", "gauge", "Open files.", [Sample(files)])]
