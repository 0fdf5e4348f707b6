"""Fetch sessions: what a request still needs, who may have it, who is asked for what. Pure, except ``service``."""
