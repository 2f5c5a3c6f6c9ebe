"""Every overlay is what Kubernetes takes, and its parts find each other."""

import functools
import json
import re
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from django.urls import reverse
from kubernetes_validate import utils

from server import config
from server.accounts.roles import ROLES
from tests.k8s.manifests import (
    K8S,
    OVERLAYS,
    SECRETS,
    build,
    find,
    named,
    needs_kubectl,
    of_kind,
    overlay,
    settings,
    templates,
)
from tools import release

pytestmark = [pytest.mark.one_database, needs_kubectl]

VERSIONS = ("1.30", "1.34", "1.37")
GATEWAYS = ("gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1")
"""Of custom resources, whose schemas Kubernetes doesn't have."""

OTHERS = {
    "tailrace-postgresql": "StatefulSet",
    "tailrace-garage": "StatefulSet",
    "tailrace-mlflow": "Deployment",
    "tailrace-keycloak": "Deployment",
}
"""What components add, with the kind of resource that runs it."""

PARTS = {"tailrace", *OTHERS}
TAGS = {
    "docker.io/library/postgres": "17.7-bookworm",
    "docker.io/dxflrs/garage": "v2.3.0",
    "registry.example.org/mlflow": "3.17.2",
    "registry.example.org/keycloak": "26.4.7",
}


@pytest.fixture(autouse=True, scope="module")
def _each_schema_is_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid_strictly(version: str):
    seen = set()
    for name in OVERLAYS:
        for resource in overlay(name):
            content = json.dumps(resource, sort_keys=True)
            if resource["apiVersion"] in GATEWAYS or content in seen:
                continue
            seen.add(content)
            assert kubernetes_validate.validate(resource, version, strict=True) == version, named(resource)
    assert len(seen) > 20


def test_a_field_that_kubernetes_does_not_know_is_noticed():
    deployment = json.loads(json.dumps(find("local", "Deployment", "tailrace")))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_resource_is_labeled_and_in_the_namespace(name: str):
    for resource in overlay(name):
        if resource["kind"] != "Namespace":
            assert resource["metadata"]["namespace"] == "tailrace", named(resource)
        if resource["kind"] not in ("ConfigMap", "Namespace"):
            labels = resource["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] in PARTS, named(resource)
            assert labels["app.kubernetes.io/part-of"] == "tailrace", named(resource)
    for where, template in templates(name):
        assert template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "tailrace", where


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_selector_finds_pods(name: str):
    pods = {where: template["metadata"]["labels"].items() for where, template in templates(name)}
    expected = {
        ("Service", "tailrace"): {"Deployment/tailrace"},
        ("PodDisruptionBudget", "tailrace"): {"Deployment/tailrace"},
        ("NetworkPolicy", "tailrace"): {"Deployment/tailrace", "CronJob/tailrace-backup"},
        ("Deployment", "tailrace"): {"Deployment/tailrace"},
    }
    for part, runs in OTHERS.items():
        expected |= {(kind, part): {f"{runs}/{part}"} for kind in ("Service", "NetworkPolicy", runs)}
    for resource in of_kind(name, *{kind for kind, _ in expected}):
        spec = resource["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        wanted = selector.get("matchLabels", selector).items()
        found = {where for where, labels in pods.items() if wanted <= labels}
        assert found == expected[resource["kind"], resource["metadata"]["name"]], named(resource)


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_that_a_pod_names_is_there(name: str):
    there = {named(resource) for resource in overlay(name)}
    for where, template in templates(name):
        pod = template["spec"]
        needed = {f"ServiceAccount/{pod['serviceAccountName']}"}
        for container in pod["containers"]:
            needed |= {f"ConfigMap/{one['configMapRef']['name']}" for one in container.get("envFrom", [])}
            mounted = {one["name"] for one in container["volumeMounts"]}
            own = {one["metadata"]["name"] for one in find_claims(name, where)}
            assert mounted == {one["name"] for one in pod["volumes"]} | own, where
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                needed.add(f"PersistentVolumeClaim/{volume['persistentVolumeClaim']['claimName']}")
            if "configMap" in volume:
                needed.add(f"ConfigMap/{volume['configMap']['name']}")
        assert needed <= there, where


def find_claims(name: str, where: str) -> list[dict]:
    """The claims that a StatefulSet makes for its pods."""
    kind, _, resource = where.partition("/")
    return find(name, kind, resource)["spec"].get("volumeClaimTemplates", [])


@pytest.mark.parametrize("name", OVERLAYS)
def test_secrets_come_by_reference_alone(name: str):
    assert not of_kind(name, "Secret")
    for where, template in templates(name):
        for volume in template["spec"]["volumes"]:
            if "secret" in volume:
                secret = volume["secret"]
                assert secret["secretName"] in SECRETS, where
                assert {item["key"] for item in secret.get("items", [])} <= SECRETS[secret["secretName"]], where
                assert secret["defaultMode"] == 0o440, f"{where}: {volume['name']} can be read by all"
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    assert reference["key"] in SECRETS[reference["name"]], where
                else:
                    names_a_secret = any(word in variable["name"] for word in ("PASSWORD", "SECRET", "TOKEN", "URL"))
                    may_stand_there = variable["name"].endswith(("_FILE", "_ENDPOINT_URL"))
                    assert not names_a_secret or may_stand_there, f"{where}: {variable['name']}"
    for variable in settings(name):
        assert variable not in ("TAILRACE_SECRET_KEY", "TAILRACE_DATABASE_URL")


@pytest.mark.parametrize("name", OVERLAYS)
def test_images_are_pinned_and_the_server_is_of_this_version(name: str):
    version = release.version()
    for where, template in templates(name):
        for container in template["spec"]["containers"]:
            image, _, tag = container["image"].rpartition(":")
            assert "/" in image, f"{where}: {container['image']}: which registry?"
            assert tag == (version if image.endswith("/tailrace") else TAGS[image]), where


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_server_takes_its_settings(name: str):
    taken = config.load(settings(name) | {"TAILRACE_DATABASE_URL": "postgresql://tailrace:secret@db/tailrace"})
    assert taken.bind == "0.0.0.0:8080" and taken.hosts and taken.auth == "required"
    limit = find(name, "Deployment", "tailrace")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limit["memory"] == "2Gi" and taken.workers * taken.replica_memory_mb <= 1024


def test_a_changed_setting_rolls_the_pods(tmp_path: Path):
    shutil.copytree(K8S, tmp_path / "k8s")
    changed = tmp_path / "k8s" / "base" / "settings.env"
    changed.write_text(changed.read_text() + "TAILRACE_LOG_LEVEL=DEBUG\n")
    (before,) = [one["metadata"]["name"] for one in of_kind("local", "ConfigMap")]
    after = build(tmp_path / "k8s" / "overlays" / "local")
    assert before not in json.dumps(after)


def test_every_directory_is_used():
    """A component or an overlay that nothing builds would go stale."""
    named_somewhere = {
        (path.parent / one).resolve()
        for path in K8S.rglob("kustomization.yaml")
        for key in ("resources", "components")
        for one in yaml.safe_load(path.read_text()).get(key, [])
    }
    directories = {path.parent for path in K8S.rglob("kustomization.yaml")}
    assert directories - named_somewhere <= {K8S / "overlays" / name for name in OVERLAYS}
    files = {path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"}
    texts = "".join(path.read_text() for path in K8S.rglob("kustomization.yaml"))
    assert all(path.name in texts for path in files)


def test_all_who_use_the_bucket_use_one_key():
    """The name of a key is no secret, and stands in three places."""
    garage, mlflow = (
        {
            one["name"]: one.get("value")
            for one in find("tracking", kind, name)["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        for kind, name in (("StatefulSet", "tailrace-garage"), ("Deployment", "tailrace-mlflow"))
    )
    key = garage["GARAGE_DEFAULT_ACCESS_KEY"]
    assert key == mlflow["AWS_ACCESS_KEY_ID"] == settings("tracking")["TAILRACE_FILES_ACCESS_KEY"]
    assert re.fullmatch("GK[0-9a-f]{24}", key), "Garage takes no other"
    assert garage["GARAGE_DEFAULT_BUCKET"] == settings("tracking")["TAILRACE_FILES_BUCKET"]


def test_each_group_of_the_issuer_has_a_role():
    realm = json.loads((K8S / "components" / "keycloak" / "tailrace-realm.json").read_text())
    of_server = settings("tracking")
    taken = config.load(of_server | {"TAILRACE_DATABASE_URL": "postgresql://tailrace:secret@db/tailrace"})
    assert {group["name"]: taken.role_by_group[group["name"]] for group in realm["groups"]} == taken.role_by_group
    assert list(taken.role_by_group.values()) == list(ROLES)
    (client,) = realm["clients"]
    (mapper,) = client["protocolMappers"]
    assert client["clientId"] == taken.oidc_client_id
    assert client["secret"] == "${TAILRACE_CLIENT_SECRET}"
    assert client["redirectUris"] == [f"https://{taken.hosts[0]}{reverse('oidc_authentication_callback')}"]
    assert mapper["config"]["claim.name"] == taken.oidc_groups_claim
