"""Bitswap 1.2.0 (1.1.0 and 1.0.0 answered): messages, wantlists, the serving engine. Pure, except ``service``."""
