"""Calculations as large as they may be, and larger: nobody else waits for them, and no answer takes much memory."""

import contextlib

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from server.calculations import acting, advertised, files, reading, schemas, sessions, structures, syncing, work
from server.calculations.models import Attempt, Calculation, Step, Transition
from server.core.errors import Invalid, TooLarge
from server.dashboard.views import calculation as page_of_calculation
from tests.api_client import refused
from tests.calculations.agents import program
from tests.calculations.conftest import API

pytestmark = pytest.mark.django_db
ANY = {"type": "object"}


def body(**fields):
    return {"name": "a calculation", "program": "code", **fields}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def statements(act):
    """How many SQL statements it takes."""
    with CaptureQueriesContext(connection) as seen:
        act()
    return len(seen)


def test_items_are_unique_as_json_schema_says_and_are_not_compared_with_each_other(monkeypatch):
    def compared(*_):
        raise AssertionError("each with each")

    monkeypatch.setattr("jsonschema._keywords.uniq", compared)
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    for items in ([1, True, "1", [1], {"a": 1}], [{"a": n} for n in range(50)], [[], {}], [None, False, 0]):
        schemas.check_parameters({"a": items}, schema, "parameters", "code")
    for items in ([1, 1.0], [{"a": [1]}, {"a": [1.0]}], [True, True], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]):
        with pytest.raises(Invalid, match=r"parameters\.a is .*: expected uniqueItems true"):
            schemas.check_parameters({"a": items}, schema, "parameters", "code")


def test_requests_that_are_too_large_are_refused(new_agent, ada):
    agent = new_agent("alpha", program(schema=ANY))
    long = {"text": "x" * (schemas.LARGEST_PARAMETERS // 2)}
    many = [{"name": f"s{n}"} for n in range(200)]
    linked = [*many, *({"name": f"t{n}", "parents": [one["name"] for one in many]} for n in range(60))]
    cases = {
        "one step's": ({"parameters": {"text": "x" * schemas.LARGEST_PARAMETERS}}, 413, "parameters", "a file on the cluster"),
        "shared ones": ({"parameters": long, "scan": {"parameter": "n", "values": list(range(100))}}, 413, "parameters", "counted for each"),
        "parents": ({"steps": linked}, 413, "steps", "12000 parents together: the most allowed is 10000"),
        "deep parameters": ({"parameters": {"a": nested(100)}}, 400, "parameters", "nested deeper than 40 levels"),
        "a deep body": ({"parameters": {"a": nested(400)}}, 400, None, "nested deeper than 250 levels"),
    }  # fmt: skip

    for name, (fields, status, field, says) in cases.items():
        error = refused(ada.post(API, body(**fields)), status)
        assert (error.get("field"), says in error["message"]) == (field, True), (name, error)
    assert not Calculation.objects.exists()
    deep = program("deep", schema={**ANY, "properties": {"a": {"const": nested(100)}}})
    assert "nested deeper" in agent.register(deep)["refused"][0]["reason"]


@pytest.mark.database
def test_a_chain_takes_as_many_statements_as_a_short_one(new_agent, submit, ada):
    """On SQLite nobody can learn while a transaction of these is open."""
    agent = new_agent("alpha", program(schema=ANY))
    seen = {}
    for length in (4, 40):
        made = submit(scan={"parameter": "n", "values": list(range(length)), "chained": True})
        at = f"{API}{made['id']}"
        (first,) = agent.claim(1)
        seen[length] = [
            statements(lambda: agent.report(first, "failed")),  # noqa: B023
            *(statements(lambda: ada.ok(f"{at}/{act}/", {})) for act in ("retry", "hold", "release", "cancel")),  # noqa: B023
        ]
        assert ada.ok(f"{at}/")["steps"] == {"cancelled": length}
    assert seen[4] == seen[40]


def test_steps_that_change_alike_are_stored_by_one_statement(new_agent, submit):
    agent = new_agent("alpha", program(schema=ANY))
    made = submit(scan={"parameter": "n", "values": list(range(40)), "chained": True})
    agent.claim(1)
    for act in (acting.hold, acting.release, acting.cancel, acting.retry):
        with CaptureQueriesContext(connection) as seen:
            act(made["id"], "ada")
        updates = [one["sql"] for one in seen if 'UPDATE "calculations_step"' in one["sql"]]
        assert len(updates) <= 2, act  # the first one may become ready, and the others waiting
        assert not any(" times: " in sql for sql in updates)
        logged = Transition.objects.filter(step__isnull=False).order_by("pk").values_list("step", "after")
        assert dict(logged) == dict(Step.objects.values_list("pk", "state"))


def test_descendants_of_a_step_that_failed_are_blocked_and_wait_again_when_it_runs_again(new_agent, submit, ada, shown):
    agent = new_agent("alpha", program(schema=ANY))
    steps = [
        {"name": "a"}, {"name": "b", "parents": ["a"]}, {"name": "c", "parents": ["b", "e"]}, {"name": "d", "parents": ["c"]},
        {"name": "e"},
    ]  # fmt: skip
    made = submit(steps=steps)
    first, other = agent.claim(5)
    agent.report(first, "failed")
    agent.permit(other)
    assert {one["name"]: one["state"] for one in shown(made)["chain"]} == {
        "a": "failed", "b": "blocked", "c": "blocked", "d": "blocked", "e": "permitted",
    }  # fmt: skip
    ada.ok(f"{API}{made['id']}/retry/", {})
    agent.results(other)
    assert agent.run_all() == 4
    assert shown(made)["state"] == "done"


@pytest.mark.database
def test_many_reports_are_taken_in_several_transactions(new_agent, submit, shown, monkeypatch):
    agent = new_agent("alpha", program(schema=ANY))
    made = submit(scan={"parameter": "n", "values": list(range(7))})
    claimed = agent.claim(7)
    for one in claimed:
        agent.permit(one)
    taken = []
    take = syncing._take
    monkeypatch.setattr(syncing, "MOST_IN_TURN", 3)
    monkeypatch.setattr(syncing, "_take", lambda change, of, some: taken.append(len(some)) or take(change, of, some))
    reports = [{"step": one["step"], "fence": one["fence"], "state": "running"} for one in claimed]
    answer = agent.sync(steps=reports)
    assert taken == [3, 3, 1]
    assert [one["step"] for one in answer["accepted"]] == [one["step"] for one in claimed]
    assert {one["state"] for one in answer["accepted"]} == {"running"}
    assert agent.sync(steps=reports)["accepted"] == answer["accepted"]
    assert shown(made)["steps"] == {"running": 7}


def test_programs_are_checked_before_the_transaction_and_have_a_size_together(agent, monkeypatch):
    inside = []

    @contextlib.contextmanager
    def transaction():
        inside.append(True)
        try:
            with writing():
                yield
        finally:
            inside.pop()

    check, writing = schemas.check_schema, sessions.transaction_for_writing

    def checked(*arguments):
        assert not inside
        check(*arguments)

    monkeypatch.setattr(sessions, "transaction_for_writing", transaction)
    monkeypatch.setattr(schemas, "check_schema", checked)
    agent.register(program())
    large = [program(f"p{n}", description="d" * 10_000) for n in range(advertised.LARGEST_TOGETHER // 10_000 + 1)]
    error = refused(agent.post("register/", agent.registration(*large)), 413)
    assert error["field"] == "programs"


@pytest.mark.database
def test_a_session_that_has_many_steps_opens_with_as_many_statements_as_one_that_has_few(new_agent, submit):
    agent = new_agent("alpha", program(schema=ANY))
    seen = []
    for number in (3, 30):
        submit(scan={"parameter": "n", "values": list(range(number))}, again=True)
        agent.claim(number)
        holdings = [
            {"step": one.step.uid, "fence": one.fence, "state": "claimed"}
            for one in Attempt.objects.filter(state="claimed").select_related("step")
        ]
        seen.append(statements(lambda: agent.register(program(schema=ANY), holdings=holdings)))  # noqa: B023
        assert Attempt.objects.filter(epoch=agent.epoch).count() == len(holdings)
    assert seen[0] == seen[1]
    agent.register(program(schema=ANY))
    assert set(Attempt.objects.values_list("state", flat=True)) == {Attempt.GIVEN_BACK}


def test_a_small_file_that_asks_for_billions_of_atoms_is_read_in_a_process_that_ends():
    poscar = "x\n1.0\n10 0 0\n0 10 0\n0 0 10\nSi\n{}\nDirect\n0 0 0\n"
    assert structures.read(poscar.format(1), "vasp").formula == "Si"
    with pytest.raises(Invalid, match="content can't be read as vasp: it takes more than 10 s or 1024 MB"):
        structures.read(poscar.format(3_000_000_000), "vasp")


def test_large_texts_are_not_read_where_nobody_needs_them(agent, submit, ada):
    xyz = "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 0.74\n"
    made = submit(structure_content=xyz, scan={"parameter": "voltage", "values": [1, 2, 3]})
    with CaptureQueriesContext(connection) as seen:
        agent.claim(1)
        acting.hold(made["id"], "ada")
        reading.chain(Calculation.objects.get(pk=made["id"]))
    asked = [one["sql"] for one in seen if '"asked"' in one["sql"]]
    assert len(asked) == 1  # the last line's own
    contents = [one["sql"] for one in seen if '"content"' in one["sql"]]
    assert all('FROM "calculations_structure"' in one for one in contents)  # once for each structure, not for each step


def test_an_agent_is_told_the_work_that_fits_and_the_rest_later(new_agent, submit, monkeypatch):
    agent = new_agent("alpha", program(schema=ANY))
    submit(parameters={"text": "x" * 100}, scan={"parameter": "n", "values": list(range(5))})
    monkeypatch.setattr(work, "MOST_BYTES", 300)
    told = agent.claim(5)
    assert [one["name"] for one in told] == ["1-0", "2-1"]
    for one in told:
        agent.permit(one)
    Attempt.objects.update(claimed_at="2020-01-01T00:00:00Z")
    assert [one["name"] for one in agent.claim(0)] == ["3-2", "4-3"]
    monkeypatch.setattr(work, "MOST_BYTES", 1)
    assert [one["name"] for one in agent.claim(0)] == ["3-2"]  # at least one


@pytest.fixture
def with_tables(new_agent, submit):
    """A calculation of two steps that are done, each with a table."""
    agent = new_agent("alpha", program(schema=ANY))
    made = submit(scan={"parameter": "n", "values": [1, 2]})
    for one in agent.claim(2):
        agent.run(one, tables={"t": {"columns": {"a": "eV"}, "rows": [[n] for n in range(100)]}})
    return made


def test_large_results_are_left_out_and_shown_step_by_step(with_tables, ada, monkeypatch):
    at = f"{API}{with_tables['id']}/"

    def tables(path):
        return [len(one["result"]["tables"]) for one in ada.ok(path)["chain"]]

    assert tables(at) == [1, 1]
    monkeypatch.setattr(reading, "MOST_SHOWN", 600)
    assert tables(at) == [1, 0]
    assert [one["result"]["left_out"] for one in ada.ok(at)["chain"]] == [False, True]
    assert [one["left_out"] for one in ada.ok(f"{at}report/")["results"]] == [False, True]
    assert ada.get(f"{at}report/?format=html").getvalue().count(b"are left out") == 1
    monkeypatch.setattr(reading, "MOST_SHOWN", 1)
    assert tables(at) == [0, 0]
    assert tables(f"{at}?step=2-2") == [1]


def test_calculations_with_large_results_are_read_a_few_at_a_time(with_tables, ada, monkeypatch):
    at = f"{API}{with_tables['id']}/"
    monkeypatch.setattr(reading, "READING", reading.Slots(lambda: (0, 0), "full: {limit}", "yours: {limit}"))
    assert ada.get(at).status_code == 200
    monkeypatch.setattr(reading, "LARGE", 1)
    for path in (at, f"{at}report/", f"{at}report/?format=html"):
        refused(ada.get(path), 429)


def test_files_that_are_too_large_together_are_downloaded_one_by_one(with_tables, monkeypatch):
    found = Calculation.objects.get(pk=with_tables["id"])
    files.check_together(found)
    monkeypatch.setattr(files, "MOST_TOGETHER", -1)
    with pytest.raises(TooLarge, match="download them one by one"):
        files.check_together(found)


def test_the_table_of_all_steps_has_a_limited_number_of_columns():
    names = [f"p{n}" for n in range(1_000)]
    chain = [
        {
            "name": step, "anchor": step, "state": "done", "tone": "good", "pictures": [], "corrections": {},
            "parameters": {f"{step}-{name}": 1 for name in names},
            "result": {"state": "done", "values": {f"{step}-{name}": {"value": 1} for name in names}},
        }
        for step in ("one", "two")
    ]  # fmt: skip
    found = page_of_calculation._summary(chain)
    most = page_of_calculation.MOST_COLUMNS
    assert (len(found["varied"]), len(found["names"])) == (most, most)
