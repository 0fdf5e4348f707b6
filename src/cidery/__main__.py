"""``python -m cidery`` is ``cidery``."""

from cidery.cli.main import run

run()
