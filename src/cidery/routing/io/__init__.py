"""Routers that access the network themselves."""
