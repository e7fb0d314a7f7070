"""What the control plane and its workers say to each other. msgpack, never pickle; every message is complete.

What asks and what answers is written at each; the numbers of questions are the link's (`gateway.links.questions`).

Lists of pairs rather than dictionaries keyed by tuples, because msgpack maps want plain keys.
"""

from __future__ import annotations

import msgspec

from gateway.experiments.seen import Seen
from gateway.explanation.views import AskRouting, Explained
from gateway.fleet.members import Member
from gateway.responses.homes import Home
from gateway.settings.sealed import Sealed
from gateway.telemetry.metrics import Sample, Series
from gateway.workers.exchange.demand import AskDemand, Demand, EngineStarts, Woken


class Configure(msgspec.Struct, tag="configure"):
    """Asks for `Configured`: use a configuration that was read and checked, and what only we know."""

    sealed: Sealed
    workers: int
    members: list[bytes]
    """All that is known of replicas beyond the text: who serves engines that it names no replicas for, who is down, who
    drains. In parts (`gateway.fleet.members.packed`); what a later one says of a replica holds."""
    store: str = ""
    """The socket at which records are taken; empty where none are kept."""
    shares: dict[str, dict[str, float]] = {}
    """By experiment and arm, where something else than the text has the last word; see `ArmShares`."""


class MembersChanged(msgspec.Struct, tag="members_changed"):
    """What is new of these replicas; the others are as they were."""

    members: list[Member]


class ReplicaLoad(msgspec.Struct, array_like=True, frozen=True):
    """What a worker, or all others together, have in flight at one replica."""

    engine: str
    replica: str
    tokens: int
    prefill_tokens: int
    requests: int

    @property
    def figures(self) -> tuple[int, int, int]:
        return self.tokens, self.prefill_tokens, self.requests

    def with_more(self, more: ReplicaLoad) -> ReplicaLoad:
        return ReplicaLoad(
            self.engine,
            self.replica,
            self.tokens + more.tokens,
            self.prefill_tokens + more.prefill_tokens,
            self.requests + more.requests,
        )


class RemoteLoad(msgspec.Struct, tag="remote_load"):
    """What the other workers have in flight; at a replica not listed, nothing."""

    replicas: list[ReplicaLoad]


class GatewaysCounted(msgspec.Struct, tag="gateways_counted"):
    """How many gateways that share no index of prompts choose among the replicas of these engines, this one included;
    among those of any other it chooses alone."""

    engines: dict[str, int]


class LoadReport(msgspec.Struct, array_like=True, frozen=True):
    """What the engine of one replica says of its load. None is what it does not tell."""

    engine: str
    replica: str
    running: int | None
    waiting: int | None
    kv_usage: float | None
    cache_tokens: int | None
    restarted: bool = False
    """Since the report before: its cache is empty."""


class LoadReports(msgspec.Struct, tag="load_reports"):
    """What engines say of their load now. One that is not told again within some intervals is as good as idle."""

    interval_s: float
    reports: list[LoadReport]


class PrefixesSent(msgspec.Struct, tag="prefixes_sent"):
    """Prompts that a worker has sent, by replica; the control plane passes them on to the others as they are."""

    sent: list[tuple[str, str, list[bytes]]]
    """Engine, replica, and the packed keys of each prompt (`routing.prefix.index`)."""


class CacheChange(msgspec.Struct, array_like=True, frozen=True):
    """What an engine told of a prompt in its cache."""

    engine: str
    replica: str
    keys: bytes
    """The packed keys of the prompt; empty for all prompts."""
    holds: int
    """How many of those blocks it holds, and no more."""


class CachesChanged(msgspec.Struct, tag="caches_changed"):
    """What engines told of their caches, in order."""

    changes: list[CacheChange]


class CacheFollowed(msgspec.Struct, array_like=True, frozen=True):
    """How well the cache of one replica is followed by what its engine tells of it."""

    engine: str
    replica: str
    wanted: bool
    """Whether prompts are of use whose tokens can be counted."""
    complete: bool
    """Whether all that it holds was told."""


class CachesFollowed(msgspec.Struct, tag="caches_followed"):
    """What is new of these replicas."""

    replicas: list[CacheFollowed]


class PromptSampled(msgspec.Struct, tag="prompt_sampled"):
    """A prompt that was sent to a replica whose cache is followed."""

    engine: str
    replica: str
    model: str
    operation: str
    body: bytes
    keys: bytes


class ModelCard(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a public model: zero and empty where nobody said. `created` is Unix time in seconds."""

    name: str
    created: int
    owned_by: str
    max_model_len: int


class ModelsKnown(msgspec.Struct, tag="models_known"):
    """What is known of every public model, wildcards too."""

    cards: list[ModelCard]


class ReplicaAdapters(msgspec.Struct, array_like=True, frozen=True):
    """The LoRA adapters that one replica holds, of those that the configuration names."""

    engine: str
    replica: str
    adapters: list[str]


class AdaptersHeld(msgspec.Struct, tag="adapters_held"):
    """What is new of these replicas."""

    replicas: list[ReplicaAdapters]


class AdaptersUsed(msgspec.Struct, tag="adapters_used"):
    """Requests came for these, by engine and adapter."""

    adapters: list[tuple[str, str]]


class AskAdapter(msgspec.Struct, tag="ask_adapter"):
    """Asks for `AdapterAnswer`: have a replica load this adapter; `more`: one more than hold it."""

    engine: str
    adapter: str
    more: bool = False


class AdapterAnswer(msgspec.Struct, tag="adapter_answer"):
    """The answer to `AskAdapter`; `problem` is empty when a replica holds it."""

    problem: str = ""


class AskCounters(msgspec.Struct, tag="ask_counters"):
    """Asks for `Counters`."""


class ExpositionPart(msgspec.Struct, tag="exposition_part"):
    """Some lines of the answer to one scrape. Parts, because to copy 7 MB at once holds the streams up for 7 ms."""

    scrape: int
    text: bytes


class Exposition(msgspec.Struct, tag="exposition"):
    """The answer to `AskExposition`: so many parts were told before it."""

    parts: int


class Keys(msgspec.Struct, tag="keys"):
    """Only the API keys have changed: these are all there are now."""

    keys: list[bytes]
    """In parts (`gateway.accounts.keys.packed_keys`): there may be 10,000."""
    open: bool = False
    """`auth.open`: without keys, any Host is served."""


class AccessToken(msgspec.Struct, tag="access_token", frozen=True):
    """An engine is asked with this one from now on."""

    engine: str
    token: str

    def __repr__(self) -> str:
        return f"AccessToken({self.engine!r})"


class AdminAnswer(msgspec.Struct, tag="admin_answer"):
    """The answer to `AdminRequest`: an HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class RenewCertificate(msgspec.Struct, tag="renew_certificate"):
    """Asks for `Renewed`: the files of `server.tls` have changed; show what they hold now."""


class Drain(msgspec.Struct, tag="drain"):
    """Asks for `Drained`: accept nothing new, finish what runs, then exit."""

    grace_s: float


class Reopen(msgspec.Struct, tag="reopen"):
    """Open log files anew (they were rotated)."""


class Configured(msgspec.Struct, tag="configured"):
    """The answer to `Configure`; `problem` is empty when the configuration is in use."""

    problem: str = ""


class Renewed(msgspec.Struct, tag="renewed"):
    """The answer to `RenewCertificate`; `problem` is empty when the new one is shown."""

    problem: str = ""


class SeriesCounted(msgspec.Struct, tag="series_counted"):
    """Series that have changed since they were told last, with everything they ever counted."""

    series: list[Series]


class Counters(msgspec.Struct, tag="counters"):
    """The counters and gauges that belong to no series. As an answer: all series that have changed were told before."""

    counters: list[Sample]
    gauges: list[Sample]


class Load(msgspec.Struct, tag="load"):
    """What this worker has in flight; at a replica not listed, nothing."""

    replicas: list[ReplicaLoad]


class AdminRequest(msgspec.Struct, tag="admin_request"):
    """Asks for `AdminAnswer`: an HTTP request for `/admin`, passed through as it came."""

    method: str
    path: bytes
    """As sent, percent-encoding and all."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in order."""
    body: bytes


class AskExposition(msgspec.Struct, tag="ask_exposition"):
    """Asks for `Exposition`, and the parts before it: somebody scrapes this worker, which calls it by this number."""

    scrape: int


class Drained(msgspec.Struct, tag="drained"):
    """Nothing is in progress any more."""


class ResponseKept(msgspec.Struct, tag="response_kept"):
    """An engine may keep this response."""

    home: Home


class AskResponse(msgspec.Struct, tag="ask_response"):
    """Asks for `ResponseHome`: some worker may have seen it."""

    response_id: str


class ResponseHome(msgspec.Struct, tag="response_home"):
    """The answer to `AskResponse`; None where nobody has."""

    home: Home | None


class Observed(msgspec.Struct, tag="observed"):
    """What this worker has seen of the requests of experiments."""

    seen: Seen


class ArmShares(msgspec.Struct, tag="arm_shares"):
    """From now on the arms of this experiment have these parts of its units; the control has the rest."""

    experiment: str
    """Its identity."""
    shares: dict[str, float]


class Cover(msgspec.Struct, tag="cover"):
    """The worker of a seat is gone: accept its connections too; or it is there again."""

    seat: int
    on: bool


ToWorker = (
    Configure
    | MembersChanged
    | RemoteLoad
    | GatewaysCounted
    | LoadReports
    | PrefixesSent
    | CachesChanged
    | CachesFollowed
    | EngineStarts
    | AskDemand
    | AdaptersHeld
    | ModelsKnown
    | AdapterAnswer
    | AskCounters
    | AskRouting
    | ExpositionPart
    | Exposition
    | Keys
    | AccessToken
    | RenewCertificate
    | AdminAnswer
    | ResponseHome
    | Drain
    | Reopen
    | ArmShares
    | Cover
)
ToPlane = (
    Configured
    | Renewed
    | SeriesCounted
    | Counters
    | Load
    | Demand
    | Woken
    | PrefixesSent
    | PromptSampled
    | AdaptersUsed
    | AskAdapter
    | AskExposition
    | AdminRequest
    | AskResponse
    | ResponseKept
    | Drained
    | Explained
    | Observed
)
