"""The configurations of the places have the size that is claimed, and a change of one replica is one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gateway.settings import load_settings
from loadtests.path.backend import GET
from loadtests.stall.stage import Looked, Place, StallError, builds, config, key_of, program_of, started
from loadtests.stall.telling import paths

MAX_CONFIG_BYTES = 1 << 20


def test_the_fleet_has_300_models_of_64_replicas_and_fits_a_configuration_file() -> None:
    made = config(Place.FLEET, "http://127.0.0.1:12345", "http://p", Path("/w"))
    assert (301, 301) == (len(made["models"]), len(made["engines"]))
    assert {64} == {len(made["engines"][f"e{number:03d}"]["replicas"]) for number in range(300)}
    assert len(json.dumps(made, separators=(",", ":"))) < MAX_CONFIG_BYTES


def test_replacing_a_replica_changes_one_and_adds_the_model_that_tells() -> None:
    before = config(Place.FLEET, "http://b", "http://p", Path("/w"))
    after = config(Place.FLEET, "http://b", "http://p", Path("/w"), extra="x", replaced=1)
    changed = [name for name in before["engines"] if before["engines"][name] != after["engines"][name]]
    assert (["e000"], {"x"}) == (changed, after["models"].keys() - before["models"].keys())
    pairs = zip(before["engines"]["e000"]["replicas"], after["engines"]["e000"]["replicas"], strict=True)
    assert 1 == sum(old != new for old, new in pairs)


def test_a_thousand_models_share_one_engine() -> None:
    made = config(Place.MODELS, "http://b", "http://p", Path("/w"))
    assert (1000, 1) == (len(made["models"]), len(made["engines"]))


def test_the_scaled_fleet_is_the_same_with_replicas_that_are_all_needed() -> None:
    fleet, scaled = (config(place, "http://b", "http://p", Path("/w")) for place in (Place.FLEET, Place.SCALED))
    assert fleet["models"] == scaled["models"]
    for name in fleet["models"].keys() - {"bench"}:
        engine = scaled["engines"][f"e{name[1:]}"]
        assert engine == fleet["engines"][f"e{name[1:]}"] | {"autoscale": {"min": 64, "max": 64, "sleep": {}}}
    document = load_settings(json.dumps(scaled), {})
    assert (300, ()) == (sum(one.autoscale is not None for one in document.settings.engines.values()), document.notices)


def test_ten_thousand_keys_are_others_each_time_and_none_but_ours_where_they_were_dropped() -> None:
    dropped, one, two = ([*_keys(keys)] for keys in (0, 1, 2))
    assert (1, 10_001, 10_001) == (len(dropped), len(one), len(two))
    assert dropped[0] == one[0] == two[0]
    assert not set(one[1:]) & set(two[1:])
    assert hashlib.sha256(key_of(2, 9_999).encode()).hexdigest() == two[-1]


def _keys(keys: int) -> list[str]:
    made = config(Place.KEYS, "http://b", "http://p", Path("/w"), keys=keys)
    assert len(json.dumps(made, separators=(",", ":"))) < MAX_CONFIG_BYTES
    return [key["sha256"] for key in made["auth"]["keys"]]


def test_engines_that_tell_their_load_do_so_at_each_path() -> None:
    told = paths()
    assert {told[b"/%d/metrics" % replica] for replica in range(64)} == {GET[b"/metrics"]}
    assert b"kv_cache_usage_perc" in GET[b"/metrics"]
    assert len(told) == 64 * len(GET)


def test_a_build_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StallError, match=r"there is no .*/penstock"):
        program_of(tmp_path / "python")


def test_the_compiled_build_is_measured_too_where_it_is_installed(tmp_path: Path) -> None:
    ours = program_of(None)
    assert builds(None, tmp_path) == {"penstock": ours}
    compiled = tmp_path / "compiled" / "bin" / "penstock"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    assert builds(None, tmp_path) == {"penstock": ours, "penstock compiled": str(compiled)}
    assert builds(compiled.with_name("python"), tmp_path) == {"penstock": str(compiled)}


def test_a_window_begins_when_the_log_says_that_the_start_is_over() -> None:
    before = '{"level":"info","event":"config_notice","notice":"\\"event\\": \\"ready\\""}\nno JSON\n'
    assert not started(before)
    assert started(before + '{"level": "info", "event": "ready", "url": "http://127.0.0.1:1"}\n')


def test_and_once_the_first_look_at_the_engines_has_ended() -> None:
    looked = Looked("health")

    def over(age_s: str) -> bool:
        family = "penstock_loop_last_success_age_seconds"
        lines = [f"# TYPE {family} gauge", f'{family}{{loop="date"}} 0.1', f'{family}{{loop="health"}} {age_s}', ""]
        return looked.over("\n".join(lines))

    assert not looked.over("")
    assert [over(age_s) for age_s in ("0.5", "41.5", "41.5", "83.25", "0.75", "1.75")] == [False] * 4 + [True, False]
