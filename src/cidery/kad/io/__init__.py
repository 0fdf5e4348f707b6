"""The DHT over the swarm: the only asyncio of the package beside service.py."""
