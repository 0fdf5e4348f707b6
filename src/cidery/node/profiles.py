"""Profiles that a repository is opened with, though it was made before: they are for new ones."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from cidery.repo.config_file import read_raw
from cidery.repo.config_profiles import apply_profile


class ProfileNotApplied(UserWarning):
    """The config of a repository is not as a profile says that it was opened with."""


def warn_of_profiles(path: Path, profiles: Sequence[str], *, stacklevel: int) -> None:
    """Warn if profiles, applied in this order, would change the config. Raises ConfigError for one that is unknown."""
    raw = changed = read_raw(path / "config")
    for name in profiles:
        changed = apply_profile(changed, name)
    if changed != raw:
        names = ",".join(profiles)
        text = (
            f"the repository at {path} was made before, and its config is not as profile {names!r} says; "
            "to change it: cidery config profile apply PROFILE"
        )
        warnings.warn(text, ProfileNotApplied, stacklevel=stacklevel + 1)
