"""Fetch sessions: the blocks that a request still needs, and the sources asked for them. Pure, except ``service``."""
