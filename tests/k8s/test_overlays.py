"""What each overlay is for."""

import json
import shutil
from pathlib import Path

import pytest
from django.urls import resolve

from server import config
from server.accounts.access import PUBLIC
from tests.k8s.manifests import K8S, OVERLAYS, build, find, named, needs_kubectl, of_kind, overlay, settings, templates
from tests.serving import ROOT

pytestmark = [pytest.mark.one_database, needs_kubectl]

ON_SQLITE = ("local", "usernetes")
ON_POSTGRESQL = ("production", "scale-out", "tracking")


def server(name: str) -> dict:
    return find(name, "Deployment", "tailrace")["spec"]


def container(name: str) -> dict:
    (only,) = server(name)["template"]["spec"]["containers"]
    return only


def volumes(name: str) -> dict[str, dict]:
    return {one["name"]: one for one in server(name)["template"]["spec"]["volumes"]}


def test_every_overlay_is_for_something_that_is_tested():
    assert sorted(ON_SQLITE + ON_POSTGRESQL) == OVERLAYS


@pytest.mark.parametrize("name", OVERLAYS)
def test_probes_tell_starting_no_database_and_stuck_apart(name: str):
    starting, ready, alive = (container(name)[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe"))
    assert starting["httpGet"] == alive["httpGet"] == {"path": "/healthz", "port": "http"}
    assert ready["httpGet"] == {"path": "/readyz", "port": "http"}
    for path in ("/healthz", "/readyz"):
        assert resolve(path).func.access == {"GET": PUBLIC}
    assert starting["periodSeconds"] * starting["failureThreshold"] >= 300, "a large log takes its time to migrate"
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 60, "who is busy is not stuck"
    assert ready["periodSeconds"] * ready["failureThreshold"] <= 10


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_ends_no_sooner_than_its_requests(name: str):
    from server.runtime import gunicorn_config

    slept = int(container(name)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert server(name)["template"]["spec"]["terminationGracePeriodSeconds"] > slept + gunicorn_config.graceful_timeout


@pytest.mark.parametrize("name", ON_SQLITE)
def test_sqlite_has_one_server_at_a_time(name: str):
    assert server(name)["strategy"] == {"type": "Recreate"} and server(name).get("replicas", 1) == 1
    assert volumes(name)["var"] == {"name": "var", "persistentVolumeClaim": {"claimName": "tailrace"}}
    assert not of_kind(name, "HorizontalPodAutoscaler", "StatefulSet")
    near = find(name, "CronJob", "tailrace-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["affinity"]
    assert near["podAffinity"], "its volume is on one node only"


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_production_replaces_its_servers_one_by_one(name: str):
    assert server(name)["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert "replicas" not in server(name), "applying it again would undo what the autoscaler did"
    spread = server(name)["template"]["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    scaler = find(name, "HorizontalPodAutoscaler", "tailrace")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tailrace"}
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert find(name, "PodDisruptionBudget", "tailrace")["spec"]["maxUnavailable"] == 1
    assert "emptyDir" in volumes(name)["var"]
    assert "PersistentVolumeClaim/tailrace" not in map(named, overlay(name))


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_server_and_backup_reach_the_database_in_the_same_way(name: str):
    backup = find(name, "CronJob", "tailrace-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (of_backup,) = backup["containers"]
    for one in (container(name), of_backup):
        assert one["env"] == [
            {
                "name": "TAILRACE_DATABASE_URL",
                "valueFrom": {"secretKeyRef": {"name": "tailrace-database", "key": "url"}},
            }
        ]
        assert {"name": "database-ca", "mountPath": "/run/secrets/tailrace-database", "readOnly": True} in one[
            "volumeMounts"
        ]
    own = {volume["name"]: volume for volume in backup["volumes"]}
    assert own["backups"]["persistentVolumeClaim"] == {"claimName": "tailrace-backups"}
    assert {volume: own[volume] for volume in volumes(name)} == volumes(name)
    assert "affinity" not in backup


def test_the_database_has_connections_for_all():
    arguments = find("production", "StatefulSet", "tailrace-postgresql")["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    (most,) = [int(one.partition("=")[2]) for one in arguments if one.startswith("max_connections=")]
    taken = config.load(
        {**settings("production"), "TAILRACE_DATABASE_URL": "postgresql://host/tailrace"}
    )  # of the secret
    pods = find("production", "HorizontalPodAutoscaler", "tailrace")["spec"]["maxReplicas"] + 1
    assert pods * taken.workers * (taken.threads + 3) + 20 <= most, "threads, what runs beside them, backups and people"


def test_the_database_takes_nothing_but_tls():
    rules = [
        line.split()
        for line in (K8S / "components" / "postgresql" / "pg_hba.conf").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert {rule[0] for rule in rules} == {"local", "hostssl"} and {rule[-1] for rule in rules} == {"scram-sha-256"}
    arguments = find("production", "StatefulSet", "tailrace-postgresql")["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert {"ssl=on", "hba_file=/etc/tailrace/pg_hba.conf"} <= set(arguments)


def test_a_database_of_ones_own_is_a_one_line_change(tmp_path: Path):
    shutil.copytree(K8S, tmp_path / "k8s")
    changed = tmp_path / "k8s" / "overlays" / "production" / "kustomization.yaml"
    lines = changed.read_text().splitlines(keepends=True)
    kept = [line for line in lines if "components/postgresql" not in line]
    assert len(kept) == len(lines) - 1
    changed.write_text("".join(kept))
    external = build(changed.parent)
    gone = [one for one in overlay("production") if one not in external]
    assert [one for one in external if one not in overlay("production")] == []
    assert {one["kind"] for one in gone} == {"StatefulSet", "Service", "NetworkPolicy", "ConfigMap"}
    assert all(one["metadata"]["name"].startswith("tailrace-postgresql") for one in gone)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_network_lets_through_what_is_needed(name: str):
    rules = find(name, "NetworkPolicy", "tailrace")["spec"]
    assert rules["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in rules["ingress"] for port in rule["ports"]] == [8080]
    out = {(port["port"], port["protocol"]) for rule in rules["egress"] for port in rule["ports"]}
    beside = {(port, "TCP") for port in (3900, 5000, 443)}  # the bucket, MLflow, the issuer
    assert out == {(53, "UDP"), (53, "TCP")} | ({(5432, "TCP")} if name in ON_POSTGRESQL else set()) | (
        beside if name == "tracking" else set()
    )


def test_compute_nodes_reach_usernetes_at_an_unprivileged_port_of_its_node():
    assert container("usernetes")["ports"] == [{"name": "http", "containerPort": 8080, "hostPort": 8080}]
    assert settings("usernetes")["TAILRACE_ALLOWED_HOSTS"] == "*"
    changed = {named(one) for one in overlay("usernetes") if one not in overlay("local")}
    kinds = {name.partition("/")[0] for name in changed}
    assert kinds == {"Namespace", "ConfigMap", "Deployment", "CronJob"}, changed  # the CronJob names the ConfigMap


def test_a_stream_stays_with_one_pod():
    policy = find("scale-out", "BackendTrafficPolicy", "tailrace")["spec"]
    assert policy["loadBalancer"] == {
        "type": "ConsistentHash",
        "consistentHash": {"type": "Header", "header": {"name": "X-Tailrace-Stream"}},
    }
    assert '"X-Tailrace-Stream"' in (ROOT / "client" / "tailrace" / "handles" / "session.py").read_text()
    assert policy["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "tailrace"}]


def test_a_gateway_repeats_only_what_no_pod_began_to_answer():
    triggers = find("scale-out", "BackendTrafficPolicy", "tailrace")["spec"]["retry"]["retryOn"]["triggers"]
    assert set(triggers) == {"connect-failure", "refused-stream"}


def test_every_request_has_a_way_through_the_gateway():
    route, gateway = (
        find("scale-out", "HTTPRoute", "tailrace")["spec"],
        find("scale-out", "Gateway", "tailrace")["spec"],
    )
    (listener,) = gateway["listeners"]
    assert route["parentRefs"] == [{"name": "tailrace", "sectionName": listener["name"]}]
    assert route["hostnames"] == [listener["hostname"]]
    assert listener["hostname"] in config.load(settings("scale-out")).hosts
    assert listener["protocol"] == "HTTPS" and settings("scale-out")["TAILRACE_BEHIND_TLS"] == "true"
    for rule in route["rules"]:
        assert rule["backendRefs"] == [{"name": "tailrace", "port": 8080}]
    endless = [
        one["path"]["value"]
        for rule in route["rules"]
        if rule["timeouts"]["request"] == "0s"
        for one in rule["matches"]
    ]
    assert set(endless) == {"/api/v1/events", "/api/stream"}
    for path in endless:
        assert resolve(path + "/" if path.startswith("/api/v1") else path + "/events/")
    assert route["rules"][-1]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]


def test_scale_out_changes_nothing_of_production():
    assert all(one in overlay("scale-out") for one in overlay("production"))
    added = [one for one in overlay("scale-out") if one not in overlay("production")]
    assert {one["kind"] for one in added} == {"Gateway", "HTTPRoute", "BackendTrafficPolicy"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_backups_are_kept_apart_from_what_they_are_of(name: str):
    job = find(name, "CronJob", "tailrace-backup")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    (of_backup,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "manage.py backup" in json.dumps(of_backup["command"])
    mounts = {one["name"]: one["mountPath"] for one in of_backup["volumeMounts"]}
    assert mounts["backups"] == "/backups" != mounts["var"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_of_the_server_have_one_user_and_its_files(name: str):
    users = {
        (context["runAsUser"], context["runAsGroup"], context["fsGroup"])
        for where, template in templates(name)
        for context in [template["spec"]["securityContext"]]
        if "postgresql" not in where
    }
    assert len(users) == 1
