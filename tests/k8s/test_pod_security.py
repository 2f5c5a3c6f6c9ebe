"""Every pod keeps to the restricted standard; and what looks at that would notice one that doesn't."""

import copy
from typing import Any

import pytest

from tests.k8s.manifests import OVERLAYS, find, needs_kubectl, of_kind, templates
from tests.k8s.pod_security import violations

pytestmark = [pytest.mark.one_database, needs_kubectl]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted(overlay: str):
    allowed = {("usernetes", "Deployment/tailrace"): ["container tailrace: hostPort"]}
    for name, template in templates(overlay):
        assert list(violations(template["spec"])) == allowed.get((overlay, name), []), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_it(overlay: str):
    labels = find(overlay, "Namespace", "tailrace")["metadata"]["labels"]
    enforced = "privileged" if overlay == "usernetes" else "restricted"
    assert labels["pod-security.kubernetes.io/enforce"] == enforced
    assert labels["pod-security.kubernetes.io/warn"] == labels["pod-security.kubernetes.io/audit"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_does_without_what_it_does_not_need(overlay: str):
    for name, template in templates(overlay):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, f"{name}: variables of the Service tailrace are unknown settings"
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            for bound in ("requests", "limits"):
                assert container["resources"][bound].keys() >= {"cpu", "memory", "ephemeral-storage"}, name
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], f"{name}: {volume['name']} may fill its node"
    for account in of_kind(overlay, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("where", "key", "value", "refused"),
    [
        ("pod", "hostNetwork", True, "hostNetwork"),
        ("pod", "hostPID", True, "hostPID"),
        ("pod", "hostIPC", True, "hostIPC"),
        ("pod", "volumes", [{"name": "var", "hostPath": {"path": "/var"}}], "volume var: hostPath"),
        ("shared", "runAsNonRoot", None, "container tailrace: runAsNonRoot"),
        ("shared", "runAsUser", 0, "container tailrace: runAsUser"),
        ("shared", "seccompProfile", {"type": "Unconfined"}, "container tailrace: seccompProfile"),
        ("shared", "sysctls", [{"name": "kernel.msgmax", "value": "1"}], "sysctl kernel.msgmax"),
        ("own", "allowPrivilegeEscalation", True, "container tailrace: allowPrivilegeEscalation"),
        ("own", "privileged", True, "container tailrace: privileged"),
        ("own", "procMount", "Unmasked", "container tailrace: procMount"),
        ("own", "capabilities", {}, "container tailrace: capabilities are not dropped"),
        ("own", "capabilities", {"drop": ["ALL"], "add": ["NET_RAW"]}, "container tailrace: capability NET_RAW"),
        ("own", "seLinuxOptions", {"type": "spc_t"}, "container tailrace: seLinuxOptions"),
        ("container", "ports", [{"containerPort": 80, "hostPort": 80}], "container tailrace: hostPort"),
        ("container", "livenessProbe", {"httpGet": {"host": "10.0.0.1"}}, "container tailrace: livenessProbe of another host"),
    ],
)  # fmt: skip
def test_a_pod_that_is_not_restricted_is_noticed(where: str, key: str, value: Any, refused: str):
    pod = copy.deepcopy(find("local", "Deployment", "tailrace")["spec"]["template"]["spec"])
    container = pod["containers"][0]
    place = {
        "pod": pod, "shared": pod["securityContext"], "container": container, "own": container["securityContext"],
    }[where]  # fmt: skip
    place[key] = value
    assert list(violations(pod)) == [refused]
