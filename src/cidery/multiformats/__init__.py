"""Self-describing values: varint, multibase, multicodec, multihash, CID, multiaddr, protobuf wire fields. Pure."""
