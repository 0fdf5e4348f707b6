"""``python -m cidery`` is ``cidery``."""

import sys

from cidery.cli.main import main

sys.exit(main())
