"""Submitting: what is stored, what is refused, and with which message."""

import pytest

from server.calculations.models import Calculation, Step
from tests.api_client import refused
from tests.calculations.agents import program
from tests.calculations.conftest import API

pytestmark = pytest.mark.django_db
H2 = "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 0.74\n"


def body(**fields):
    return {"name": "a calculation", "program": "code", **fields}


def test_a_single_step_has_the_defaults_of_the_schema(agent, submit):
    made = submit()
    (step,) = made["chain"]
    assert (step["name"], step["state"], step["parents"]) == ("main", "ready", [])
    assert step["parameters"] == {"voltage": 0, "method": "fast"}
    assert step["resources"] == {"nodes": 1, "processes": 1, "seconds": 3600}
    assert (made["state"], made["cost"], made["created_by"]) == ("waiting", 1.0, "ada")


def test_a_scan_by_a_step_ends_where_it_should(agent, submit):
    made = submit(scan={"parameter": "voltage", "from": 0, "to": 1, "by": 0.1, "chained": True})
    values = [step["parameters"]["voltage"] for step in made["chain"]]
    assert values == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [step["name"] for step in made["chain"]][:2] == ["01-0.0", "02-0.1"]
    assert [step["parents"] for step in made["chain"]][:3] == [[], ["01-0.0"], ["02-0.1"]]
    assert made["steps"] == {"ready": 1, "waiting": 10}


def test_a_scan_of_values(agent, submit):
    made = submit(scan={"parameter": "method", "values": ["fast", "exact"]})
    assert [(step["name"], step["parameters"]["method"]) for step in made["chain"]] == [
        ("1-fast", "fast"), ("2-exact", "exact"),
    ]  # fmt: skip
    assert made["steps"] == {"ready": 2}


def test_a_graph_runs_in_the_order_of_its_parents(agent, submit, shown):
    steps = [
        {"name": "join", "parents": ["left", "right"]}, {"name": "left", "parents": ["top"]},
        {"name": "right", "parents": ["top"]}, {"name": "top"},
    ]  # fmt: skip
    made = submit(steps=steps)
    order = []
    while work := agent.claim(10):
        order.append(sorted(one["name"] for one in work))
        for one in work:
            agent.run(one)
    assert order == [["top"], ["left", "right"], ["join"]]
    assert shown(made)["state"] == "done"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "fields, field, says",
    [
        ({"program": "codes"}, "program", "no cluster offers a program named 'codes': expected one of code"),
        ({"cluster": "gamma"}, "cluster", "no cluster named"),
        ({"parameters": {"voltage": 11}}, "parameters.voltage", "is 11: expected at most 10 (V)"),
        ({"parameters": {"voltage": "high"}}, "parameters.voltage", "expected a value of the type number"),
        ({"parameters": {"method": "slow"}}, "parameters.method", "expected one of 'fast', 'exact'"),
        ({"parameters": {"volts": 1}}, "parameters.volts", "has the parameters method, steps, voltage"),
        ({"structure": "water"}, "structure", "no structure named"),
        ({"structure_content": "2\n\nH 0 0 0\n"}, "structure_content", "expected 4, one frame of 2 atoms"),
        ({"structure_content": "1\n\nH 0 0 nan\n"}, "structure_content", "line 3"),
        ({"steps": []}, "steps", "0 steps"),
        ({"steps": [{"name": "a"}, {"name": "a"}]}, "steps[1].name", "names of steps differ"),
        ({"steps": [{"name": "a/b"}]}, "steps[0].name", "not a valid name of a step"),
        ({"steps": [{"name": "a", "parents": ["b"]}]}, "steps[0].parents", "no step has this name"),
        ({"steps": [{"name": "a", "parents": ["a"]}]}, "steps", "circle: a → a"),
        (
            {"steps": [{"name": "a", "parents": ["b"]}, {"name": "b", "parents": ["a"]}]},
            "steps", "the parents of steps go in a circle",
        ),
        ({"steps": [{"name": "a", "parameters": {"steps": 0}}]}, "steps[0].parameters.steps", "at least 1"),
        ({"scan": {"parameter": "voltage"}}, "scan", "neither values nor all of from, to and by"),
        ({"scan": {"parameter": "voltage", "from": 0, "to": 1, "by": -1}}, "scan.by", "never leads"),
        ({"scan": {"parameter": "voltage", "from": 0, "to": 1, "by": 1e-300}}, "scan.by", "the most allowed"),
        ({"scan": {"parameter": "voltage", "values": [1], "to": 3}}, "scan.values", "expected one of them"),
        ({"scan": {"parameter": "voltage", "values": [99]}}, "parameters.voltage", "at most 10"),
        ({"steps": [{"name": "a"}], "scan": {"parameter": "voltage", "values": [1]}}, "scan", "both"),
        ({"analyses": ["picture"]}, "analyses", "analysis picture requires thermo"),
        ({"analyses": ["bands"]}, "analyses", "has no analysis"),
        ({"resources": {"nodes": 0}}, "resources.nodes", "from 1 to"),
        ({"name": " "}, "name", "empty"),
        ({"colour": "red"}, "colour", "unknown field"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_and_nothing_is_stored(agent, ada, fields, field, says):
    error = refused(ada.post(API, body(**fields)), ada.post(API, body(**fields)).status_code, field)
    assert says in error["message"], error
    assert ada.post(API, body(**fields)).status_code in (400, 404, 413)
    assert not Calculation.objects.exists()
    assert not Step.objects.exists()


def test_a_program_that_needs_a_structure_and_one_that_takes_none(new_agent, ada):
    new_agent("alpha", program("needs", needs_structure=True), program("none", needs_structure=False))
    refused(ada.post(API, body(program="needs")), 400, "structure", "missing")
    refused(ada.post(API, body(program="none", structure_content=H2)), 400, "structure")
    ada.ok(API, body(program="needs", structure_content=H2), 201)


def test_programs_of_one_calculation_must_be_on_one_cluster(new_agent, ada):
    new_agent("alpha", program("code"))
    new_agent("beta", program("other"))
    steps = [{"name": "a"}, {"name": "b", "program": "other"}]
    error = refused(ada.post(API, body(steps=steps)), 400, "steps")
    assert "no cluster offers all of code, other" in error["message"]
    error = refused(ada.post(API, body(cluster="beta")), 400, "program")
    assert "cluster beta offers other" in error["message"]


def test_identical_input_that_is_done_is_offered_and_runs_again_only_if_asked(agent, submit, ada):
    fields = {"parameters": {"voltage": 3}, "structure_content": H2}
    first = submit(**fields)
    assert submit(**fields)["id"] != first["id"]  # it is not done yet
    agent.run_all()
    offered = submit(status=200, **fields)
    assert (offered["created"], offered["calculation"]) == (False, None)
    assert [one["versions"] for one in offered["identical"]] == [{"code": "1.0"}, {"code": "1.0"}]
    assert first["id"] in [one["id"] for one in offered["identical"]]
    submit(again=True, **fields)
    submit(**{**fields, "parameters": {"voltage": 4}})
    agent.register(program(version="1.1"))
    submit(**fields)  # the program is another one now


def test_a_clone_has_the_changes(agent, submit, ada):
    made = submit(parameters={"voltage": 3}, description="first")
    clone = ada.ok(f"{API}{made['id']}/clone/", {"changes": {"parameters": {"voltage": 4}}}, 201)["calculation"]
    assert clone["chain"][0]["parameters"]["voltage"] == 4
    assert (clone["name"], clone["description"]) == (made["name"], "first")
    refused(ada.post(f"{API}{made['id']}/clone/", {"changes": {"program": 3}}), 400, "program")


def test_a_user_has_no_more_unfinished_steps_than_they_may(agent, submit, ada, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"quota_steps": 3})
    submit(scan={"parameter": "voltage", "values": [1, 2]})
    error = refused(ada.post(API, body(scan={"parameter": "voltage", "values": [1, 2]})), 403, code="quota_exceeded")
    assert "ada has 2 steps that have not ended" in error["message"]
    agent.run_all()
    submit(scan={"parameter": "voltage", "values": [3, 4]})


def test_structures_are_stored_once_and_deleted_only_when_unused(agent, ada, people, submit):
    made = ada.ok("/api/v1/structures/", {"name": "h2", "content": H2}, 201)
    assert (made["formula"], made["atoms"], made["periodic"]) == ("H2", 2, False)
    assert ada.ok("/api/v1/structures/", {"name": "h2", "content": H2}, 200) == made
    refused(ada.post("/api/v1/structures/", {"name": "h2", "content": "1\n\nH 0 0 0"}), 409, "name", "name_taken")
    refused(people.of("researcher", "eve").delete("/api/v1/structures/h2/"), 403)
    calculation = submit(structure="h2")
    assert calculation["structure"]["name"] == "h2"
    assert agent.claim()[0]["structure"] == H2
    refused(ada.delete("/api/v1/structures/h2/"), 409, code="in_use")
    assert submit(structure_content=H2)["structure"]["id"] == made["id"]


@pytest.mark.parametrize("form", ["cif", "vasp"])
def test_other_formats_are_read_by_ase(ada, form):
    ase = pytest.importorskip("ase.build")
    from io import BytesIO, StringIO

    from ase.io import write

    file = BytesIO() if form == "cif" else StringIO()
    write(file, ase.bulk("Si"), format=form)
    content = file.getvalue()
    content = content.decode() if isinstance(content, bytes) else content
    made = ada.ok("/api/v1/structures/", {"name": "si", "content": content, "format": form}, 201)
    assert (made["formula"], made["periodic"], made["format"]) == ("Si2", True, form)
    assert made["content"].startswith("2\nLattice=")
    refused(ada.post("/api/v1/structures/", {"name": "x", "content": "what?", "format": form}), 400, "content")


def test_a_request_that_is_repeated_with_its_key_submits_once(agent, ada, moderator):
    body = {"name": "a calculation", "program": "code", "key": "k1"}
    first = ada.ok(API, body, 201)
    assert ada.ok(API, body, 201)["id"] == first["id"]
    agent.run_all()
    assert ada.ok(API, body, 201)["id"] == first["id"], "done meanwhile, and still the answer to this request"
    error = refused(ada.post(API, {**body, "name": "another"}), 409, code="key_taken")
    assert error["field"] == "key"
    assert moderator.ok(API, {**body, "again": True}, 201)["id"] != first["id"], "keys belong to a user"
    assert Calculation.objects.count() == 2
