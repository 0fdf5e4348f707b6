"""The only place of the peer-to-peer layer that knows asyncio: streams, connections, listening, dialling."""
