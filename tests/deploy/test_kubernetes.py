"""The manifests: what the API's schemas say of them, and what they say of our commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from streammac.cli.app import app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.31"
"""Of Kubernetes: in use for long, and no newer than what clusters have."""
CUSTOM = {"PodMonitor"}
"""Kinds that the API itself does not know."""
OBJECTS = [
    one
    for path in sorted(FOLDER.glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text())
]  # fmt: skip


def named(kind: str, name: str) -> dict[str, Any]:
    return next(o for o in OBJECTS if (o["kind"], o["metadata"]["name"]) == (kind, name))


def pods() -> Iterator[dict[str, Any]]:
    for one in OBJECTS:
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["spec"]["template"]


def containers() -> Iterator[dict[str, Any]]:
    for pod in pods():
        yield from pod["spec"]["containers"]


@pytest.mark.parametrize(
    "manifest",
    [one for one in OBJECTS if one["kind"] not in CUSTOM],
    ids=lambda one: f"{one['kind']}/{one['metadata']['name']}",
)
def test_the_schemas_of_the_api_know_every_field(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("container", list(containers()), ids=lambda one: one["name"])
def test_commands_and_options_are_ours(container):
    name, *words = container["args"]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    values = {"$(POD_IP)": "10.0.0.1", "$(POD_NAME)": "w1"}
    for variable, value in values.items():
        words = [word.replace(variable, value) for word in words]
    words = [str(ROOT) if word.startswith("/") else word for word in words]  # a path that is there
    command.make_context(name, words)


@pytest.mark.parametrize("container", list(containers()), ids=lambda one: one["name"])
def test_probes_ask_what_is_answered(container):
    ports = {port["name"] for port in container["ports"]}
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] in ports
        paths[probe] = asked["path"]
    assert list(paths.values()) == ["/health", "/health", "/ready"]


def test_services_and_monitors_find_pods_and_ports():
    for one in OBJECTS:
        if one["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor"):
            selector = one["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            found = [pod for pod in pods() if wanted <= pod["metadata"]["labels"].items()]
            assert found, one["metadata"]["name"]
            ports = {
                p["name"] for pod in found for c in pod["spec"]["containers"] for p in c["ports"]
            }
            asked = {p["targetPort"] for p in one["spec"].get("ports", ())}
            asked |= {p["port"] for p in one["spec"].get("podMetricsEndpoints", ())}
            assert asked <= ports
    worker = named("StatefulSet", "streammac-worker")["spec"]
    assert named("Service", worker["serviceName"])["spec"]["clusterIP"] == "None"


def test_variables_of_services_are_not_taken_for_settings():
    # a service streammac-x would give every pod STREAMMAC_X_PORT and more, which are no settings
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods())


def test_the_settings_are_settings(tmp_path, monkeypatch):
    from streammac.settings.sources import load

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "streammac.toml"
    file.write_text(named("ConfigMap", "streammac")["data"]["streammac.toml"])
    environment = {
        variable["name"]: variable.get("value", "10.0.0.1")
        for variable in next(containers())["env"]
    }
    loaded = load(file, environment, {}, None)
    workers = named("StatefulSet", "streammac-worker")["spec"]["replicas"]
    assert loaded.settings.cluster.workers == workers
    assert loaded.settings.network.coordinator_port == 7000


def test_nobody_is_root():
    for pod in pods():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
