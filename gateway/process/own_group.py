"""A child in a process group of its own, in our session.

A terminal sends Ctrl-C to the group in front: to us, and not to a child that has only begun to start. A session of its
own would do that too, but Linux shares cores between sessions first (autogroups, sched(7)): a thread of the store that
stands back from all others would stand back within its own session alone, and take half of the gateway's core.
"""

from __future__ import annotations

import os
from typing import Final

OWN_GROUP: Final = os.setpgrp
"""For `preexec_fn`: one system call between fork and exec."""
