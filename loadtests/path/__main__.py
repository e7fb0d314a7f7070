"""`python -m loadtests.path`: what the path through a gateway costs, and against its peers."""

from __future__ import annotations

import sys

from loadtests.path.bench import main

sys.exit(main(sys.argv[1:]))
