"""What is made of the overlays for Podman: all that the manifests say, but what it can't take, which has its stand-in."""

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.containers.kube_manifests import NotPlayable, Pod, Translator, secret_data
from tests.k8s.manifests import SECRETS, find, overlay

SECRET_RESOURCES = [
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(f"{name} {key}".encode()).decode() for key in keys},
    }
    for name, keys in SECRETS.items()
]


def translated(
    directory: Path, name: str = "production", secrets: list[dict[str, Any]] = SECRET_RESOURCES
) -> list[Pod]:
    images = {"docker.io/library/postgres": "stand-in:1", "localhost/tailrace:0.1.0": "mine:2"}
    return Translator("s", [*overlay(name), *secrets], images, directory).pods()


def spec(pod: Pod) -> dict[str, Any]:
    return pod.manifest[-1]["spec"]


def test_it_makes_as_many_pods_as_there_are_to_be(tmp_path: Path):
    pods = {pod.name: pod.services for pod in translated(tmp_path)}
    assert pods == {
        "s-tailrace-0": ["tailrace"],
        "s-tailrace-1": ["tailrace"],
        "s-tailrace-postgresql-0": ["tailrace-postgresql"],
    }
    assert [pod.name for pod in translated(tmp_path, "local")] == ["s-tailrace-0"]


def test_what_a_cron_job_starts_runs_once_with_the_servers_settings_and_the_volume_for_backups(tmp_path: Path):
    made = Translator("s", [*overlay("production"), *SECRET_RESOURCES], {}, tmp_path).once("tailrace-backup")
    assert made.name == "s-tailrace-backup-0" and spec(made)["restartPolicy"] == "Never" and made.services == []
    assert {"name": "s-tailrace-backups", "persistentVolumeClaim": {"claimName": "s-tailrace-backups"}} in spec(made)[
        "volumes"
    ]
    server = translated(tmp_path)[0]
    assert made.manifest[0] == server.manifest[0] and spec(server)["restartPolicy"] == "Always"
    assert spec(made)["containers"][0]["env"] == spec(server)["containers"][0]["env"]


def test_a_container_is_what_its_manifest_says(tmp_path: Path):
    (pod,) = translated(tmp_path, "local")
    (container,) = spec(pod)["containers"]
    original = find("local", "Deployment", "tailrace")["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"] == {
        "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, **original["securityContext"],
    }  # fmt: skip
    assert container["resources"] == original["resources"] and container["envFrom"] == original["envFrom"]
    assert container["image"] == "mine:2"
    assert [one["mountPath"] for one in container["volumeMounts"]] == [
        one["mountPath"] for one in original["volumeMounts"]
    ]
    assert pod.probes == {"s-tailrace-0-tailrace": [original["startupProbe"], original["readinessProbe"]]}
    assert pod.manifest[0]["kind"] == "ConfigMap" and pod.manifest[0]["data"]["TAILRACE_BIND"] == "0.0.0.0:8080"


def test_an_image_stands_for_all_versions_of_another_where_no_version_is_said(tmp_path: Path):
    database = translated(tmp_path)[-1]
    assert spec(database)["containers"][0]["image"] == "stand-in:1"


def test_secrets_are_files_that_only_the_pods_group_reads(tmp_path: Path):
    (database,) = [pod for pod in translated(tmp_path) if "tailrace-postgresql" in pod.services]
    (volume,) = [one for one in spec(database)["volumes"] if one["name"].endswith("-secrets")]
    directory = Path(volume["hostPath"]["path"])
    assert {path.name for path in directory.iterdir()} == SECRETS["tailrace-postgresql"]
    for path in directory.iterdir():
        assert path.read_text() == f"tailrace-postgresql {path.name}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o440 and (os.geteuid() or path.stat().st_gid == 999)


def test_only_the_keys_that_are_asked_for_are_in_a_volume(tmp_path: Path):
    server = translated(tmp_path)[0]
    (volume,) = [one for one in spec(server)["volumes"] if one["name"].endswith("-database-ca")]
    assert [path.name for path in Path(volume["hostPath"]["path"]).iterdir()] == ["ca.crt"]


def test_a_secret_in_the_environment_stays_a_reference(tmp_path: Path):
    (container,) = spec(translated(tmp_path)[0])["containers"]
    assert container["env"] == [
        {"name": "TAILRACE_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "s-tailrace-database", "key": "url"}}}
    ]


def test_no_two_pods_share_an_empty_volume_and_both_keep_a_claim(tmp_path: Path):
    first, second, database = translated(tmp_path)
    own = [{one["hostPath"]["path"] for one in spec(pod)["volumes"] if "hostPath" in one} for pod in (first, second)]
    assert own[0] and not own[0] & own[1]
    (tmp,) = [path for path in map(Path, own[0]) if path.name.endswith("-tmp")]
    assert stat.S_IMODE(tmp.stat().st_mode) == 0o2777 and (os.geteuid() or tmp.stat().st_gid == 1000)
    assert {"name": "s-data-0", "persistentVolumeClaim": {"claimName": "s-data-0"}} in spec(database)["volumes"]


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([], "Secret tailrace is referred to and not there"),
        (
            [one if one["metadata"]["name"] != "tailrace-database" else one | {"data": {}} for one in SECRET_RESOURCES],
            "Secret tailrace-database has no (ca.crt|url)",
        ),
    ],
)
def test_a_secret_that_is_missing_is_named(tmp_path: Path, secrets: list[dict[str, Any]], said: str):
    with pytest.raises(NotPlayable, match=said):
        translated(tmp_path, secrets=secrets)


def test_a_volume_that_nothing_stands_for_is_refused(tmp_path: Path):
    deployment = find("local", "Deployment", "tailrace")
    pod = deployment["spec"]["template"]["spec"]
    strange = deployment | {
        "spec": {"template": {"metadata": {"labels": {}}, "spec": pod | {"volumes": [{"name": "x", "nfs": {}}]}}}
    }
    with pytest.raises(NotPlayable, match=r"volume x of s-tailrace-0: \['nfs'\]"):
        Translator("s", [strange], {}, tmp_path).pods()


def test_what_a_secret_holds_is_read_however_it_is_written():
    secret = {"kind": "Secret", "data": {"a": base64.b64encode(b"\x00\xff").decode()}, "stringData": {"b": "é"}}
    assert secret_data(secret) == {"a": b"\x00\xff", "b": "é".encode()}
