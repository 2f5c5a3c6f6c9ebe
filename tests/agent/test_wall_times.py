"""The wall time of a step is asked of a model, within the site's bounds; without a usable answer it is the one that was given."""

import re
import time

import pytest
from tailrace.agent.site_file import read_site_file
from tailrace.errors import Unusable

from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.agent.small_program import read
from tests.slurm import until

pytestmark = pytest.mark.one_database

GOOD = {"prediction": 100.0, "interval": [50.0, 200.0], "at": 57, "warnings": []}


@pytest.fixture
def server():
    made = ContractServer()
    made.model = (200, GOOD)
    yield made
    made.close()


def limit(server, made, step):
    """The wall time that the server was told, and that the job's input was made with."""
    (one,) = settled(server, step, made=made)
    work = read(made.folder_of(step) / "step.json")
    assert work["resources"]["seconds"] == one["walltime"]["seconds"]
    return one["walltime"]


def test_it_is_the_upper_quantile_with_margin_and_the_model_is_told_what_it_learns(server, tmp_path):
    step = server.add(limit=3600)
    with site(tmp_path, server.url) as made:
        made.start()
        found = limit(server, made, step)
        (asked,) = server.asked
        until(lambda: len(server.observations) == 2, made.log)
        learned = next(one for one in server.observations if one["key"].endswith("/walltime"))
    assert (found["seconds"], found["given"], found["bound"], found["at"]) == (300, 3600, 200.0, 57)
    assert "at most 200 s with probability 0.95" in found["reason"]
    assert asked == {"x": learned["x"], "level": pytest.approx(0.9)}


@pytest.mark.parametrize(
    ("rule", "bound", "given", "seconds"),
    [
        ("", 1000.0, 3600, 1260),  # 20 % and a minute
        ('margin = "10s"', 1000.0, 3600, 1010),
        ("", 9000.0, 3600, 3600),  # no longer than what was given and approved
        ("most_seconds = 7200", 5000.0, 3600, 6060),  # unless the site says so
        ("most_seconds = 7200", 9000.0, 3600, 7200),
        ("", 9000.0, None, 10860),
        ('least_seconds = 1\nmargin = "0s"', 0.2, 3600, 1),
    ],
)
def test_the_site_sets_bounds(tmp_path, rule, bound, given, seconds):
    from tailrace.agent.wall_times import WallTimes

    class Calls:
        def predict(self, model, x, level):
            return {**GOOD, "interval": [0.0, bound]}

    made = site_of(tmp_path, f"[programs.small.walltime]\n{rule}")
    assert WallTimes(Calls()).ask(made.programs["small"].walltime, {}, given)["seconds"] == seconds


def site_of(folder, program):
    with site(folder, "http://127.0.0.1:1", program=program) as made:
        return read_site_file(made.file)


def test_a_programs_table_goes_over_that_of_all_and_mistakes_are_told(tmp_path):
    found = site_of(tmp_path, '[programs.small.walltime]\nquantile = 0.9\n[walltime]\nmodel = "mine"\nquantile = 0.8')
    assert (found.programs["small"].walltime.model, found.programs["small"].walltime.quantile) == ("mine", 0.9)
    for wrong, said in [
        ("quantile = 1", "walltime.quantile is 1.0: expected a probability"),
        ("most = 7", "walltime.most"),
        ('margin = "much"', "'much' is not a margin"),
        ("most_seconds = 10", "expected at least least_seconds, 300"),
        ("model = 7", "walltime.model is 7: expected a text"),
    ]:
        with pytest.raises(Unusable, match=said):
            site_of(tmp_path, f"[walltime]\n{wrong}")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "there is no such model"),
        ((403, {"error": {"code": "scope", "message": "the token may not"}}), "the token may not"),
        ((200, {**GOOD, "interval": None}), "no upper bound"),
        ((200, {**GOOD, "interval": [0, 1e400]}), "no upper bound"),
        ((200, {**GOOD, "at": 3}), "it has learned 3 observations"),
        ((200, {**GOOD, "warnings": [{"code": "outside", "message": "atoms is 7"}]}), "differs from all .* atoms is 7"),
        ((200, {"prediction": "slow"}), "no upper bound"),
    ],
)
def test_without_a_usable_answer_it_is_the_given_time(tmp_path, answer, why):
    from tailrace.agent.server_calls import ServerCalls
    from tailrace.agent.wall_time_rule import WallTimeRule
    from tailrace.agent.wall_times import WallTimes

    server = ContractServer()
    server.model = answer
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o600)
    try:
        asks = WallTimes(ServerCalls(server.url, tmp_path / "token"))
        found = asks.ask(WallTimeRule(), {"a": 1}, 3600)
    finally:
        server.close()
    assert (found["seconds"], found["given"]) == (3600, 3600)
    assert re.search(why, found["reason"])


def test_a_model_that_does_not_answer_holds_nothing_up(server, tmp_path, monkeypatch):
    """The steps run with the given time, the agent goes on syncing, and the model is not asked for each step."""
    real = server.answer

    def slow(method, path, body):
        if "/models/" in path:
            server.lock.release()
            time.sleep(5)
            server.lock.acquire()
        return real(method, path, body)

    monkeypatch.setattr(server, "answer", slow)
    first = server.add(limit=3600)
    with site(tmp_path, server.url) as made:
        made.start()
        found = limit(server, made, first)
        asked = len(server.asked)
        more = [server.add(limit=3600) for _ in range(3)]
        settled(server, *more, made=made)
        again = len(server.asked)
    assert "did not answer" in found["reason"] or "timed out" in found["reason"] or "answer" in found["reason"]
    assert found["seconds"] == 3600
    assert again <= asked + 1  # the question that was under way
    assert all(server.steps[step]["walltime"]["seconds"] == 3600 for step in more)


def test_the_next_attempt_has_the_given_time(server, tmp_path):
    step = server.add(limit=3600, converged=False)
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "done", made.log)
        first, second = (read(made.folder_of(step, fence) / "step.json") for fence in (1, 2))
    assert (first["resources"]["seconds"], second["resources"]["seconds"]) == (300, 3600)


def test_a_job_at_the_limit_of_a_model_gets_at_least_the_given_time(tmp_path):
    from tailrace.programs import Step

    from lammps_jobs.programs.corrections import longer_walltime

    work = {
        "step": "a", "name": "a", "calculation": "1", "program": "p", "parameters": {}, "attempt": 1, "fence": 1,
        "resources": {"seconds": 300}, "walltime": {"seconds": 300, "given": 3600},
    }  # fmt: skip
    again = longer_walltime(Step.from_json(work, lambda *_: tmp_path), tmp_path, stopped_itself=True)
    assert again.resources == {"seconds": 3600}
    assert again.reason == "the job reached its time limit: 300 s → 3600 s"


def test_a_server_that_takes_no_wall_times_is_told_none(server, tmp_path, monkeypatch):
    real = server.permit

    def older(step, query, body, rest):
        if b"walltime" in body:
            return 400, {"error": {"code": "unknown_field", "message": "walltime is not a field"}}
        return real(step, query, body, rest)

    monkeypatch.setattr(server, "permit", older)
    step = server.add(limit=3600)
    with site(tmp_path, server.url) as made:
        made.start()
        (one,) = settled(server, step, made=made)
    assert one["state"] == "done"
