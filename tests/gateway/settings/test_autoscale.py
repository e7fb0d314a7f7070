from __future__ import annotations

import pytest

from gateway.settings import ConfigError, load_settings


def refused(engine: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(f"engines: {{e: {{{engine}}}}}\nmodels: {{m: {{targets: [{{engine: e}}]}}}}\n", {})
    return " ".join(str(caught.value).split())


def test_it_says_how_many_and_when() -> None:
    text = """
    engines:
      e:
        kind: vllm
        launch: {model: m}
        autoscale: {min: 0, max: 4, schedule: [{begin: "22:00", end: "06:00", min: 0, max: 1}], timezone: Europe/Berlin}
    models: {m: {targets: [{engine: e}]}}
    """
    engine = load_settings(text, {}).settings.engines["e"]
    assert engine.autoscale is not None
    assert (engine.autoscale.min, engine.autoscale.max, engine.autoscale.hold_s) == (0, 4, 300.0)
    assert engine.autoscale.schedule[0].days == ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    plan = engine.launch_plan(["m"], {})
    assert plan is not None
    assert plan.replicas == 0


@pytest.mark.parametrize(
    ("engine", "at", "says"),
    [
        ("kind: simulator, autoscale: {min: 5, max: 4}", "engines.e.autoscale ", "has a min above its max"),
        ("kind: simulator, autoscale: {min: 0}", "engines.e.autoscale.max", "is missing"),
        (
            "kind: simulator, autoscale: {max: 4, timezone: Mars/Olympus}",
            "engines.e.autoscale.timezone",
            "should be a time zone such as Europe/Berlin",
        ),
        (
            'kind: simulator, autoscale: {max: 4, schedule: [{begin: "8:00", end: "20:00", min: 1, max: 2}]}',
            "engines.e.autoscale.schedule[0].begin",
            'should be a time of the day such as "08:30"',
        ),
        (
            'kind: simulator, autoscale: {max: 4, schedule: [{begin: "08:00", end: "08:00", min: 1, max: 2}]}',
            "engines.e.autoscale.schedule[0]",
            "begins when it ends",
        ),
        ("kind: simulator, replicas: 2, autoscale: {max: 4}", "engines.e.replicas", "does not go with autoscale"),
        (
            "kind: vllm, launch: {model: m, replicas: 1}, autoscale: {max: 4}",
            "engines.e.launch.replicas",
            "does not go with autoscale",
        ),
        (
            'kind: vllm, replicas: [{url: "http://a:1"}], autoscale: {max: 4}',
            "engines.e.autoscale",
            "is for servers that the gateway launches, finds and scales in Kubernetes, or has sleep",
        ),
        (
            "kind: vllm, discover: {kubernetes: {service: e}}, autoscale: {max: 4}",
            "engines.e.autoscale.kubernetes",
            "is missing: the servers are found, so something has to say what is scaled",
        ),
        (
            "kind: vllm, discover: {dns: {host: e, port: 8000}}, autoscale: {max: 4, kubernetes: {name: e}}",
            "engines.e.autoscale.kubernetes",
            "needs pods that are known by name",
        ),
        (
            "kind: vllm, discover: {kubernetes: {service: e}}, "
            "autoscale: {max: 4, sleep: {most: 2}, kubernetes: {kind: LeaderWorkerSet, name: e}}",
            "engines.e.autoscale.sleep.most",
            "needs a Deployment with deletion_cost",
        ),
        (
            "kind: vllm, discover: {kubernetes: {service: e}}, "
            "autoscale: {max: 4, sleep: {most: 2}, kubernetes: {name: e, deletion_cost: false}}",
            "engines.e.autoscale.sleep.most",
            "another replica would be stopped in place of one that sleeps",
        ),
        (
            "kind: simulator, autoscale: {max: 4, kubernetes: {name: e}}",
            "engines.e.autoscale.kubernetes",
            "is for servers that run in Kubernetes, not for those that the gateway launches",
        ),
        (
            "kind: vllm, discover: {kubernetes: {service: e}}, autoscale: {max: 4, kubernetes: {kind: Pod, name: e}}",
            "engines.e.autoscale.kubernetes.kind",
            "Deployment or LeaderWorkerSet",
        ),
        (
            "kind: vllm, discover: {kubernetes: {service: e}},"
            " autoscale: {max: 4, kubernetes: {kind: LeaderWorkerSet, name: e, deletion_cost: true}}",
            "engines.e.autoscale.kubernetes",
            "has deletion_cost, which a LeaderWorkerSet does not follow: its last replicas go first",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_key_named(engine: str, at: str, says: str) -> None:
    told = refused(engine)
    assert at in told
    assert says in told


def test_an_engine_in_kubernetes_says_what_is_scaled() -> None:
    text = (
        "engines: {e: {kind: vllm, discover: {kubernetes: {service: e}},"
        " autoscale: {min: 0, max: 4, kubernetes: {name: e}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
        "autoscale: {lease: {name: penstock-autoscaler}}\n"
    )
    with pytest.raises(ConfigError) as refused:
        load_settings(text, {})
    assert "autoscale.lease" in str(refused.value)
    assert "needs peers: whoever holds it would stop replicas that other gateways stream from" in str(refused.value)
    text += "admin: {listen: '0.0.0.0:8081'}\npeers: {dns: penstock-peers, port: 8081, key: sk-of-the-peers}\n"
    settings = load_settings(text, {}).settings
    section = settings.engines["e"].autoscale
    assert section is not None
    assert section.kubernetes is not None
    assert (section.kubernetes.kind, section.kubernetes.deletion_cost) == ("Deployment", False)
    assert settings.autoscale.lease is not None
    assert settings.autoscale.lease.name == "penstock-autoscaler"


@pytest.mark.parametrize(
    "sleep", ["sleep: {}, kubernetes: {name: e}", "sleep: {most: 2}, kubernetes: {name: e, deletion_cost: true}"]
)
def test_so_many_may_sleep_where_it_can_be_chosen_who_is_stopped(sleep: str) -> None:
    engine = f"{{kind: vllm, discover: {{kubernetes: {{service: e}}}}, autoscale: {{max: 4, {sleep}}}}}"
    text = f"engines: {{e: {engine}}}\nmodels: {{m: {{targets: [{{engine: e}}]}}}}\n"
    assert load_settings(text, {}).settings.engines["e"].autoscale is not None
