"""Blocks, codecs that know links, DAG walks and CAR framing. Pure."""
