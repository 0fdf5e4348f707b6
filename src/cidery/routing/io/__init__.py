"""Routers that talk to the network by themselves."""
