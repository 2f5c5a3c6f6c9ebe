"""The manifests, run: what `kubectl apply -k` would start is started by Podman, with its users, limits and volumes."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.containers.kube_manifests import NotPlayable, secret_data
from tests.containers.kube_play import Stack, podman
from tests.containers.podman import CLIENT, SERVER, environment
from tests.serving import ROOT
from tests.walks import walk

STAND_IN = "localhost/tailrace-test-postgresql:latest"
"""For the official image of PostgreSQL, which can't be pulled here."""

JOB = """
lmp -in /opt/tailrace/lammps_jobs/inputs/melt.in -log log.lammps -screen none \
    -v x {x} -v y 1 -v z 1 -v steps 10 -v seed 1 -v potential "$LAMMPS_POTENTIALS/CuZr_mm.eam.fs"
python3 -m lammps_jobs.epilogue --stream lammps-runtime --deadline 60 x y z 2>&1
"""
"""What a job does: LAMMPS, and its last line."""


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """What stands for the images of the manifests."""
    base = next(
        name
        for name in ("docker.io/library/python:3.11-slim-bookworm", "localhost/tailrace-base:bookworm")
        if subprocess.run(["podman", "image", "exists", name], env=environment(), check=False).returncode == 0
    )
    containerfile = ROOT / "tests" / "containers" / "postgresql.Dockerfile"
    podman(
        "build", "--quiet", "--format", "docker", "--build-arg", f"BASE={base}", "--file", str(containerfile),
        "--tag", STAND_IN, str(containerfile.parent),
    )  # fmt: skip
    return {
        "docker.io/library/postgres": STAND_IN,
        "registry.example.org/tailrace": SERVER,
        "localhost/tailrace": SERVER,
    }


@pytest.fixture(scope="module")
def production(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The overlay `production`, with the Secrets that its page makes."""
    directory = tmp_path_factory.mktemp("production")
    walk("production", directory)
    secrets = [one for one in yaml.safe_load_all((directory / "tailrace" / "secrets.yaml").read_text()) if one]
    stack = Stack("production", secrets=secrets, images=images, name=f"test-{os.getpid()}")
    try:
        yield stack.up()
    finally:
        stack.down()


def servers(stack: Stack) -> list[str]:
    return [pod.containers[0] for pod in stack.pods if "tailrace" in pod.services]


@pytest.fixture(scope="module")
def token(production: Stack) -> str:
    return production.execute(servers(production)[0], "python", "manage.py", "create_token", "ada", "--create-user")


def client(stack: Stack, address: str, token: str, *command: str) -> str:
    """Run a command in the client's image, on the network of the pods, where the Service is that one pod."""
    return podman(
        "run", "--rm", "--network", stack.name, "--add-host", f"tailrace:{address}",
        "--env", "TAILRACE_URL=http://tailrace:8080", "--env", f"TAILRACE_TOKEN={token}", CLIENT, *command,
    )  # fmt: skip


def test_a_job_learns_through_one_server_and_predicts_through_the_other(production: Stack, token: str):
    first, second = production.addresses("tailrace")
    client(
        production, first, token, "tailrace", "create", "runtime", "--stream", "lammps-runtime", "--recipe", "runtime",
        "--target", "loop_time", "--unit", "s",
    )  # fmt: skip
    for number in (1, 2):
        assert f"observation {number} of lammps-runtime" in client(
            production, first, token, "sh", "-euc", JOB.format(x=number)
        )
    answer = json.loads(
        client(
            production, second, token, "tailrace", "predict", "runtime", "x=2", "y=1", "z=1", "processes=1", "--json"
        )
    )
    assert answer["at"] == 2
    assert answer["prediction"] > 0


def test_every_connection_to_the_database_is_encrypted_and_another_authority_is_refused(
    production: Stack, tmp_path: Path
):
    query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
    said = production.execute(
        f"{production.name}-tailrace-postgresql-0-postgresql", "sh", "-c",
        f'PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") psql --username=tailrace --tuples-only --no-align --command="{query}"',
    )  # fmt: skip
    assert said == "t"
    (database,) = production.addresses("tailrace-postgresql")
    (secret,) = [one for one in production.secrets if one["metadata"]["name"] == "tailrace-database"]
    url = secret_data(secret)["url"].decode()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x",
         "-keyout", str(tmp_path / "ca.key"), "-out", str(tmp_path / "ca.crt")], check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "ca.crt").chmod(0o644)
    with pytest.raises(NotPlayable, match="certificate verify failed"):
        podman(
            "run", "--rm", "--network", production.name, "--add-host", f"tailrace-postgresql:{database}",
            "--volume", f"{tmp_path}/ca.crt:/run/secrets/tailrace-database/ca.crt:ro",
            "--env", f"TAILRACE_DATABASE_URL={url}", "--env", "TAILRACE_BIND=127.0.0.1:8080", SERVER,
        )  # fmt: skip


def test_the_nightly_backup_is_made_and_kept(production: Stack):
    assert "backup: " in production.run("tailrace-backup")
    assert "backup: " in production.run("tailrace-backup")
    kept = podman(
        "run", "--rm", "--volume", f"{production.name}-tailrace-backups:/backups", SERVER, "ls", "/backups"
    ).split()
    assert len(kept) == 2 and all(name.endswith(".gz") for name in kept), kept


def test_pods_are_as_restricted_as_their_manifests_say(production: Stack):
    for pod in production.pods:
        (container,) = pod.containers
        status = production.execute(container, "cat", "/proc/1/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == 0 and facts["NoNewPrivs"] == "1"
        assert facts["Uid"].split()[0] != "0" and facts["Seccomp"] == "2"
        with pytest.raises(NotPlayable, match="Read-only file system"):
            production.execute(container, "touch", "/opt/x")
        limit = {"tailrace": 2, "postgresql": 4}[container.rpartition("-")[2]]
        assert podman("inspect", "--format", "{{.HostConfig.Memory}}", container) == str(limit * 2**30)


def test_a_server_that_is_killed_takes_nothing_with_it(production: Stack, token: str):
    first, second = production.addresses("tailrace")
    killed = servers(production)[0]
    os.kill(int(podman("inspect", "--format", "{{.State.Pid}}", killed)), signal.SIGKILL)
    answer = json.loads(
        client(
            production, second, token, "tailrace", "predict", "runtime", "x=2", "y=1", "z=1", "processes=1", "--json"
        )
    )
    assert answer["at"] == 2
    production.wait()  # Podman, as the kubelet, starts it again
    again = json.loads(
        client(production, first, token, "tailrace", "predict", "runtime", "x=2", "y=1", "z=1", "processes=1", "--json")
    )
    assert again == answer


def test_the_walk_without_a_cluster(tmp_path: Path):
    name = f"walk-{os.getpid()}"  # whoever follows the page has a `local` of their own
    here = {
        "kube_play up local": f"kube_play up local --name {name}",
        "kube_play down local": f"kube_play down local --name {name}",
        "local-tailrace-0": f"{name}-tailrace-0",
    }
    configuration = {key: value for key, value in environment().items() if key == "CONTAINERS_CONF"}
    try:
        walk("kind", tmp_path, replace=here, **configuration)
    finally:
        Stack("local", name=name).down()  # where the walk broke off
