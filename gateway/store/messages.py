"""What workers, the control plane and the writer of records say to each other, over links (`gateway.links.link`)."""

from __future__ import annotations

import msgspec

from gateway.store.evaluations.messages import EvaluatorFinding, UseEvaluators
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.releases.messages import ReleasesChanged, ReleasesSynced, SyncReleases
from gateway.store.scalings.messages import KeepScalings, ScalingsKept


class Start(msgspec.Struct):
    """What a writer is to use: its first line of standard input, as JSON."""

    url: str
    """Empty: SQLite in the data directory."""
    data_dir: str
    retention_days: int
    log_level: str
    log_format: str
    content_retention_days: int = 30


class Batch(msgspec.Struct, tag="batch"):
    """Some records of one worker. The writer answers with `Stored`; one that is sent twice is stored once."""

    run: str
    """Whose: the part that the ids of one worker process have in common."""
    number: int
    """Of this batch, among those of its run."""
    slices: list[bytes]
    """Each as `gateway.store.sending.carried` makes it."""
    count: int
    """Of the records in them."""

    @property
    def size_bytes(self) -> int:
        """Of the records."""
        return sum(map(len, self.slices))


class Contents(msgspec.Struct, tag="contents"):
    """Prompts and answers of one worker's requests, of models that keep them; as `Batch` otherwise."""

    run: str
    number: int
    slices: list[bytes]
    """Each is msgpack of a list of `gateway.store.contents.content.Content`."""
    count: int


class GpuHour(msgspec.Struct, array_like=True, frozen=True):
    """What one engine has cost in one hour, as far as one worker is charged for it."""

    hour: int
    """Since 1970."""
    engine: str
    busy_nanousd: int
    idle_nanousd: int


class GpuHours(msgspec.Struct, tag="gpu_hours"):
    """What own engines have cost by the hour, as far as one worker is charged for it; as `Batch` otherwise."""

    run: str
    number: int
    slices: list[bytes]
    """Each is msgpack of a list of `GpuHour`."""
    count: int


class Stored(msgspec.Struct, tag="stored"):
    """The writer has these batches for good: in the database, or in a file of its own."""

    numbers: list[int]


class AskState(msgspec.Struct, tag="ask_state"):
    """Asks for `State`."""


class State(msgspec.Struct, tag="state"):
    """How the store is."""

    refused: str = ""
    """Why this gateway may not use the database at all; a sentence for the operator."""
    away: str = ""
    """Why the database cannot be reached now; empty when it can."""
    stored: int = 0
    """Records written since the writer started."""
    lost: int = 0
    """Records of workers that were killed, found missing since the writer started."""
    spilled_bytes: int = 0
    """What waits in files."""
    contents: dict[str, int] = {}
    """Of prompts and answers, since the writer started: how many were `stored`, and why others were not."""
    evaluations: dict[str, int] = {}
    """Of evaluations in the same way, by `evaluator/result`."""
    findings: list[EvaluatorFinding] = []
    """What evaluators have found since this was asked last."""


class KeySpent(msgspec.Struct, array_like=True, frozen=True):
    """What one key has spent, in US dollars."""

    key_id: str
    tenant: str
    day_usd: float
    month_usd: float


class AskSpent(msgspec.Struct, tag="ask_spent"):
    """Asks for `Spent`."""

    now_s: float
    """Unix time: which day and month (UTC) are meant."""


class Spent(msgspec.Struct, tag="spent"):
    """What keys have spent, as far as it is in the database."""

    keys: list[KeySpent]
    away: str = ""
    """Why that is not known."""


class AskRead(msgspec.Struct, tag="ask_read"):
    """Asks for `Read`."""

    what: str
    """`records`, `costs`, `decisions`, `scalings`, `shadow` or `drift`."""
    asked: dict[str, str]
    """The words of the query (`gateway.store.reports.asked`)."""
    now_s: float


class Read(msgspec.Struct, tag="read"):
    """What the store says to a query."""

    document: bytes = b""
    """JSON."""
    wrong: str = ""
    """Why what is asked for makes no sense; a sentence for whoever asked."""
    away: str = ""
    """Why there is no answer now."""


class UseControls(msgspec.Struct, tag="use_controls"):
    """From now on these are the control arms of experiments, with which drift compares the others, and the models."""

    controls: dict[str, str]
    """By model."""
    models: list[str] = []
    """All that are configured. Drift looks at the names of a wildcard as one."""


class SeenVersion(msgspec.Struct, array_like=True, frozen=True):
    """Of its engine one replica is this version."""

    engine: str
    replica: str
    version: str
    """Empty where it is there no more."""
    since_ms: int
    """Unix time at which it said so first."""


class NoteVersions(msgspec.Struct, tag="note_versions"):
    """Which versions replicas are: what is new, those that have gone too, or all that is known."""

    versions: list[SeenVersion]


class FreezeDrift(msgspec.Struct, tag="freeze_drift"):
    """Asks for `Read`: compare a model with the week before now, from now on."""

    model: str
    key_id: str


ToWriter = (
    Batch
    | Contents
    | GpuHours
    | AskState
    | AskSpent
    | AskRead
    | SyncReleases
    | FreezeDrift
    | GiveFeedback
    | UseEvaluators
    | UseControls
    | KeepScalings
    | NoteVersions
)
FromWriter = Stored | State | Spent | Read | ReleasesSynced | ReleasesChanged | FeedbackGiven | ScalingsKept
