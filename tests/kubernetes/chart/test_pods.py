"""What schemas do not see in rendered objects: names that point to nothing, arithmetic, rights, and users' traps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kubernetes.chart.helm import LATEST, PRESETS, Objects, template
from tests.kubernetes.chart.schemas import CUSTOM, complaints, custom_complaints

MODES = ("none", "gateway", "keda", "hpa")
EVERYTHING: dict[str, Any] = {
    "ingress": {"enabled": True, "hosts": ["llm.example.com"]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "front"}]},
    "imagePullSecrets": [{"name": "pull"}],
    "engines": {
        "llama": {"autoscale": {"min": 1, "max": 16}, "apiKey": {"secret": "engine-keys"}},
        "deepseek": {"autoscale": {"min": 1, "max": 4}},
    },
}


def fleet(mode: str = "gateway", **values: Any) -> Objects:
    return template("helm4", "fleet", {**EVERYTHING, "autoscaling": {"mode": mode}, **values})


ALL = [pytest.param(template("helm4", name), id=name) for name in PRESETS]
ALL += [pytest.param(fleet(mode), id=f"fleet-{mode}") for mode in MODES]


def matches(selector: dict[str, str], pod: dict[str, Any]) -> bool:
    # What LeaderWorkerSet's own webhook adds to the pods of a group.
    added = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
    return selector.items() <= {**added, **pod["metadata"]["labels"]}.items()


def containers(objects: Objects) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(name, pod, it) for name, pod in objects.pods for it in pod["spec"]["containers"]]


@pytest.mark.parametrize("mode", MODES)
def test_every_object_of_every_mode_is_as_its_schema_says(mode: str) -> None:
    assert [] == complaints(fleet(mode), LATEST)
    if not CUSTOM.is_dir():
        pytest.skip(f"CUSTOM RESOURCES ARE NOT VALIDATED: their schemas are not at {CUSTOM}")
    assert [] == custom_complaints(fleet(mode))


@pytest.mark.parametrize("objects", ALL)
def test_every_selector_finds_pods_and_names_ports_that_they_have(objects: Objects) -> None:
    for it in objects:
        spec = it.get("spec", {})
        if it["kind"] == "Service":
            pods = [pod for _, pod in objects.pods if matches(spec["selector"], pod)]
            ports = {port["name"] for pod in pods for port in pod["spec"]["containers"][0].get("ports", ())}
            assert {port["targetPort"] for port in spec["ports"]} <= ports, it["metadata"]["name"]
        elif it["kind"] in ("NetworkPolicy", "PodDisruptionBudget", "Deployment"):
            selector = spec.get("podSelector") or spec.get("selector")
            assert any(matches(selector["matchLabels"], pod) for _, pod in objects.pods), it["metadata"]["name"]
        elif it["kind"] in ("ServiceMonitor", "PodMonitor"):
            kinds = objects.of("Service") if it["kind"] == "ServiceMonitor" else [pod for _, pod in objects.pods]
            found = [one for one in kinds if matches(spec["selector"]["matchLabels"], one)]
            assert found, it["metadata"]["name"]
            assert it["kind"] == "PodMonitor" or len(found) == 1, "a gateway must be scraped once"


@pytest.mark.parametrize("objects", ALL)
def test_no_two_workloads_share_pods(objects: Objects) -> None:
    for it in objects.of("Deployment"):
        labels = it["spec"]["selector"]["matchLabels"]
        assert [f"Deployment/{it['metadata']['name']}"] == [name for name, pod in objects.pods if matches(labels, pod)]


@pytest.mark.parametrize("objects", ALL)
def test_whatever_scales_or_routes_names_an_object_that_is_there(objects: Objects) -> None:
    there = {(it["kind"], it["metadata"]["name"]) for it in objects}
    for it in objects:
        spec = it.get("spec", {})
        wanted = [(target["kind"], target["name"]) for target in [spec.get("scaleTargetRef")] if target]
        if it["kind"] == "Ingress":
            paths = [path for rule in spec["rules"] for path in rule["http"]["paths"]]
            wanted += [("Service", path["backend"]["service"]["name"]) for path in paths]
        if it["kind"] == "HTTPRoute":
            wanted += [("Service", ref["name"]) for rule in spec["rules"] for ref in rule["backendRefs"]]
        if it["kind"] == "RoleBinding":
            wanted += [("Role", it["roleRef"]["name"])] + [(one["kind"], one["name"]) for one in it["subjects"]]
        assert [] == [one for one in wanted if one not in there]
    for name, pod in objects.pods:
        account = pod["spec"].get("serviceAccountName")
        assert account is None or ("ServiceAccount", account) in there, name
        for volume in pod["spec"].get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there, name
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there, name


@pytest.mark.parametrize("objects", ALL)
def test_every_pod_is_restricted_and_writes_only_into_volumes(objects: Objects) -> None:
    for name, pod, it in containers(objects):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert it["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert spec["enableServiceLinks"] is False, name
        assert not any("hostPath" in volume for volume in spec.get("volumes", ())), name
        assert {mount["name"] for mount in it.get("volumeMounts", ())} == {
            volume["name"] for volume in spec.get("volumes", ())
        }, name
        assert not any("subPath" in mount for mount in it.get("volumeMounts", ())), "a subPath is never updated"
        assert it["resources"].get("requests"), name


def test_pull_secrets_reach_every_pod() -> None:
    assert [] == [name for name, pod in fleet().pods if pod["spec"].get("imagePullSecrets") != [{"name": "pull"}]]


@pytest.mark.parametrize("drain", [0, 30, 3600])
def test_one_number_says_how_long_streams_get(drain: int) -> None:
    objects = template("helm4", "fleet", {"drainSeconds": drain})
    assert drain == objects.config["server"]["grace_s"]
    for name, pod, it in containers(objects):
        if it["name"] == "completion":
            continue
        (_, before) = it["lifecycle"]["preStop"]["exec"]["command"]
        assert (pod["spec"]["terminationGracePeriodSeconds"], name) == (int(before) + drain + 15, name)
        if it["name"] == "engine":
            assert str(drain) == it["args"][it["args"].index("--shutdown-timeout") + 1]


def test_a_rolling_update_never_lacks_a_gateway_and_never_waits_for_a_second_gpu() -> None:
    objects = fleet("none")
    assert {"maxUnavailable": 0, "maxSurge": 1} == objects.the("Deployment", "penstock")["spec"]["strategy"][
        "rollingUpdate"
    ]
    assert {"maxUnavailable": 1, "maxSurge": 0} == objects.the("Deployment", "llama")["spec"]["strategy"][
        "rollingUpdate"
    ]
    group = objects.the("LeaderWorkerSet")["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]
    assert {"maxUnavailable": 1, "maxSurge": 0} == group


def test_gateways_are_spread_over_nodes_and_zones_or_as_somebody_says() -> None:
    (_, pod), *_ = [one for one in fleet().pods if one[1]["spec"].get("topologySpreadConstraints")]
    spread = pod["spec"]["topologySpreadConstraints"]
    assert [(one["topologyKey"], one["whenUnsatisfiable"], one["maxSkew"]) for one in spread] == [
        ("kubernetes.io/hostname", "ScheduleAnyway", 1),
        ("topology.kubernetes.io/zone", "ScheduleAnyway", 1),
    ]
    assert all(matches(one["labelSelector"]["matchLabels"], pod) for one in spread)
    own = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    deployment = fleet(gateway={"topologySpreadConstraints": own}).the("Deployment", "penstock")
    assert deployment["spec"]["template"]["spec"]["topologySpreadConstraints"] == own


@pytest.mark.parametrize("seconds", [10, 601, 3600])
def test_a_model_that_loads_is_not_killed_and_no_deadline_ends_before_it(seconds: int) -> None:
    objects = template("helm4", "gpu", {"engines": {"qwen": {"startup": {"maxSeconds": seconds}}}})
    spec = objects.the("Deployment", "qwen")["spec"]
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert seconds <= probe["periodSeconds"] * probe["failureThreshold"] < seconds + 10
    assert spec["progressDeadlineSeconds"] > seconds + spec["template"]["spec"]["terminationGracePeriodSeconds"]


def test_vllm_has_shared_memory_a_writable_home_and_its_gpus() -> None:
    (engine,) = template("helm4", "gpu").the("Deployment", "qwen")["spec"]["template"]["spec"]["containers"]
    pod = template("helm4", "gpu").the("Deployment", "qwen")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {"medium": "Memory", "sizeLimit": "16Gi"} == volumes["shm"]["emptyDir"]
    assert {"tmp": "/tmp", "shm": "/dev/shm", "cache": "/cache"} == {
        mount["name"]: mount["mountPath"] for mount in engine["volumeMounts"]
    }
    assert [] == [
        one for one in engine["env"] if one["name"].endswith(("HOME", "DIR", "ROOT")) and "/cache" not in one["value"]
    ]
    assert {"nvidia.com/gpu": "1"} == engine["resources"]["limits"]


def test_secrets_are_references_and_files_never_text() -> None:
    objects = fleet()
    text = json.dumps([it for it in objects if it["kind"] != "Secret"])
    (peers,) = objects.of("Secret")
    assert peers["data"]["key"] not in text
    env = {one["name"]: one for _, _, it in containers(objects) for one in it.get("env", ())}
    assert {"name": "hf", "key": "token"} == env["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert {"name": "engine-keys", "key": "api-key"} == env["VLLM_API_KEY"]["valueFrom"]["secretKeyRef"]
    pod = objects.the("Deployment", "penstock")["spec"]["template"]["spec"]
    (files,) = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "secrets"]
    paths = {item["path"] for source in files["sources"] for item in source["secret"]["items"]}
    assert paths == {"openai", "chart/store-url", "chart/engine-llama", "chart/peers-key"}
    named = {word.split("}")[0] for word in json.dumps(objects.config).split("${file:/run/secrets/penstock/")[1:]}
    assert named == paths


def checksum(**values: Any) -> str:
    pod = template("helm4", "laptop", values).the("Deployment", "penstock")["spec"]["template"]
    found: str = pod["metadata"]["annotations"]["penstock.dev/restart-checksum"]
    return found


def test_pods_are_made_anew_for_what_a_running_gateway_cannot_take_and_for_nothing_else() -> None:
    same: list[dict[str, Any]] = [
        {"config": {"models": {"chat": {"slo": {"ttft_ms": 5}}}}},
        {"config": {"retry": {"max_attempts": 5}}},
        {"drainSeconds": 60},
        {"engines": {"sim": {"replicas": 3}}},
    ]
    other: list[dict[str, Any]] = [
        {"config": {"server": {"workers": 2}}},
        {"config": {"telemetry": {"log_level": "debug"}}},
        {"config": {"store": {"retention_days": 7}}},
        {"store": {"secret": "db"}},
    ]
    assert {checksum()} == {checksum(**values) for values in same}
    assert len(other) + 1 == len({checksum(), *(checksum(**values) for values in other)})


def test_an_engine_is_not_restarted_because_the_chart_has_a_new_version() -> None:
    for name, pod in template("helm4", "gpu").pods:
        labels = pod["metadata"]["labels"]
        assert name.startswith("Pod/") or not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys(), name


@pytest.mark.parametrize("mode", MODES)
def test_replicas_have_exactly_one_writer(mode: str) -> None:
    objects = fleet(mode)
    targets = [*objects.of("ScaledObject"), *objects.of("HorizontalPodAutoscaler")]
    scalers = {it["spec"]["scaleTargetRef"]["name"]: it["kind"] for it in targets}
    rights = [rule for it in objects.of("Role") for rule in it["rules"] if "/scale" in rule["resources"][0]]
    for it in [*objects.of("Deployment", "llama"), *objects.of("LeaderWorkerSet")]:
        name = it["metadata"]["name"]
        writers = {
            "none": "replicas" in it["spec"],
            "gateway": any(name in rule["resourceNames"] for rule in rights),
            "keda": scalers.get(name) == "ScaledObject",
            "hpa": scalers.get(name) == "HorizontalPodAutoscaler",
        }
        assert [mode] == [writer for writer, writes in writers.items() if writes]
    assert "HorizontalPodAutoscaler" == scalers["penstock"]
    assert "replicas" not in objects.the("Deployment", "penstock")["spec"]


def test_rights_are_by_name_and_only_where_they_are_needed() -> None:
    none = template("helm4", "laptop", {"engineDefaults": {"discovery": "dns"}})
    assert [] == [*none.of("Role"), *none.of("ServiceAccount")]
    assert [] == [name for name, pod in none.pods if pod["spec"]["automountServiceAccountToken"]]
    assert ["endpointslices"] == [
        resource for rule in template("helm4", "gpu").the("Role")["rules"] for resource in rule["resources"]
    ]
    rules = fleet().the("Role")["rules"]
    assert {"endpointslices", "deployments/scale", "leaderworkersets/scale", "leases", "pods"} == {
        resource for rule in rules for resource in rule["resources"]
    }
    by_kind = [rule for rule in rules if "resourceNames" not in rule]
    told = [(rule["resources"], rule["verbs"]) for rule in by_kind]
    watched, made = (["endpointslices"], ["get", "list", "watch"]), (["leases"], ["create"])
    assert [watched, made, (["pods"], ["list", "patch"])] == told
    silent = fleet(autoscaling={"mode": "gateway", "podDeletionCost": False}).the("Role")["rules"]
    assert [["list"]] == [rule["verbs"] for rule in silent if rule["resources"] == ["pods"]]
    mounted = [name for name, pod in fleet().pods if pod["spec"]["automountServiceAccountToken"]]
    assert ["Deployment/penstock"] == mounted


def test_rights_to_what_the_configuration_finds_in_this_namespace_are_granted_pools_by_name() -> None:
    found = {
        "one": {"kind": "vllm", "discover": {"kubernetes": {"pool": "llama"}}},
        "two": {"kind": "vllm", "discover": {"kubernetes": {"pool": "qwen", "namespace": "llm"}}},
        "elsewhere": {"kind": "vllm", "discover": {"kubernetes": {"pool": "x", "namespace": "other"}}},
        "abroad": {"kind": "vllm", "discover": {"kubernetes": {"pool": "y", "api_url": "https://10.0.0.1:6443"}}},
    }
    by_name = {"engineDefaults": {"discovery": "dns"}}
    objects = template("helm4", "laptop", {**by_name, "config": {"engines": found}})
    assert objects.the("Role")["rules"] == [
        {
            "apiGroups": ["inference.networking.k8s.io"],
            "resources": ["inferencepools"],
            "resourceNames": ["llama", "qwen"],
            "verbs": ["get", "list", "watch"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    ]
    mounted = [name for name, pod in objects.pods if pod["spec"]["automountServiceAccountToken"]]
    assert mounted == ["Deployment/penstock"]
    service = {"one": {"kind": "vllm", "discover": {"kubernetes": {"service": "llama"}}}}
    labels = {"one": {"kind": "vllm", "discover": {"kubernetes": {"labels": {"model": "llama"}, "port": 8000}}}}
    for engines, resources in (service, ["endpointslices"]), (labels, ["pods"]):
        (rule,) = template("helm3", "laptop", {**by_name, "config": {"engines": engines}}).the("Role")["rules"]
        assert (rule["resources"], rule["verbs"]) == (resources, ["get", "list", "watch"])


def test_engines_accept_the_gateway_and_prometheus_alone() -> None:
    (it,) = fleet().of("NetworkPolicy", "llama")
    requests, events = it["spec"]["ingress"]
    assert ([{"port": 8000}], [{"port": 5557}, {"port": 5558}]) == (requests["ports"], events["ports"])
    for rule, peers in ((requests, ["gateway", None]), (events, ["gateway"])):
        found = [peer.get("podSelector", peer.get("namespaceSelector"))["matchLabels"] for peer in rule["from"]]
        assert peers == [peer.get("app.kubernetes.io/component") for peer in found]


def test_what_vllm_publishes_of_its_cache_is_what_the_gateway_listens_to() -> None:
    objects = template("helm4", "gpu")
    (engine,) = objects.the("Deployment", "qwen")["spec"]["template"]["spec"]["containers"]
    told = json.loads(engine["args"][engine["args"].index("--kv-events-config") + 1])
    heard = objects.config["engines"]["qwen"]["kv_events"]
    assert (True, "zmq") == (told["enable_kv_cache_events"], told["publisher"])
    assert heard == {key: told[key].replace("*", "{host}") for key in ("endpoint", "replay_endpoint")}
    ports = {port["name"]: port["containerPort"] for port in engine["ports"]}
    assert {"http": 8000, "kv-events": 5557, "kv-replay": 5558} == ports


def test_a_budget_never_blocks_a_drain() -> None:
    assert [] == template("helm4", "gpu").of("PodDisruptionBudget")  # one replica each
    assert {1} == {it["spec"]["maxUnavailable"] for it in fleet().of("PodDisruptionBudget")}
    assert ["penstock", "penstock-deepseek", "penstock-llama"] == sorted(
        it["metadata"]["name"] for it in fleet().of("PodDisruptionBudget")
    )


def test_digests_count_before_tags() -> None:
    digest = "sha256:" + "a" * 64
    objects = template("helm4", "gpu", {"image": {"digest": digest}, "engineDefaults": {"image": {"digest": digest}}})
    assert {f"penstock@{digest}", f"vllm/vllm-openai@{digest}"} == {it["image"] for _, _, it in containers(objects)}
    assert not any(it["image"].endswith(":latest") for _, _, it in containers(template("helm4", "gpu")))


def test_a_group_of_nodes_is_one_vllm() -> None:
    template_ = fleet().the("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    leader, worker = (template_[f"{part}Template"]["spec"]["containers"][0] for part in ("leader", "worker"))
    assert 2 == template_["size"]
    assert ["--nnodes", "2", "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)"] == (
        leader["args"][leader["args"].index("--nnodes") :][:6]
    )
    assert ("--headless" in leader["args"], "--headless" in worker["args"]) == (False, True)
    assert "readinessProbe" not in worker


@pytest.mark.parametrize("objects", ALL)
def test_the_name_of_a_group_is_left_to_the_headless_service_that_its_controller_makes(objects: Objects) -> None:
    """It makes none where there is one, and by the chart's, workers would find only a leader that waits for them."""
    groups = {it["metadata"]["name"] for it in objects.of("LeaderWorkerSet")}
    assert set() == groups & {it["metadata"]["name"] for it in objects.of("Service")}


@pytest.mark.parametrize("discovery", ["kubernetes", "dns"])
def test_the_gateway_finds_the_leaders_of_groups_when_they_are_ready(discovery: str) -> None:
    mode = "gateway" if discovery == "kubernetes" else "none"
    objects = fleet(mode, engines={"deepseek": {"discovery": discovery}})
    (place,) = objects.config["engines"]["deepseek"]["discover"].values()
    service = objects.the("Service", "deepseek-leader")
    assert service["metadata"]["name"] == place.get("service", place.get("host"))
    assert "0" == service["spec"]["selector"]["leaderworkerset.sigs.k8s.io/worker-index"]
    assert "publishNotReadyAddresses" not in service["spec"]
    if mode == "none":
        return
    scaled = objects.config["engines"]["deepseek"]["autoscale"]["kubernetes"]
    assert {"kind": "LeaderWorkerSet", "name": objects.the("LeaderWorkerSet")["metadata"]["name"]} == {
        key: scaled[key] for key in ("kind", "name")
    }
