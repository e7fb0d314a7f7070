"""Engines that tell their load, each of them under a path of its own: `python -m loadtests.stall.telling`.

What `loadtests.path.backend` is at `/`, this is at `/0` to `/63` as well: as many replicas of one engine as URLs.
"""

from __future__ import annotations

import sys

from loadtests.path import backend
from loadtests.stall.stage import REPLICAS


def paths() -> dict[bytes, bytes]:
    """What is answered to whom."""
    return {b"/%d" % replica + path: answer for replica in range(REPLICAS) for path, answer in backend.GET.items()}


if __name__ == "__main__":
    backend.GET.update(paths())
    backend.main(sys.argv[1:])
