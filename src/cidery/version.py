"""The version of the program, and of what it writes."""

__version__ = "0.1.0"
REPO_FORMAT = 1
"""Number in the ``version`` file of a repository. Raised when an older Cidery could no longer read it."""
