"""How good the guesses at what engines have cached are."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

PREFIX_MODE = gauge(
    "penstock_prefix_mode",
    "1 for how the gateway knows what a replica has cached: `events` (its engine tells of every block, and none was "
    "missed), `approximate` (what was sent there, compared with reported cached tokens), `unknown` (the first alone).",
    *("engine", "replica", "mode"),
    combine=most,
)
PREFIX_REPORTED = gauge(
    "penstock_prefix_reported",
    "1 where the engine reports how much of a prompt it had cached; 0 where that is unknown and only guessed at.",
    *("engine", "replica"),
    combine=most,
)
PREFIX_ERROR_TOKENS = gauge(
    "penstock_prefix_predicted_error_tokens",
    "Mean tokens of a prompt by which what was predicted to be cached differed from what the engine reported.",
    *("engine", "replica"),
    combine=most,  # the worst worker shows
)
PREFIX_ERROR_RATIO = gauge(
    "penstock_prefix_predicted_error_ratio",
    "The same as a part of the prompt, 0 to 1.",
    *("engine", "replica"),
    combine=most,
)

FAMILIES = (PREFIX_MODE, PREFIX_REPORTED, PREFIX_ERROR_TOKENS, PREFIX_ERROR_RATIO)
