"""The manifests of a service, as Kubernetes checks them."""

import kubernetes_validate
import pytest
import yaml
from tailrace.errors import Unusable
from tailrace.model_agent.manifests import manifests

from tests.k8s.test_manifests import VERSIONS

IMAGE = "registry.example.org/runtime@sha256:" + "a" * 64


def test_kubernetes_takes_the_manifests_of_a_service():
    found = list(yaml.safe_load_all(manifests("runtime", IMAGE, memory_mb=512, cpus=0.5)))
    assert [one["kind"] for one in found] == ["Deployment", "Service", "NetworkPolicy"]
    for one in found:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    deployment, service, policy = found
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert (policy["spec"]["policyTypes"], policy["spec"]["egress"]) == (["Ingress", "Egress"], [])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"memory": "512Mi", "cpu": "500m"}


@pytest.mark.parametrize(
    "name, image, more",
    [("runtime", "runtime:latest", {}), ("Runtime", IMAGE, {}), ("-v", IMAGE, {}), ("v", IMAGE, {"namespace": "a/b"}),
     ("v", IMAGE, {"port": 0}), ("v", IMAGE, {"memory_mb": 0}), ("v", "sha256:" + "a" * 64, {})],
)  # fmt: skip
def test_what_kubernetes_or_the_site_would_not_take_is_refused(name, image, more):
    with pytest.raises(Unusable):
        manifests(name, image, **more)
