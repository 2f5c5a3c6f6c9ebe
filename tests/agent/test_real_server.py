"""The whole way on a real server: a person asks, an agent calculates, the results come back and are learned."""

import asyncio
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pypdf
import pytest
from tailrace import AsyncClient, Client
from tailrace.errors import NotFound
from tailrace.handles.calculation import CalculationFailed

from tests.agent.bad_network import FATES, BadNetwork
from tests.agent.sites import Site, site
from tests.client.running import command
from tests.people import bearer, made_on
from tests.serving import Server
from tests.slurm import until

pytestmark = [pytest.mark.one_database, pytest.mark.xdist_group("agent")]

STREAMS = ("answers", "calculations-walltime")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server with people and a cluster, and the cluster's agent at work."""
    folder = tmp_path_factory.mktemp("place")
    server = Server(folder / "var", auth="required").start()
    try:
        secrets = {name: secret for name, (_, secret) in made_on(server, root="admin", ada="researcher").items()}
        for name in STREAMS:
            stream = {"name": name, "target": {"name": "y", "unit": ""}}
            assert server.post("/api/v1/streams/", stream, **bearer(secrets["root"]))[0] == 201
        model = {"name": STREAMS[1], "stream": STREAMS[1], "recipe": "runtime"}
        assert server.post("/api/v1/models/", model, **bearer(secrets["root"]))[0] == 201
        x = {"program": "small", "atoms": 0, "nodes": 1, "processes": 1}
        known = [{"x": x, "y": 1000 + n, "key": f"earlier-{n}"} for n in range(30)]
        path = f"/api/v1/streams/{STREAMS[1]}/observations/"
        assert server.post(path, {"observations": known}, **bearer(secrets["root"]))[0] == 201
        added = command(
            "cluster", "add", "alpha", *(f"--stream={name}" for name in STREAMS), "--url", server.url,
            environ={"TAILRACE_TOKEN": secrets["root"]},
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        with site(folder / "site", server.url, added.stdout.strip(), limits={"sync_seconds": 1}) as made:
            assert made.command("check").returncode == 0
            made.start()
            made.server, made.secret, made.admin = server, secrets["ada"], secrets["root"]
            made.client = Client(server.url, secrets["ada"])
            until(
                lambda: server.get("/api/v1/programs/", **bearer(secrets["ada"]))[1]["programs"] != [],
                lambda: made.log() + server.log.read_text()[-2000:],
            )
            yield made
    finally:
        server.stop()


def ended(calculation, made):
    until(lambda: calculation.state not in ("waiting", "running"), made.log)
    return calculation


def test_a_scan_is_calculated_in_a_chain_and_learned_once(place):
    calculation = place.client.calculate("small", scan={"answer": [1, 2, 3]}, analyses=["double"])
    same = calculation.wait(120)
    assert same is calculation
    found = {name: values["answer"] for name, values in calculation.results.items()}
    assert sorted(found.values()) == [1, 2, 3]
    frame = calculation.to_frame()
    assert list(frame["answer"]) == [1, 2, 3]
    assert set(frame["state"]) == {"done"}
    assert calculation.log().startswith("started\n")
    last = list(found)[-1]
    folder = place.attempts(step_of(calculation, last)["id"])[0].parent
    assert folder.joinpath("from_parent.txt").read_text() == "2.0\n"
    assert folder.joinpath("table_of_parent.txt").read_text() == "Table(columns={'answer': 'eV'}, rows=[[2.0]])"
    result = step_of(calculation, last)["result"]
    assert result["report"] == "The answer is\n3.0 eV."
    assert result["analyses"][0]["report"] == "Twice the answer, in µeV²?"
    stream = "/api/v1/streams/answers/observations/?after=0"
    until(lambda: len(place.server.get(stream, **bearer(place.secret))[1]["observations"]) == 3, place.log)
    again = place.client.calculate("small", scan={"answer": [1, 2, 3]}, analyses=["double"])
    assert (again.id, again.identical) == (calculation.id, True)


def test_its_wall_time_is_the_models_and_its_attempt_says_so(place):
    calculation = place.client.calculate("small", answer=77)
    calculation.wait(120)
    (attempt,) = calculation.info()["chain"][0]["attempts"]
    found = attempt["walltime"]
    assert 1000 < found["bound"] < found["seconds"] < found["given"] == 3600
    assert found["model"] == "calculations-walltime"
    work = json.loads((place.folder_of(calculation.info()["chain"][0]["id"]) / "step.json").read_text())
    assert work["resources"]["seconds"] == found["seconds"]


def step_of(calculation, name):
    return next(step for step in calculation.info()["chain"] if step["name"] == name)


def test_what_did_not_converge_is_corrected_and_a_failure_is_told(place, tmp_path):
    corrected = place.client.calculate("small", converged=False)
    failed = place.client.calculate("small", code=3)
    assert corrected.wait(120).results == {"answer": 42.0}
    with pytest.raises(CalculationFailed, match="exit code 3"):
        failed.wait(120)
    (path, *_) = corrected.fetch(tmp_path)
    assert path.read_text() == "42.0\n"
    environ = {"TAILRACE_TOKEN": place.secret}
    fetch = ("calc", "fetch", str(corrected.id), "--to", str(tmp_path / "more"), "--url", place.url)
    said = command(*fetch, "--report", "pdf", environ=environ)
    assert said.returncode == 0, said.stderr
    saved = said.stdout.split("\n")
    assert saved[0].endswith("answer.txt")
    assert saved[1] == str(tmp_path / "more" / f"calculation-{corrected.id}.pdf")
    assert "The answer is" in pypdf.PdfReader(saved[1]).pages[0].extract_text()
    wrong = command(*fetch, "--report", "pfd", environ=environ)
    assert wrong.returncode == 2
    assert "did you mean 'pdf'" in wrong.stderr
    assert corrected.fetch_report(tmp_path, "rocrate").name.endswith(".crate.zip")


def test_one_that_runs_is_cancelled_and_retried_with_the_command(place):
    environ = {"TAILRACE_TOKEN": place.secret}
    said = command("calc", "submit", "small", "seconds=60", "--name", "slow", "--url", place.url, environ=environ)
    assert said.returncode == 0, said.stderr
    listed = command("calc", "list", "--text", "slow", "--json", "--url", place.url, environ=environ)
    (one,) = json.loads(listed.stdout)["calculations"]
    calculation = place.client.calculation(one["id"])
    until(lambda: calculation.state == "running" and calculation.info()["chain"][0]["state"] == "running", place.log)
    done = command("calc", "cancel", str(one["id"]), "--url", place.url, environ=environ)
    assert done.returncode == 0, done.stderr
    assert ended(calculation, place).state == "cancelled"
    shown = command("calc", "show", str(one["id"]), "--url", place.url, environ=environ)
    assert "cancelled" in shown.stdout
    refused = command("calc", "delete", str(one["id"]), "--confirm", "fast", "--url", place.url, environ=environ)
    assert (refused.returncode, "nothing was deleted" in refused.stderr) == (2, True)
    gone = command("calc", "delete", str(one["id"]), "--confirm", "slow", "--url", place.url, environ=environ)
    assert gone.returncode == 0, gone.stderr
    with pytest.raises(NotFound, match="was deleted"):
        calculation.info()
    wrong = command("calc", "submit", "tiny", "--url", place.url, environ=environ)
    assert (wrong.returncode, "tiny" in wrong.stderr) == (1, True)


def test_the_server_is_killed_while_a_step_runs(place):
    calculation = place.client.calculate("small", seconds=2, answer=5)
    until(lambda: calculation.info()["chain"][0]["state"] in ("queued", "running"), place.log)
    place.server.kill()
    place.server.start()
    assert calculation.wait(120).results == {"answer": 5.0}
    assert len(place.attempts(calculation.info()["chain"][0]["id"])) == 1


def test_asynchronously(place):
    async def main():
        async with AsyncClient(place.url, place.secret) as c:
            calculation = await c.calculate("small", answer=8)
            await calculation.wait(120)
            return await calculation.results, await calculation.state, (await calculation.log())[:7]

    assert asyncio.run(main()) == ({"answer": 8.0}, "done", "started")


def test_a_copied_root_is_refused_while_its_original_works(place, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(place.folder, copied, ignore=shutil.ignore_patterns("agent.lock"))
    other = Site(copied, place.url, place.token, limits={"sync_seconds": 1})
    other.start()
    try:
        assert other.process.wait(60) == 1
    finally:
        other.stop()
    assert "seems to be a copy" in other.log()
    assert place.client.calculate("small", answer=11).wait(120).results == {"answer": 11.0}


@pytest.mark.parametrize("shift", [86400, -86400])
def test_an_agent_whose_clock_is_a_day_wrong(place, shift):
    """The server's clock counts for all that it stores. What is learned is a duration."""
    place.stop()
    arguments = [sys.executable, "-m", "tests.agent.shifted_agent", str(shift), str(place.file)]
    began = datetime.now(UTC)
    with open(place.folder / "agent.log", "ab") as log:
        process = subprocess.Popen(arguments, env=place.environment(), stdout=log, stderr=log)
    try:
        calculation = place.client.calculate("small", answer=200 + shift, seconds=1)
        calculation.wait(120)
        key = f"{calculation.info()['chain'][0]['id']}/walltime"
        learned = {}
        stream = f"/api/v1/streams/{STREAMS[1]}/observations/?after=0&limit=1000"

        def arrived():
            found = place.server.get(stream, **bearer(place.secret))[1]["observations"]
            learned.update({one["key"]: one["y"] for one in found})
            return key in learned

        until(arrived, place.log)
    finally:
        process.terminate()
        process.wait(60)
        place.start()
    (attempt,) = calculation.info()["chain"][0]["attempts"]
    times = [attempt[name] for name in ("claimed_at", "permitted_at", "ended_at")]
    times += [one["at"] for one in calculation.info()["transitions"]]
    said = place.server.get("/api/v1/clusters/alpha/messages/?limit=1", **bearer(place.secret))[1]["messages"]
    times += [one["at"] for one in said]
    assert all(began <= datetime.fromisoformat(at) <= datetime.now(UTC) for at in times), times
    assert 1 <= learned[key] < 600


def test_over_a_bad_network_and_after_a_cut_each_step_ran_once(place, tmp_path):
    """A fourth of all requests is lost, answered in vain, repeated, delayed or overtaken, and for a while nothing passes."""
    network = BadNetwork(place.server.url, 0.25, seed=14)
    added = command(
        "cluster", "add", "beta", *(f"--stream={name}" for name in STREAMS), "--url", place.server.url,
        environ={"TAILRACE_TOKEN": place.admin},
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    try:
        with site(tmp_path / "beta", network.url, added.stdout.strip(), limits={"sync_seconds": 1}) as made:
            made.start()
            programs = "/api/v1/programs/small/"
            until(lambda: "beta" in str(place.server.get(programs, **bearer(place.secret))[1]), made.log)
            scan = place.client.calculate("small", scan={"answer": [301, 302, 303]}, chained=False, cluster="beta")
            slow = place.client.calculate("small", answer=304, seconds=3, cluster="beta")
            until(lambda: slow.info()["chain"][0]["state"] == "running", made.log)
            network.cut = True
            until(lambda: network.met["cut"] >= 8, made.log)
            network.cut = False
            values = [values["answer"] for values in scan.wait(140).results.values()]
            assert (sorted(values), slow.wait(140).results) == ([301, 302, 303], {"answer": 304.0})
            steps = [one["id"] for calculation in (scan, slow) for one in calculation.info()["chain"]]
            assert [len(made.attempts(step)) for step in steps] == [1] * 4
            stream = "/api/v1/streams/answers/observations/?after=0&limit=1000"

            def keys():
                found = place.server.get(stream, **bearer(place.secret))[1]["observations"]
                return sorted(one["key"] for one in found if one["y"] > 300 and one["y"] < 305)

            until(lambda: len(keys()) >= 4, made.log)
            assert keys() == sorted(f"{step}/answer" for step in steps)
    finally:
        network.close()
    assert set(network.met) >= {"passes", "cut"}
    assert len(set(network.met) & set(FATES)) >= 3, network.met
