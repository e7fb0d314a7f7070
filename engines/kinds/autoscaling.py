"""How many replicas an engine may have, and what decides it: the section `autoscale` of an engine."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from engines.settings.discovery import Label
from engines.settings.fields import Number, Ratio, Seconds, Section, Text, Whole, wrong

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def _time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise wrong('should be a time of the day such as "08:30"')
    return value


def _zone(value: str) -> str:
    try:
        zone_of(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong(
            "should be a time zone such as Europe/Berlin (the package tzdata brings them, if the system has none)"
        ) from None
    return value


def zone_of(name: str) -> tzinfo:
    """A time zone by its name. UTC is there also where the system has no list of zones."""
    return UTC if name == "UTC" else ZoneInfo(name)


def minute_of(time: str) -> int:
    """The minute of the day of `HH:MM`."""
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


Time = Annotated[str, AfterValidator(_time)]
Replicas = Annotated[Whole, Field(ge=0, le=1024)]
MostReplicas = Annotated[Whole, Field(ge=1, le=1024)]


class ShiftSection(Section):
    """Other bounds, from one time of the day to another."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=DAYS, min_length=1, description="[mon, tue, wed, thu, fri]; left out, every day"
    )
    begin: Time = Field(description='a time of the day: "08:00"')
    end: Time = Field(description='"20:00"; before begin, it is that of the next day')
    min: Replicas = Field(description="the fewest replicas")
    max: MostReplicas = Field(description="the most")

    @model_validator(mode="after")
    def _bounds(self) -> ShiftSection:
        if self.min > self.max:
            raise wrong("has a min above its max")
        if self.begin == self.end:
            raise wrong("begins when it ends")
        return self


class WorkloadSection(Section):
    """The workload of Kubernetes' whose replicas the gateway writes, in the namespace of the engine's Service."""

    kind: Literal["Deployment", "LeaderWorkerSet"] = Field(
        default="Deployment", description="Deployment or LeaderWorkerSet"
    )
    name: Label = Field(description="its name; the right to get and patch its /scale is needed")
    deletion_cost: bool = Field(
        default=False,
        description="true drains those that a Deployment is to lose, and marks them; needs the right to patch pods",
    )
    drain_s: Seconds = Field(default=600.0, description="most seconds that one which is to go may finish its requests")
    start_s: Seconds = Field(default=1800.0, description="seconds in which a pod must serve; then its start has failed")
    unschedulable_s: Seconds = Field(
        default=180.0, description="seconds that a pod may wait for a node; then its start has failed"
    )

    @model_validator(mode="after")
    def _chosen(self) -> WorkloadSection:
        if self.deletion_cost and self.kind != "Deployment":
            raise wrong("has deletion_cost, which a LeaderWorkerSet does not follow: its last replicas go first")
        return self


class SleepSection(Section):
    """vLLM's sleep mode: what is not needed sleeps, and wakes in seconds, before anything else is started."""

    level: Literal[1, 2] = Field(
        default=1, description="1 keeps weights in the memory of the CPU, 2 reads them again when it wakes"
    )
    most: Annotated[Whole, Field(ge=1, le=1024)] = Field(
        default=1024, description="so many sleep at most; more are stopped, of those launched here or in Kubernetes"
    )
    wake_s: Seconds = Field(default=5.0, description="seconds that one takes to wake, until that has been measured")


class AutoscaleSection(Section):
    """Replicas that follow the traffic."""

    min: Replicas = Field(default=1, description="the fewest replicas; 0 lets the engine sleep, until a request comes")
    max: MostReplicas = Field(description="the most replicas")
    schedule: tuple[ShiftSection, ...] = Field(
        default=(), max_length=64, description='[{begin: "08:00", end: "20:00", min: 2, max: 8}]; the first that fits'
    )
    timezone: Annotated[Text, AfterValidator(_zone)] = Field(default="UTC", description="of the schedule's times")
    ttft_ms: Annotated[Number, Field(gt=0, le=3_600_000)] | None = Field(
        default=None, description="milliseconds to the first token; left out, the least slo.ttft_ms of its models"
    )
    attainment: Annotated[Ratio, Field(ge=0.5, le=0.9999)] = Field(
        default=0.99, description="what part of the requests shall have it so soon"
    )
    concurrency: Annotated[Whole, Field(ge=0, le=100_000)] = Field(
        default=0, description="requests that one replica may run at once; 0: prompts and KV cache say when it is full"
    )
    startup_s: Seconds | None = Field(
        default=None, description="seconds a replica takes to serve, until starts have been measured; left out, 120"
    )
    down_after_s: Seconds | None = Field(
        default=None, description="seconds for which fewer must have been enough; left out, it follows the start-up"
    )
    zero_after_s: Seconds = Field(default=300.0, description="seconds without a request, after which the last one goes")
    hold_s: Seconds = Field(default=300.0, description="seconds that a request may wait for the first replica")
    hold_tokens: Annotated[Whole, Field(ge=0, le=10**12)] = Field(
        default=2_000_000, description="prompt and expected output tokens that may wait for it, per model"
    )
    sleep: SleepSection | None = Field(
        default=None, description="{level: 1}: replicas sleep and wake (vLLM's sleep mode) before any stops or starts"
    )
    kubernetes: WorkloadSection | None = Field(
        default=None, description="{kind: Deployment, name: llama}: what is scaled; with discover: {kubernetes: ...}"
    )

    @model_validator(mode="after")
    def _bounds(self) -> AutoscaleSection:
        if self.min > self.max:
            raise wrong("has a min above its max")
        return self
