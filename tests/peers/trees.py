"""Files and folders to share, and their comparison byte for byte."""

import hashlib
import os
import random
from pathlib import Path

FILE_BYTES = 64 * 1024 * 1024
TREE_FILES = 500


def write_file(path: Path, size: int = FILE_BYTES, seed: int = 1) -> Path:
    """A file of ``size`` bytes that nobody could have guessed or deduplicated; the same for the same seed."""
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def write_tree(root: Path, files: int = TREE_FILES, seed: int = 2) -> Path:
    """Nested folders with hidden and empty files, names beyond ASCII, and symlinks, one of which leads nowhere."""
    source = random.Random(seed)
    for at in range(files):
        folder = root / f"part {at % 7}" / ("." * (at % 3 == 0) + f"sub{at % 5}")
        folder.mkdir(parents=True, exist_ok=True)
        size = 0 if at % 50 == 0 else source.randrange(1, 30_000) if at % 100 else 700_000
        (folder / f"{'.' * (at % 10 == 0)}file-{at}-é.bin").write_bytes(source.randbytes(size))
    (root / "empty").mkdir()
    (root / "to-a-file").symlink_to("part 1/sub1/file-1-é.bin")
    (root / "to-a-folder").symlink_to("part 2")
    (root / "part 3" / "to-nowhere").symlink_to("../gone")
    return root


def digest(path: Path, *, links_as_text: bool = False) -> dict[str, str]:
    """What is at ``path``: relative name -> sha256 of the bytes, "folder", or the target of a symlink.

    ``links_as_text``: a symlink counts as a file that holds its target, which is how Kubo's library saves one.
    """
    if path.is_file():
        return {"": _sha256(path)}
    out: dict[str, str] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            entry = Path(folder, name)
            key = str(entry.relative_to(path))
            if entry.is_symlink():
                target = os.readlink(entry)
                out[key] = hashlib.sha256(target.encode()).hexdigest() if links_as_text else f"-> {target}"
            elif entry.is_dir():
                out[key] = "folder"
            else:
                out[key] = _sha256(entry)
    return out


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
