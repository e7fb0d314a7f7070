"""What plays many runs at once needs numpy, and serving does not: without it those tests are left out."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("numpy") is not None else ["test_releases.py"]
