"""What the operator should know of each replica when the gateway opens: reachable, or what is in the way and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines.turns import own_turn
from gateway.control.asking.targets import Said
from routing.replicas.replica import ReplicaKey

if TYPE_CHECKING:
    from gateway.admin.replicas import ReplicaStatus
    from gateway.control.asking.health import HealthBoard
    from gateway.settings import Settings

REACHABLE: Final = "reachable"
UNREACHABLE: Final = "unreachable"
NOT_ASKED: Final = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One replica as it was found."""

    engine: str
    replica: str
    state: str
    """`reachable`, `unreachable`, `refused`, `wrong model`, `not asked`; or what a launched one is doing."""
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is known to be in the way."""
        return self.state in (REACHABLE, NOT_ASKED)


async def found_in_steps(
    settings: Settings, replicas: Iterable[Iterable[ReplicaStatus]], board: HealthBoard, said: Mapping[ReplicaKey, Said]
) -> list[Finding]:
    """All of them, an engine at a time: there may be 19,200, and requests are served meanwhile. The board is told that
    the operator has been told why some cannot be reached."""
    found: list[Finding] = []
    for statuses in replicas:
        here = findings(settings, statuses, board.why, said)
        for one in here:
            if one.state == UNREACHABLE:
                board.told((one.engine, one.replica), one.why)
        found += here
        await own_turn()
    return found


def findings(
    settings: Settings,
    statuses: Iterable[ReplicaStatus],
    failed: Mapping[ReplicaKey, str],
    said: Mapping[ReplicaKey, Said],
) -> list[Finding]:
    """All replicas, in the order of `statuses`.

    Args:
        settings: The configuration in use.
        statuses: Which replicas there are.
        failed: What the last probe of a replica said, where it did not go well.
        said: What replicas said when they were asked for their models.
    """
    return [Finding(status.engine, status.replica, *_found(settings, status, failed, said)) for status in statuses]


def _found(
    settings: Settings, status: ReplicaStatus, failed: Mapping[ReplicaKey, str], heard: Mapping[ReplicaKey, Said]
) -> tuple[str, str]:
    key = (status.engine, status.replica)
    why, said = failed.get(key), heard.get(key)
    if why is not None:
        return UNREACHABLE, why
    if status.state not in ("ready", "unhealthy"):
        return status.state, ""
    if said is not None and said.state != REACHABLE:
        return said.state, said.why
    if said is not None and said.lacks:
        return "wrong model", f"it has no {', '.join(repr(model) for model in said.lacks[:3])}"
    section = settings.engines.get(status.engine)
    asked = said is not None or section is None or section.health_path is not None
    return (REACHABLE, "") if asked else (NOT_ASKED, "it has no free endpoint to ask")
