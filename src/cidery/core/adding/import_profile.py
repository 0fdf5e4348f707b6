"""Translates the Import section of the config into the options of add."""

from cidery.repo.config import ImportConfig
from cidery.unixfs.chunker import parse_chunker
from cidery.unixfs.profile import Profile, ShardEstimate, parse_hash, with_chunker


def import_profile(config: ImportConfig) -> Profile:
    """The options of ``add`` that the config's Import section states."""
    chunker = parse_chunker(config.chunker)
    base = Profile(
        cid_version=config.cid_version or 0,
        raw_leaves=config.raw_leaves,
        chunk_size=chunker.max_size,
        max_links=config.file_max_links,
        shard_estimate=ShardEstimate(config.hamt_estimation),
        hash_code=parse_hash(config.hash_function, identity=True),
        shard_threshold=config.hamt_threshold,
        hamt_fanout=config.hamt_fanout,
        directory_links=config.directory_max_links,
        trickle=config.layout == "trickle",
    )
    return with_chunker(base, chunker)
