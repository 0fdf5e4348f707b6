"""The path of the repository. Imports next to nothing: the CLI asks at each start."""

import os


def repo_dir(explicit: str | None = None) -> str:
    """Absolute path: ``explicit``, else $CIDERY_PATH, else $IPFS_PATH, else ~/.cidery."""
    chosen = explicit or os.environ.get("CIDERY_PATH") or os.environ.get("IPFS_PATH") or "~/.cidery"
    return os.path.abspath(os.path.expanduser(chosen))


def api_authorities() -> str:
    """$CIDERY_API_CA: the file in PEM with what a daemon under TLS is trusted by; "": what the system trusts."""
    return os.environ.get("CIDERY_API_CA", "")
