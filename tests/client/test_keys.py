"""A post that is sent twice counts once, and a job that ran twice counts twice."""

import os

import pytest
from tailrace.observations.fingerprint import fingerprint
from tailrace.observations.idempotency_keys import LONGEST, job_of, key_for
from tailrace.posting.post import make_observation

pytestmark = pytest.mark.one_database

SLURM = {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}


JOBS = [
    (SLURM, "slurm:c:7"),
    ({**SLURM, "TAILRACE_CLUSTER": "mine"}, "slurm:mine:7"),
    ({**SLURM, "SLURM_RESTART_COUNT": "0"}, "slurm:c:7"),
    ({**SLURM, "SLURM_RESTART_COUNT": "2"}, "slurm:c:7:restart2"),
    ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}, "slurm::7:task3"),
    ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "slurm::7:task0"),
    ({"LSB_JOBID": "5", "LSB_JOBINDEX": "0"}, "lsf::5"),
    ({"LSB_JOBID": "5", "LSB_JOBINDEX": "2"}, "lsf::5:task2"),
    ({"LSB_JOBID": "5", "LSB_RESTART": "Y"}, "lsf::5:restarted"),
    ({"PBS_JOBID": "5.head"}, "pbs::5.head"),
    ({"PBS_JOBID": "5[1].head", "PBS_ARRAY_INDEX": "1"}, "pbs::5[1].head"),
    ({"PBS_JOBID": "5.head", "PBS_ARRAYID": "1"}, "pbs::5.head:task1"),
    ({"FLUX_JOB_ID": "f2", "FLUX_URI": "local:///run/flux/local", "TAILRACE_CLUSTER": "t"}, "flux:t:f2"),
    ({"FLUX_JOB_ID": "ƒ2", "FLUX_URI": "local:///run/flux/local", "FLUX_JOB_ID_PATH": "/ƒ2"}, "flux::f2"),
    ({"FLUX_JOB_ID": "ƒ7", "FLUX_JOB_ID_PATH": "/ƒ2/ƒ7", "TAILRACE_CLUSTER": "t"}, "flux:t:f2/f7"),
    ({"FLUX_JOB_ID": os.fsdecode("ƒ2".encode())}, "flux::f2"),
    ({"FLUX_URI": "local:///run/flux/local"}, None),
    ({"FLUX_JOB_ID": "ƒ7", "FLUX_JOB_ID_PATH": "/ƒ2/ƒ7", "FLUX_ENCLOSING_ID": "ƒ2"}, "flux::f2/f7"),
    (
        {"FLUX_ENCLOSING_ID": "ƒ2", "FLUX_URI": "local:///tmp/flux-Q/local-0"},
        f"flux::f2:{fingerprint('/tmp/flux-Q')[:12]}",
    ),
    ({"FLUX_ENCLOSING_ID": "f2"}, "flux::f2:script"),
    ({}, None),
]
"""Environments of jobs, and the job's name in each."""


@pytest.mark.parametrize(("environ", "job"), JOBS)
def test_a_job_has_a_name(environ, job):
    assert job_of(environ) == job


def test_many_flux_jobs_inside_one_slurm_job_are_many():
    inside = [{**SLURM, "FLUX_URI": "local:///tmp/flux-Ab12/local-0", "FLUX_JOB_ID": job} for job in ("f1", "f2")]
    assert len({job_of(environ) for environ in inside}) == 2
    another = {**inside[0], "FLUX_URI": "local:///tmp/flux-Cd34/local-0"}
    assert job_of(another) != job_of(inside[0])
    assert all(str(job_of(environ)).startswith("slurm:c:7/flux:") for environ in (*inside, another))


@pytest.mark.parametrize("place", ["/tmp/flux-{}/local-0", "/scratch/ada/flux-{}/local-0", "/run/user/7/{}/local-0"])
def test_two_flux_instances_are_two_wherever_their_sockets_are(place):
    one, other, ssh = (
        job_of({"FLUX_JOB_ID": "f1", "FLUX_URI": scheme + place.format(name), "TAILRACE_CLUSTER": "t"})
        for scheme, name in (("local://", "a"), ("local://", "b"), ("ssh://node1", "a"))
    )
    assert one != other
    assert one == ssh
    assert str(one).startswith("flux:t:")


def test_a_nested_flux_instance_is_one_on_all_of_its_nodes():
    names = {
        job_of(
            {"FLUX_JOB_ID": "f9", "FLUX_JOB_ID_PATH": "/f2/f9", "FLUX_URI": f"local:///tmp/flux-{node}/local-{node}"}
        )
        for node in range(3)
    }
    assert names == {"flux::f2/f9"}


@pytest.mark.parametrize(
    ("path", "job"), [("/ƒ2", "f2"), ("/ƒ9/ƒ2", "f9/f2"), ("/f9/f2/\n", "f9/f2"), ("/", None), ("/ƒ22", None)]
)
def test_the_script_of_a_flux_batch_job_has_the_name_that_the_job_has_from_outside(tmp_path, path, job):
    """Flux gives the script only the id of its instance; the job that reports it afterwards is in the instance above."""
    flux = tmp_path / "flux"
    flux.write_text(f"#!/bin/sh\n[ \"$*\" = 'getattr jobid-path' ] && printf '%s' '{path}'\n")
    flux.chmod(0o755)
    script = {"FLUX_ENCLOSING_ID": "ƒ2", "FLUX_URI": f"local://{tmp_path}/local-0", "PATH": f"{tmp_path}:/bin:/usr/bin"}
    name = job_of(script)
    if job is None:
        assert str(name).startswith("flux::f2:")
    else:
        after = f"/{job.removesuffix('f2')}f77"
        assert name == f"flux::{job}" == job_of({"FLUX_JOB_ID": "f2", "FLUX_JOB_ID_PATH": after})


def test_the_same_post_of_the_same_run_has_the_same_key():
    content = {"x": {"a": 1, "b": 2.5}, "y": 3}
    again = {"y": 3, "x": {"b": 2.5, "a": 1}}
    assert key_for(environ=SLURM, content=content) == key_for(environ=SLURM, content=again)


def test_three_different_points_of_one_job_are_three():
    keys = {key_for(environ=SLURM, content=[{"x": n}, 1.0]) for n in range(3)}
    assert len(keys) == 3
    assert all(key.startswith("slurm:c:7:") for key in keys)


def test_a_requeued_jobs_second_result_is_a_second_point_even_if_it_is_the_same():
    content = [{"x": 1}, 1.0]
    requeued = {**SLURM, "SLURM_RESTART_COUNT": "1"}
    assert key_for(environ=SLURM, content=content) != key_for(environ=requeued, content=content)
    assert key_for("1", SLURM) != key_for("1", requeued)


def test_a_step_takes_the_place_of_the_content():
    assert key_for("melt", SLURM, content=[1]) == key_for("melt", SLURM, content=[2]) == "slurm:c:7:melt"
    assert key_for(environ={**SLURM, "TAILRACE_STEP": "melt"}, content=[3]) == "slurm:c:7:melt"
    assert key_for("freeze", {**SLURM, "TAILRACE_STEP": "melt"}) == "slurm:c:7:freeze"
    assert key_for(environ=SLURM) == "slurm:c:7"


def test_outside_of_any_job_each_call_is_an_observation(monkeypatch):
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)
    made = [make_observation({"a": 1}, 2.0)["key"] for _ in range(2)]
    assert made[0] != made[1]
    assert key_for(environ={}, content=[1]) != key_for(environ={}, content=[1])


def test_a_key_given_is_the_key(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert make_observation({"a": 1}, 2.0, key="mine", step="2")["key"] == "mine"


def test_a_long_name_is_cut_and_still_tells_jobs_apart():
    keys = {key_for(f"{'step' * 100}{n}", SLURM) for n in range(3)}
    assert len(keys) == 3
    assert max(map(len, keys)) <= LONGEST


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("", "6c62272e07bb014262b821756295c58d"),
        ("a", "d228cb696f1a8caf78912b704e4a8964"),
        ("foobar", "343e1662793c64bf6f0d3597ba446f18"),
    ],
)
def test_a_fingerprint_is_the_one_that_others_make_of_the_same_text(text, hashed):
    """Test vectors of FNV-1a, 128 bits."""
    assert fingerprint(text) == hashed
