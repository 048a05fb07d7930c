"""The manifests are valid, confined, and agree with the code: ports, settings, keys, probes, times."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.__main__ import SHUTDOWN_S
from service.settings import Settings as ServiceSettings
from tests.deployment.test_deployment import command, known, stage
from tests.tree import ROOT
from workers.jobs import keys
from workers.runtime.settings import Settings as WorkerSettings
from workers.runtime.supervise.shutdown import GRACE_S

PLACE = ROOT / "deploy" / "kubernetes"
VERSION = "1.34"
KUBECTL = shutil.which("kubectl") or shutil.which("kustomize")
FILES = [
    path for path in sorted(PLACE.rglob("*.yaml")) if path.name != "kustomization.yaml" and "overlays" not in path.parts
]


def read(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


BASE = [one for path in FILES if "base" in path.parts for one in read(path)]
PODS: dict[str, dict[str, Any]] = {
    one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in BASE if "template" in one.get("spec", {})
}


def container(name: str) -> dict[str, Any]:
    (one,) = PODS[name]["containers"]
    found: dict[str, Any] = one
    return found


def settings_of(name: str) -> dict[str, str]:
    """The literals that both sides get, and the container's own."""
    (kustomization,) = read(PLACE / "base" / "kustomization.yaml")
    (shared,) = [one["literals"] for one in kustomization["configMapGenerator"] if one["name"] == "settings"]
    own = {one["name"]: one["value"] for one in container(name).get("env", [])}
    return dict(line.split("=", 1) for line in shared) | own


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLACE)))
def test_a_manifest_is_what_its_schema_says(path: Path) -> None:
    for one in read(path):
        if "keda" not in one["apiVersion"]:  # a resource of KEDA's own, whose schema is not Kubernetes'
            kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.skipif(KUBECTL is None, reason="neither kubectl nor kustomize is installed")
@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_an_overlay_builds(overlay: str) -> None:
    words = [str(KUBECTL), "kustomize"] if str(KUBECTL).endswith("kubectl") else [str(KUBECTL), "build"]
    built = subprocess.run([*words, str(PLACE / "overlays" / overlay)], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(built.stdout))
    for one in found:
        if "keda" not in one["apiVersion"]:
            kubernetes_validate.validate(one, VERSION, strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "whence"
    (worker,) = [one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"] == "worker"]
    (box,) = worker["spec"]["template"]["spec"]["containers"]
    assert "replicas" not in worker["spec"], "the scaler says how many"
    told = {one["name"]: one["value"] for one in box["env"]}
    assert told["WHENCE_DEVICE"] == {"cpu": "cpu", "gpu": "cuda"}[overlay]
    assert ("nvidia.com/gpu" in box["resources"]["limits"]) == (overlay == "gpu")
    assert told["WHENCE_METRICS_PORT"], "a patch merges"


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_confined(name: str) -> None:
    pod, box = PODS[name], container(name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert box["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert box["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in box["resources"]["limits"]
    assert {"readinessProbe", "livenessProbe"} <= box.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize(("name", "settings"), [("api", ServiceSettings), ("worker", WorkerSettings)])
def test_the_environment_names_settings_that_exist_and_suit(
    name: str, settings: type[ServiceSettings | WorkerSettings]
) -> None:
    told = settings_of(name)
    assert set(told) <= known(ServiceSettings) | known(WorkerSettings)
    assert set(told) & known(settings)
    fields = {key.removeprefix("WHENCE_").lower(): value for key, value in told.items() if key in known(settings)}
    settings.model_validate(fields)


def test_users_and_ports_are_those_of_the_images() -> None:
    assert f"USER {PODS['api']['securityContext']['runAsUser']}\n" in stage("slim")
    port = command("api")[command("api").index("--port") + 1]
    assert container("api")["ports"] == [{"name": "http", "containerPort": int(port)}]
    assert container("worker")["ports"][0]["containerPort"] == int(settings_of("worker")["WHENCE_METRICS_PORT"])
    for name in ("api", "worker"):
        assert container(name)["image"] == f"whence-{name}"


def test_every_volume_lies_where_the_code_looks() -> None:
    assert settings_of("api")["WHENCE_OBJECTS"] == "/objects"
    mounts = {
        name: {one["mountPath"]: one.get("readOnly", False) for one in container(name)["volumeMounts"]} for name in PODS
    }
    assert mounts["api"] == {"/tmp": False, "/objects": False, "/datasets": False}
    assert mounts["worker"] == {"/tmp": False, "/objects": False, "/datasets": True, "/models": True}
    claims = {one["metadata"]["name"] for one in BASE if one["kind"] == "PersistentVolumeClaim"}
    for name in ("api", "worker"):
        assert {v["persistentVolumeClaim"]["claimName"] for v in PODS[name]["volumes"] if "emptyDir" not in v} <= claims


def probes(name: str) -> Iterator[dict[str, Any]]:
    return (container(name)[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe"))


def test_probes_ask_what_exists() -> None:
    for probe in probes("api"):
        assert probe["httpGet"] == {"path": "/healthz", "port": "http"}
    for probe in probes("worker"):
        assert probe["exec"]["command"][:3] == ["python", "-m", "workers.alive"]
    living = container("worker")["livenessProbe"]
    assert living["exec"]["command"][3:] == ["--or-unheard"], "a Redis that is away is not cured by another worker"
    assert living["periodSeconds"] * living["failureThreshold"] >= 600, (
        "an absence of Redis is no reason to start again"
    )


def test_there_is_time_to_end_well() -> None:
    sleeps = int(container("api")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert PODS["api"]["terminationGracePeriodSeconds"] >= sleeps + SHUTDOWN_S + 5
    assert PODS["worker"]["terminationGracePeriodSeconds"] >= 10 * GRACE_S


def test_each_service_finds_its_pods() -> None:
    urls = settings_of("api")
    for one in BASE:
        if one["kind"] == "Service":
            name = one["metadata"]["name"]
            assert one["spec"]["selector"] == {"app": name}
            (port,) = one["spec"]["ports"]
            assert port["targetPort"] in {port["name"] for port in container(name)["ports"]}
    assert urls["WHENCE_REDIS_URL"] == "redis://redis-jobs:6379/0"
    assert urls["WHENCE_CACHE_URL"] == "redis://redis-cache:6379/0"


def test_nothing_is_reached_that_no_policy_names() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in BASE if one["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    selected = policies["redis"]["podSelector"]["matchExpressions"][0]["values"]
    assert set(selected) | {"api", "worker"} == set(PODS)
    (source,) = policies["redis"]["ingress"][0]["from"]
    assert source["podSelector"]["matchExpressions"][0]["values"] == ["api", "worker"]


def test_keda_counts_unfinished_jobs_in_the_redis_of_the_jobs() -> None:
    scaled, allowed = read(PLACE / "components" / "keda" / "scale.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "redis"
    assert trigger["metadata"]["listName"] == keys.OPEN
    assert trigger["metadata"]["address"] == "redis-jobs.whence.svc.cluster.local:6379"
    assert scaled["spec"]["scaleTargetRef"] == {"name": "worker"}
    assert scaled["spec"]["minReplicaCount"] >= 1
    assert allowed["spec"]["podSelector"] == {"matchLabels": {"app": "redis-jobs"}}


def test_the_configmap_holds_the_files_that_redis_reads() -> None:
    (kustomization,) = read(PLACE / "base" / "kustomization.yaml")
    (files,) = [one["files"] for one in kustomization["configMapGenerator"] if one["name"] == "redis"]
    assert all((PLACE / "base" / file).is_file() for file in files)
    for name in ("redis-jobs", "redis-cache"):
        assert container(name)["command"][1].removeprefix("/etc/") in files
