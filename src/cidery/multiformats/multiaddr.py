"""Composable network addresses. (Filled in by the multiformats work.)"""


class Multiaddr:
    """Parsed address."""
