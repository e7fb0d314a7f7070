"""What each alert is tried on: series that must make it fire by a time, and series on which it must be silent."""

from __future__ import annotations

from dataclasses import dataclass, field

SELECTED = 'job="penstock",namespace="llm"'
"""What a scrape of this release adds to every series; `played` puts it in."""


@dataclass(frozen=True)
class Case:
    """`labels` are those of the alert that fires, besides its name and severity."""

    fires: dict[str, str]
    quiet: tuple[dict[str, str], ...]
    labels: dict[str, str] = field(default_factory=dict)
    at: str = "30m"


def _of(**labels: str) -> dict[str, str]:
    return {"job": "penstock", "namespace": "llm", **labels}


def _rising(start: int, step: int, minutes: int) -> str:
    return f"{start}+{step}x{minutes}"


_REQUESTS = 'penstock_requests_total{model="chat",code="200"}'
_FAILED = 'penstock_errors_total{model="chat",engine="llama",kind="engine_error"}'
_CLIENTS_OWN = 'penstock_errors_total{model="chat",engine="llama",kind="invalid_field"}'
_IN_TIME = 'penstock_time_to_first_token_seconds_bucket{model="chat",le="5.0"}'
_FIRST = 'penstock_time_to_first_token_seconds_count{model="chat"}'
_READY = 'penstock_replicas{engine="llama",state="ready"}'
_UNHEALTHY = 'penstock_replicas{engine="llama",state="unhealthy"}'
_ARM = 'penstock_experiment_weight{model="chat",experiment="e1",arm="canary"}'
_COUNTED = 'penstock_experiment_requests_total{model="chat",experiment="e1",arm="control"}'
_LOST = 'penstock_experiment_exposure_lost_total{model="chat",experiment="e1"}'
_MISMATCH = 'penstock_experiment_evidence{model="chat",experiment="e1",metric="units",test="mismatch"}'
_COPIED = 'penstock_shadow_requests_total{model="chat",result="answered"}'
_COPY_FAILED = 'penstock_shadow_requests_total{model="chat",result="failed"}'
_DROPPED = 'penstock_shadow_dropped_total{{model="chat",reason="{}"}}'
_HELD = 'penstock_release_{}_seconds{{model="chat",experiment="chat",arm="canary",instance="{}"}}'

ALERTS: dict[str, Case] = {
    "PenstockErrorBudgetBurnsFast": Case(
        fires={_REQUESTS: _rising(0, 1000, 120), _FAILED: _rising(0, 20, 120)},
        quiet=(
            {_REQUESTS: _rising(0, 1000, 120), _FAILED: _rising(0, 10, 120)},
            {_REQUESTS: _rising(0, 1000, 120), _CLIENTS_OWN: _rising(0, 500, 120)},
            {_REQUESTS: "0x120", _FAILED: "0x120"},
        ),
        labels=_of(model="chat"),
        at="90m",
    ),
    "PenstockErrorBudgetBurnsSlowly": Case(
        fires={_REQUESTS: _rising(0, 1000, 480), _FAILED: _rising(0, 8, 480)},
        quiet=({_REQUESTS: _rising(0, 1000, 480), _FAILED: _rising(0, 5, 480)},),
        labels=_of(model="chat"),
        at="420m",
    ),
    "PenstockFirstTokenLate": Case(
        fires={_FIRST: _rising(0, 100, 120), _IN_TIME: _rising(0, 60, 120)},
        quiet=(
            {_FIRST: _rising(0, 100, 120), _IN_TIME: _rising(0, 80, 120)},
            {_FIRST: "7x120", _IN_TIME: "0x120"},  # no traffic at all
        ),
        labels=_of(model="chat"),
        at="90m",
    ),
    "PenstockGatewayAbsent": Case(
        fires={'up{instance="a"}': "0x60"},  # and where there is none at all: `test_rules`
        quiet=({'up{instance="a"}': "1x60", 'up{instance="b"}': "0x60"},),
        labels=_of(),
    ),
    "PenstockLoopStale": Case(
        fires={'penstock_loop_last_success_age_seconds{loop="health",instance="a"}': "400x60"},
        quiet=({'penstock_loop_last_success_age_seconds{loop="prices",instance="a"}': "120x60"},),
        labels=_of(loop="health"),
    ),
    "PenstockScalingStopped": Case(
        fires={
            'penstock_loop_last_success_age_seconds{loop="scaling:llama",instance="a"}': "90x60",
            'penstock_loop_last_success_age_seconds{loop="scaling:llama",instance="b"}': "2x60",
        },
        quiet=(
            {'penstock_loop_last_success_age_seconds{loop="leader_election",instance="a"}': "20x60"},
            {'penstock_loop_last_success_age_seconds{loop="drift",instance="a"}': "90x60"},
        ),
        labels=_of(loop="scaling:llama"),
    ),
    "PenstockGateStopped": Case(
        fires={
            'penstock_loop_last_success_age_seconds{loop="releases",instance="a"}': "20x60",
            'penstock_loop_last_success_age_seconds{loop="releases",instance="b"}': "0x60",
            'penstock_experiment_weight{model="chat",experiment="chat",arm="canary"}': "0.05x60",
        },
        quiet=(
            {'penstock_loop_last_success_age_seconds{loop="releases",instance="a"}': "20x60"},  # and no experiment
            {
                'penstock_loop_last_success_age_seconds{loop="releases",instance="a"}': "0x60",
                'penstock_loop_last_success_age_seconds{loop="drift",instance="a"}': "20x60",
                'penstock_experiment_weight{model="chat",experiment="chat",arm="canary"}': "0.05x60",
            },
        ),
        labels=_of(),
    ),
    "PenstockLoopRestarts": Case(
        fires={'penstock_loop_restarts_total{loop="health"}': _rising(0, 1, 60)},
        quiet=({'penstock_loop_restarts_total{loop="health"}': "0x10 1x50"},),
        labels=_of(loop="health"),
    ),
    "PenstockConfigurationRefused": Case(
        fires={'penstock_config_reloads_total{result="refused"}': "0x25 1x30"},
        quiet=(
            {'penstock_config_reloads_total{result="applied"}': "0x25 1x30"},
            {'penstock_config_reloads_total{result="refused"}': "3x60"},
        ),
        labels=_of(),
    ),
    "PenstockOutOfDescriptors": Case(
        fires={'penstock_out_of_descriptors_total{instance="a"}': "0x25 5x30"},
        quiet=({'penstock_out_of_descriptors_total{instance="a"}': "5x60"},),
        labels=_of(),
    ),
    "PenstockRecordsLost": Case(
        fires={'penstock_records_dropped_total{sink="store"}': "0x20 9x30"},
        quiet=({'penstock_records_dropped_total{sink="store"}': "9x60"},),
        labels=_of(sink="store"),
    ),
    "PenstockStoreAway": Case(
        fires={'penstock_store_away{instance="a"}': "1x60", 'penstock_store_away{instance="b"}': "0x60"},
        quiet=({'penstock_store_away{instance="a"}': "0x20 1x5 0x30"},),
        labels=_of(),
    ),
    "PenstockSheds": Case(
        fires={'penstock_shed_total{model="chat",reason="full"}': _rising(0, 6, 60)},
        quiet=({'penstock_shed_total{model="chat",reason="full"}': "6x60"},),
        labels=_of(model="chat", reason="full"),
    ),
    "PenstockQueueStands": Case(
        fires={'penstock_queue_tokens{model="chat"}': "5000x60"},
        quiet=(
            {'penstock_queue_tokens{model="chat"}': "5000x20 0 5000x30"},
            {'penstock_queue_tokens{model="chat"}': "_x25 5000x30"},
        ),
        labels=_of(model="chat"),
    ),
    "PenstockCacheFull": Case(
        fires={'penstock_engine_kv_usage_ratio{engine="llama",replica="a"}': "0.99x60"},
        quiet=({'penstock_engine_kv_usage_ratio{engine="llama",replica="a"}': "0.9x60"},),
        labels=_of(engine="llama", replica="a"),
    ),
    "PenstockBreakerOpen": Case(
        fires={'penstock_breaker_open{engine="llama",replica="a"}': "1x60"},
        quiet=({'penstock_breaker_open{engine="llama",replica="a"}': "0x27 1x2 0x30"},),
        labels=_of(engine="llama", replica="a"),
    ),
    "PenstockReplicaUnhealthy": Case(
        fires={_UNHEALTHY: "1x60", _READY: "3x60"},
        quiet=({_UNHEALTHY: "0x60", _READY: "0x60"},),
        labels=_of(engine="llama"),
    ),
    "PenstockNoReplica": Case(
        fires={_UNHEALTHY: "2x60", _READY: "0x60"},
        quiet=({_UNHEALTHY: "1x60", _READY: "1x60"}, {_UNHEALTHY: "0x60", _READY: "0x60"}),  # scaled to zero
        labels=_of(engine="llama"),
    ),
    "PenstockReplicasMissing": Case(
        fires={'penstock_replicas_wanted{engine="llama"}': "4x90", _READY: "2x90"},
        quiet=({'penstock_replicas_wanted{engine="llama"}': "4x90", _READY: "2x20 4x70"},),
        labels=_of(engine="llama"),
        at="60m",
    ),
    "PenstockScalingFails": Case(
        fires={'penstock_scale_writes_total{engine="llama",result="foreign"}': _rising(0, 1, 60)},
        quiet=(
            {'penstock_scale_writes_total{engine="llama",result="foreign"}': "0x20 1x40"},
            {'penstock_scale_writes_total{engine="llama",result="conflict"}': _rising(0, 1, 60)},
        ),
        labels=_of(engine="llama", result="foreign"),
    ),
    "PenstockSleepFails": Case(
        fires={'penstock_replica_sleeps_total{engine="llama",result="wake_failed"}': _rising(0, 1, 60)},
        quiet=(
            {'penstock_replica_sleeps_total{engine="llama",result="wake_failed"}': "0x20 1x40"},
            {'penstock_replica_sleeps_total{engine="llama",result="woken"}': _rising(0, 1, 60)},
            {'penstock_replica_sleeps_total{engine="llama",result="shortage"}': _rising(0, 1, 60)},
        ),
        labels=_of(engine="llama", result="wake_failed"),
    ),
    "PenstockNobodyScales": Case(
        fires={'penstock_leader{instance="a"}': "0x60", 'penstock_leader{instance="b"}': "0x60"},
        quiet=({'penstock_leader{instance="a"}': "1x20 0x40", 'penstock_leader{instance="b"}': "0x20 1x40"},),
        labels=_of(),
    ),
    "PenstockReleaseRolledBack": Case(
        fires={_ARM: "0.05x20 0x40"},
        quiet=({_ARM: "0.05x60"}, {_ARM: "0x60"}),
        labels=_of(model="chat", experiment="e1", arm="canary"),
    ),
    "PenstockExposureLost": Case(
        fires={_COUNTED: _rising(0, 100, 120), _LOST: _rising(0, 9, 120)},
        quiet=({_COUNTED: _rising(0, 100, 120), _LOST: _rising(0, 4, 120)}, {_COUNTED: "5x120", _LOST: "1x120"}),
        labels=_of(model="chat", experiment="e1"),
        at="90m",
    ),
    "PenstockAssignmentBroken": Case(
        fires={_MISMATCH: "1.2x60"},
        quiet=({_MISMATCH: "0.9x60"}, {_MISMATCH.replace("mismatch", "rollback"): "1.2x60"}),
        labels=_of(model="chat", experiment="e1"),
    ),
    "PenstockReleaseHeld": Case(
        fires={_HELD.format("held", "a"): "0+60x120", _HELD.format("max_hold", "a"): "1800x120"},
        quiet=(
            {_HELD.format("held", "a"): "0+60x120", _HELD.format("max_hold", "a"): "86400x120"},
            {_HELD.format("held", "a"): "0x120", _HELD.format("max_hold", "a"): "1800x120"},
            {_HELD.format("held", "a"): "9000x120"},  # another gateway decides by now
        ),
        labels=_of(model="chat", experiment="chat", arm="canary"),
        at="90m",
    ),
    "PenstockGateMissesRequests": Case(
        fires={
            'penstock_experiment_observations_lost_total{instance="a"}': "0x60",
            'penstock_release_observations_dropped_total{instance="a"}': _rising(0, 5, 60),
        },
        quiet=(
            {
                'penstock_experiment_observations_lost_total{instance="a"}': "7x60",
                'penstock_release_observations_dropped_total{instance="a"}': "7x60",
            },
        ),
        labels=_of(),
    ),
    "PenstockShadowFails": Case(
        fires={_COPIED: _rising(0, 80, 120), _COPY_FAILED: _rising(0, 20, 120)},
        quiet=(
            {_COPIED: _rising(0, 95, 120), _COPY_FAILED: _rising(0, 5, 120)},
            {_COPIED: "7x120", _COPY_FAILED: "7x120"},
        ),
        labels=_of(model="chat"),
        at="90m",
    ),
    "PenstockShadowBudgetSpent": Case(
        fires={_DROPPED.format("budget"): _rising(0, 3, 120)},
        quiet=({_DROPPED.format("budget"): "3x120"}, {_DROPPED.format("load"): _rising(0, 3, 120)}),
        labels=_of(model="chat"),
        at="60m",
    ),
    "PenstockShadowDropped": Case(
        fires={_DROPPED.format("no_replica"): _rising(0, 3, 120)},
        quiet=(
            {_DROPPED.format("load"): _rising(0, 3, 120), _COPIED: _rising(0, 4, 120)},
            {_DROPPED.format("budget"): _rising(0, 9, 120), _COPIED: _rising(0, 1, 120)},
            {_DROPPED.format("load"): "9x120"},
        ),
        labels=_of(model="chat"),
        at="90m",
    ),
    "PenstockDrift": Case(
        fires={'penstock_drift{model="chat",arm="control",signal="output_tokens"}': "1.3x60"},
        quiet=({'penstock_drift{model="chat",arm="control",signal="output_tokens"}': "0.8x60"},),
        labels=_of(model="chat", arm="control", signal="output_tokens"),
    ),
}
