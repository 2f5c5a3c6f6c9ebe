"""Files, logs and reports of steps, and what a hostile agent's token reaches."""

import io
import json
import zipfile

import pytest

from server.calculations.models import LogChunk
from server.contents import contents
from tests.api_client import refused
from tests.calculations.agents import declared
from tests.calculations.conftest import API

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG not really"


def settled(agent, made, **fields):
    (work,) = agent.claim(1)
    agent.permit(work)
    return work, agent.results(work, **fields)


# Files


def test_a_file_is_stored_once_and_only_as_it_was_declared(agent, submit, ada):
    made = submit()
    work, answer = settled(agent, made, files=[declared("thermo.png", PNG)])
    path = f"steps/{work['step']}/files/thermo.png?fence=1"
    assert answer["missing"] == [declared("", PNG)["sha256"]]
    mine = f"{API}{made['id']}/steps/main/files/thermo.png"
    refused(ada.get(mine), 404, "name")
    refused(agent.put(path, b"something else"), 400, "name", "wrong_checksum")
    refused(agent.put(f"steps/{work['step']}/files/other.png?fence=1", PNG), 409, "name", "not_declared")
    for _ in range(2):
        assert agent.put(path, PNG).status_code == 200
    found = ada.get(mine)
    assert found.getvalue() == PNG
    assert found.headers["Content-Disposition"].startswith("attachment")
    assert agent.results(work)["missing"] == []
    _, answer = settled(agent, submit(again=True), files=[declared("copy.png", PNG)])
    assert answer["missing"] == []
    assert len([file for file in contents.folder().rglob("*") if file.is_file()]) == 1


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a\x00b", "x" * 201])
def test_a_name_of_a_file_that_climbs_or_hides_is_refused(agent, submit, name):
    submit()
    (work,) = agent.claim(1)
    agent.permit(work)
    body = agent.result_body(work, files=[declared(name, b"x")])
    assert agent.post(f"steps/{work['step']}/results/", body).status_code == 400


def test_a_file_that_is_too_large_stays_on_the_cluster(agent, submit, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"file_limit_mb": 1})
    submit()
    (work,) = agent.claim(1)
    agent.permit(work)
    body = agent.result_body(work, files=[{**declared("big.bin", b"x"), "size": 2**20 + 1}])
    error = refused(agent.post(f"steps/{work['step']}/results/", body), 413, "files")
    assert "declare it under kept" in error["message"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "fields, field",
    [
        ({"values": {"energy": {"value": None}}}, "values.energy.value"),
        ({"values": {"energy": {"value": [1]}}}, "values.energy.value"),
        ({"values": {"energy": 1}}, "values.energy"),
        ({"values": {"energy": {"value": 1, "unit": 3}}}, "values.energy.unit"),
        ({"tables": {"t": {"columns": {"a": None}, "rows": [[1, 2]]}}}, "tables.t.rows[0]"),
        ({"tables": {"t": {"columns": {}, "rows": []}}}, "tables.t.columns"),
        ({"state": "queued"}, "state"),
        ({"report": "a\x00b"}, "report"),
        ({"report": "x" * 100_001}, "report"),
        ({"files": [declared("a", b""), declared("a", b"")]}, "files"),
        ({"analyses": [{"name": "thermo", "state": "perhaps"}]}, "analyses[0].state"),
    ],
)
def test_results_that_can_not_be_are_refused_and_change_nothing(agent, submit, shown, fields, field):
    made = submit()
    (work,) = agent.claim(1)
    agent.permit(work)
    before = shown(made)
    refused(agent.post(f"steps/{work['step']}/results/", {**agent.result_body(work), **fields}), 400, field)
    assert shown(made) == before


# Logs


def put_log(agent, work, offset, data):
    return agent.put(f"steps/{work['step']}/log?fence={work['fence']}&offset={offset}", data)


def test_a_log_goes_up_by_offset_and_nothing_is_doubled(agent, submit, ada):
    made = submit()
    (work,) = agent.claim(1)
    assert put_log(agent, work, 0, b"one\n").json() == {"next": 4}
    again = put_log(agent, work, 0, b"one\n")
    assert (again.status_code, again.json()["next"]) == (409, 4)
    assert put_log(agent, work, 9, b"late").json()["next"] == 4
    assert put_log(agent, work, 4, b"two \xff\x1b[2J\n").json() == {"next": 14}
    path = f"{API}{made['id']}/steps/main/log/"
    found = ada.ok(path)
    assert found == {
        "fence": 1, "offset": 0, "next": 14, "size": 14, "dropped": None, "text": "one\ntwo \ufffd\x1b[2J\n",
    }  # fmt: skip
    assert ada.ok(f"{path}?offset=4&limit=3")["text"] == "two"
    assert ada.ok(f"{path}?tail=5")["offset"] == 9


def test_a_long_log_keeps_its_beginning_and_its_end(agent, submit, ada, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"log_limit_mb": 2})
    made = submit()
    (work,) = agent.claim(1)
    chunk = 2**19
    for n in range(20):
        assert put_log(agent, work, n * chunk, bytes([65 + n]) * chunk).status_code == 200
    assert LogChunk.objects.count() <= 8
    path = f"{API}{made['id']}/steps/main/log/"
    head = ada.ok(f"{path}?limit=10")
    assert (head["text"], head["size"]) == ("A" * 10, 20 * chunk)
    begin, end = head["dropped"]
    assert begin == 2**20
    assert ada.ok(f"{path}?offset={begin}&limit=10")["offset"] == end
    assert ada.ok(f"{path}?tail=10")["text"] == "T" * 10
    read, offset = 0, 0
    while offset < head["size"]:
        part = ada.ok(f"{path}?offset={offset}&limit={2**20}")
        read, offset = read + len(part["text"]), part["next"]
    assert read == head["size"] - (end - begin)


def test_a_part_of_a_log_that_is_too_large(agent, submit):
    submit()
    (work,) = agent.claim(1)
    refused(put_log(agent, work, 0, b"x" * (2**20 + 1)), 413)


# Reports


def test_a_report_has_values_tables_pictures_and_provenance(agent, submit, ada):
    made = submit(name="<b>scan</b>", steps=[{"name": "a"}, {"name": "b"}], structure_content="1\n\nH 0 0 0\n")
    tables = {"thermo": {"columns": {"T": "K", "E": None}, "rows": [[300, 1.5], [400, None]]}}
    analyses = [
        {
            "name": "thermo",
            "state": "done",
            "values": {"slope": {"value": 2}},
            "files": [declared("fit.png", PNG)],
            "report": "<i>A line</i>",
        }
    ]
    work, _ = settled(agent, made, tables=tables, analyses=analyses, job="77")
    agent.put(f"steps/{work['step']}/files/fit.png?fence=1", PNG)
    settled(agent, made, state="unconverged", reason="SCF", values={"energy": {"value": 99}})
    path = f"{API}{made['id']}/report/"
    found = ada.ok(path)
    done, bad = found["results"]
    assert done["values"]["energy"] == {"value": -1.5, "unit": "eV"}
    assert done["provenance"]["version"] == "1.0"
    assert (bad["state"], bad["reason"], bad["values"]) == ("unconverged", "SCF", {})
    page = ada.get(f"{path}?format=html")
    assert page.headers["Content-Disposition"].startswith("attachment")
    text = page.getvalue().decode()
    assert "&lt;b&gt;scan&lt;/b&gt;" in text
    assert "<b>" not in text
    assert "&lt;i&gt;A line&lt;/i&gt;" in text
    assert "data:image/png;base64," in text
    assert "99" not in text.split("Step b")[1].split("Parameters")[0]
    archive = zipfile.ZipFile(io.BytesIO(ada.get(f"{path}?format=rocrate").getvalue()))
    root = f"calculation-{made['id']}/"
    metadata = json.loads(archive.read(f"{root}ro-crate-metadata.json"))
    parts = {part["@id"]: part for part in metadata["@graph"]}
    assert parts["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert {one["@id"] for one in parts["./"]["hasPart"]} == {
        name.removeprefix(root) for name in archive.namelist()
    } - {"ro-crate-metadata.json"}  # fmt: skip
    assert archive.read(f"{root}results/a/fit.png") == PNG


# A hostile agent


def test_an_agents_token_reaches_the_work_of_its_own_cluster_alone(new_agent, submit, api):
    alpha, mallory = new_agent("alpha"), new_agent("mallory")
    submit(cluster="alpha")
    (work,) = alpha.claim(1)
    alpha.permit(work)
    step = f"steps/{work['step']}"
    refused(mallory.post(f"{step}/permit/", {"epoch": mallory.epoch, "fence": 1}), 404, "step")
    refused(mallory.post(f"{step}/results/", mallory.result_body(work)), 404, "step")
    refused(put_log(mallory, work, 0, b"x"), 404, "step")
    refused(mallory.put(f"{step}/files/a?fence=1", b"x"), 404, "step")
    assert mallory.report(work, "failed")["accepted"][0]["state"] == "unknown"
    assert mallory.claim(5) == []
    for path in ("me/", "calculations/", "clusters/", "streams/", "tokens/", "users/", "programs/"):
        refused(api.get(f"/api/v1/{path}", **mallory.headers), 403)
    refused(api.post("/api/v1/streams/s/observations/", {"x": {"a": 1}, "y": 1}, **mallory.headers), 403)


def test_an_agent_learns_into_the_streams_of_its_cluster_alone(new_agent, ada, admin, api):
    for name in ("times", "others"):
        ada.stream(name)
    agent = new_agent("alpha", streams=["times"])

    def learn(stream):
        point = {"x": {"a": 1.0}, "y": 1.0}
        return api.post(f"/api/v1/streams/{stream}/observations/", point, **agent.headers).status_code

    assert (learn("times"), learn("others")) == (201, 404)
    assert api.get("/api/v1/streams/times/observations/", **agent.headers).status_code == 403
    admin.patch("/api/v1/clusters/alpha/", {"streams": ["others"]})
    assert (learn("times"), learn("others")) == (404, 201)


def test_the_token_of_a_cluster_is_rotated_and_ends_with_the_cluster(admin, agent, api):
    old = agent.headers
    token = admin.ok("/api/v1/clusters/alpha/token/", {}, 201)["token"]
    agent.sync()
    agent.headers = {"Authorization": f"Bearer {token}"}
    agent.sync()
    assert admin.delete("/api/v1/clusters/alpha/").status_code == 204
    for headers in (old, agent.headers):
        assert api.post("/api/v1/agent/sync/", agent.sync_body(), **headers).status_code == 401


@pytest.mark.parametrize("step", ["nothing", "a%00b", "..", "%F0%9F%92%A5"])
def test_steps_that_there_are_not(agent, step):
    answer = agent.post(f"steps/{step}/permit/", {"epoch": 1, "fence": 1})
    assert answer.status_code in (400, 404)
