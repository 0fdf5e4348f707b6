"""The layout of a repository: its paths, its format, and whether a directory is a repository at all.

::

    config  keystore/  version  repo.lock  api  api-token  webui-key  daemon.log   blocks/NNNNNN.car  blocks/deleted.log
    autotls/        the certificate of AutoTLS, and the account that it was got with
    meta/state  precious: pins, names, jobs         meta/index  rebuildable
    meta/cache, meta/jobs, meta/bandwidth-day  safe to lose

A Kubo repository found at the path is never written to.
"""

import os
from enum import Enum
from pathlib import Path

from cidery.blockstore.places import BLOCKS_DIR, INDEX_DIR
from cidery.errors import InvalidInput, NotFound
from cidery.plain_files import new_plain, read_plain
from cidery.repo.places import jobs_directory
from cidery.version import REPO_FORMAT

MAX_VERSION_TEXT = 32
"""Most bytes read from the ``version`` file."""


class RepoMissing(NotFound):
    """No repository at the path."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"no repository at {self.path}; create it with: cidery init"


class KuboRepo(InvalidInput):
    """The path holds a repository of Kubo, which Cidery never writes to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is a Kubo repository, left untouched; choose another place with --repo-dir or $CIDERY_PATH"


def refuse_kubo(root: Path) -> None:
    """For who writes a file of a repository that was not opened. Raises KuboRepo."""
    if RepoLayout(root).kind() is RepoKind.KUBO:
        raise KuboRepo(root)


class RepoTooNew(InvalidInput):
    """The repository was written by a later version of Cidery."""

    def __init__(self, path: Path, found: int) -> None:
        super().__init__(path, found)
        self.path = path
        self.found = found

    def __str__(self) -> str:
        return f"{self.path} has repository format {self.found}, this Cidery knows {REPO_FORMAT}; upgrade Cidery"


class NotARepo(InvalidInput):
    """The directory is not a repository."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} is not a Cidery repository ({self.reason}); choose an empty or new directory"


class RepoKind(Enum):
    """The content of a path."""

    MISSING = "missing"
    """Nothing, or an empty directory: a repository can be created here."""
    CIDERY = "cidery"
    KUBO = "kubo"
    OTHER = "other"


_BEGUN = {"repo.lock", "meta", "blocks", "config", "keystore", "version.part"}
"""What there may be while a repository is being created."""


class RepoLayout:
    """Paths in the repository at ``root``. Creating one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def version(self) -> Path:
        return self.root / "version"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def keystore(self) -> Path:
        return self.root / "keystore"

    @property
    def lock(self) -> Path:
        return self.root / "repo.lock"

    @property
    def api(self) -> Path:
        """Multiaddr of the running daemon's RPC."""
        return self.root / "api"

    @property
    def blocks(self) -> Path:
        return self.root / BLOCKS_DIR

    @property
    def index(self) -> Path:
        return self.root / INDEX_DIR

    @property
    def state(self) -> Path:
        return self.root / "meta" / "state"

    @property
    def filestore(self) -> Path:
        """LMDB: blocks in the user's own files; absent until something is added without a copy."""
        return self.root / "meta" / "filestore"

    @property
    def jobs(self) -> Path:
        """Journals of unfinished jobs; created on first use."""
        return Path(jobs_directory(self.root))

    @property
    def swarm_key(self) -> Path:
        """The key of a private network; most repositories have none."""
        return self.root / "swarm.key"

    @property
    def autotls(self) -> Path:
        """Accounts and certificates of AutoTLS; created when there are any."""
        return self.root / "autotls"

    @property
    def denylists(self) -> Path:
        """The user's denylists for this node, ``*.deny``; created by the user."""
        return self.root / "denylists"

    @property
    def cache(self) -> Path:
        return self.root / "meta" / "cache"

    def kind(self) -> RepoKind:
        """What the root contains. Raises OSError (no permission and the like)."""
        try:
            names = {entry.name for entry in self.root.iterdir()}
        except FileNotFoundError:
            return RepoKind.MISSING
        except NotADirectoryError:
            return RepoKind.OTHER
        if "datastore_spec" in names or (self.blocks / "SHARDING").exists():
            return RepoKind.KUBO
        if "version" in names:
            return RepoKind.CIDERY
        # A repository whose creation was interrupted has only these: it can be created again.
        return RepoKind.MISSING if names <= _BEGUN else RepoKind.OTHER

    def check(self) -> int:
        """The format number of the repository at the root.

        Raises:
            RepoMissing, KuboRepo, RepoTooNew, NotARepo, NotAFile: with advice. OSError.
        """
        kind = self.kind()
        if kind is RepoKind.MISSING:
            raise RepoMissing(self.root)
        if kind is RepoKind.KUBO:
            raise KuboRepo(self.root)
        if kind is RepoKind.OTHER:
            raise NotARepo(self.root, "it holds other files")
        text = read_plain(self.version, MAX_VERSION_TEXT).strip()
        if not text.isdigit():
            raise NotARepo(self.root, "its version file holds no number")
        found = int(text)
        if found > REPO_FORMAT:
            raise RepoTooNew(self.root, found)
        return found

    def create(self) -> None:
        """Create the directories and, last, the version file. Repeating it is harmless.

        Raises:
            KuboRepo, NotARepo, RepoTooNew: nothing was written. OSError.
        """
        kind = self.kind()
        if kind is not RepoKind.MISSING:
            self.check()
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self.blocks, self.state, self.index):
            directory.mkdir(parents=True, exist_ok=True)
        self.keystore.mkdir(exist_ok=True, mode=0o700)
        if not self.version.exists():
            part = self.root / "version.part"
            with new_plain(part) as file:
                file.write(b"%d\n" % REPO_FORMAT)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.version)
