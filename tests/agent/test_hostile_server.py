"""A hostile server: it starts nothing that the site does not name, and nothing is written outside of the root."""

import os

import pytest

from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.slurm import until

pytestmark = pytest.mark.one_database


@pytest.fixture
def server():
    made = ContractServer()
    yield made
    made.close()


def tree(folder, without):
    return {
        str(place)
        for place, _, names in os.walk(folder)
        for place in (place, *(f"{place}/{name}" for name in names))
        if not str(place).startswith(str(without))
    }


def test_what_it_sends_starts_nothing_and_stays_inside_of_the_root(server, tmp_path):
    (tmp_path / "outside").mkdir()
    with site(tmp_path / "site", server.url) as made:
        (made.root / "steps").mkdir(parents=True)
        (made.root / "steps" / "linked").symlink_to(tmp_path / "outside")
        good = {
            "step": "x", "fence": 1, "attempt": 1, "name": "x", "calculation": "1", "program": "small", "parameters": {},
            "structure": None, "parents": [], "resources": {}, "analyses": [], "corrections": {},
        }  # fmt: skip
        paths = ["../../up", "/etc/x", "..", ".", "", "a/b", "a\0b", "a b", "$(id)", "x" * 300, 7, None, ["x"]]
        fences = ["1", -1, 1.5, True, None, 2**60, "../1"]
        fields = {
            "program": ["sh", "../small", "os:system", None, 7, ["small"]],
            "parameters": [None, [], {"answer": "text"}, {"command": "id"}, {"answer": 1e999}, {"code": -1.5}],
            "parents": [[{"step": "../..", "fence": 1, "name": "p", "parameters": {}, "results": {}}], "x", [7]],
            "resources": [{"nodes": "2; id"}, {"seconds": -1}, {"processes": 10**30}, []],
            "analyses": ["double", [7], ["no-such"]],
            "attempt": [None, "1", 0],
            "structure": [7, {}],
            "corrections": [{"command": "id"}, [1]],
            "name": [None],
        }
        work = [{**good, "step": path} for path in paths]
        work += [{**good, "step": f"fence{number}", "fence": fence} for number, fence in enumerate(fences)]
        work += [{**good, "step": "linked"}, "text", None, [], 7]
        refused = {}
        for name, values in fields.items():
            for value in values:
                step = server.add()
                server.steps[step].update(state="permitted", fence=1)
                refused[step] = (name, value)
                work.append({**good, "step": step, name: value})
        analysed = next(step for step, what in refused.items() if what == ("analyses", ["no-such"]))
        server.raw_work = work
        server.clean = [{"step": path, "fence": 1} for path in paths] + ["x", None]
        before = tree(tmp_path, made.root)
        made.start()
        settled(server, *(step for step in refused if step != analysed), made=made)
        for step, what in refused.items():
            if step != analysed:
                assert server.steps[step]["state"] == "failed", what
                assert made.attempts(step) == [], what
        # An unknown analysis fails the analysis, not the result.
        settled(server, analysed, made=made)
        assert server.steps[analysed]["state"] == "done"
        assert server.steps[analysed]["results"][0]["analyses"][0]["state"] == "failed"
        until(lambda: "can't be taken" in made.log() or "leads out" in made.log(), made.log)
        assert made.process.poll() is None
    after = tree(tmp_path, made.root)
    assert after - before <= {str(made.folder / "agent.log")}
    assert list((tmp_path / "outside").iterdir()) == []
    assert os.listdir(made.root / "trash") == []


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"epoch": "x"}', b'{"work": 7}', b"<html>", b'{"interval": 1e999}'])
def test_answers_that_make_no_sense_do_not_end_the_agent(server, tmp_path, answer, monkeypatch):
    import json

    real = server.answer

    def nonsense(method, path, body):
        if "sync" in path and not server.down and len(server.requests) < 12:
            server.requests.append((method, path))
            try:
                return 200, json.loads(answer)
            except ValueError:
                return 200, answer.decode()
        return real(method, path, body)

    monkeypatch.setattr(server, "answer", nonsense)
    step = server.add()
    with site(tmp_path, server.url, limits={"sync_seconds": 1}) as made:
        made.start()
        settled(server, step, made=made)
    assert server.steps[step]["state"] == "done"
