"""A calculation is deleted by its owner or an admin once it has ended; its transitions are append-only until then."""

import pytest
from django.db import IntegrityError, connection, transaction

from server.accounts.models import AuditEntry
from server.calculations.models import (
    Calculation,
    Cluster,
    Deletion,
    Leftover,
    LogChunk,
    StoredFile,
    Structure,
    Transition,
)
from server.core.json_codec import loads
from tests.api_client import refused
from tests.calculations.agents import declared
from tests.calculations.conftest import API
from tests.calculations.test_results import put_log

pytestmark = [pytest.mark.django_db, pytest.mark.database]
WATER = "3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"


@pytest.fixture
def ended(agent, submit):
    """A calculation with a file, a log and a structure of its own, whose step is done."""
    made = submit(name="old one", structure_content=WATER, structure_format="xyz")
    (work,) = agent.claim(1)
    put_log(agent, work, 0, b"line\n")
    agent.run(work, files=[declared("a.png", b"x")])
    return made, work


def delete(by, made, confirm="old one"):
    return by.delete(f"{API}{made['id']}/?confirm={confirm}")


def test_it_goes_with_all_that_belongs_to_it_and_the_agent_deletes_its_folder(agent, ended, ada, admin, submit):
    made, work = ended
    other = submit(name="another", again=True)
    assert delete(ada, made).status_code == 204
    assert list(Calculation.objects.values_list("pk", flat=True)) == [other["id"]]
    assert not StoredFile.objects.exists()
    assert not LogChunk.objects.exists()
    assert not Structure.objects.exists(), "it was given with the calculation"
    assert set(Transition.objects.values_list("calculation", flat=True)) == {other["id"]}
    assert "was deleted by ada on" in refused(ada.get(f"{API}{made['id']}/"), 404, "calculation")["message"]
    entry = AuditEntry.objects.get(action="calculation.delete")
    assert (entry.username, entry.target, loads(entry.before)["name"]) == ("ada", str(made["id"]), "old one")
    name = {"step": work["step"], "fence": 1}
    assert agent.sync()["clean"] == [name]
    refused(agent.post(f"steps/{work['step']}/results/", agent.result_body(work)), 409, code="superseded")
    assert agent.report(work, "cleaned")["accepted"] == [{**name, "state": "cleaned"}]
    assert agent.sync()["clean"] == []
    assert not Leftover.objects.exists()
    assert agent.report(work, "cleaned")["accepted"] == [{**name, "state": "unknown"}]


def test_who_may_and_that_its_name_is_typed(ended, ada, admin, moderator, people):
    made, _ = ended
    refused(delete(people.of("researcher", "bob"), made), 403)
    assert "only its owner and admins" in refused(delete(moderator, made), 403)["message"]
    assert "expected the name of calculation" in refused(delete(ada, made, "old"), 400, "confirm")["message"]
    refused(ada.delete(f"{API}{made['id']}/"), 400, "confirm")
    assert Calculation.objects.count() == 1
    assert delete(admin, made).status_code == 204
    refused(delete(admin, made), 404)


def test_only_what_has_ended_is_deleted(agent, submit, ada, moderator):
    made = submit(name="old one")
    assert "step main is ready; cancel it first" in refused(delete(ada, made), 409, code="wrong_state")["message"]
    (work,) = agent.claim(1)
    agent.permit(work)
    Cluster.objects.update(seen_at="2026-01-01T00:00:00Z")
    moderator.ok(f"{API}{made['id']}/steps/main/undecided/", {"decision": "failed"})
    assert "may still run on cluster alpha" in refused(delete(ada, made), 409, code="wrong_state")["message"]
    Cluster.objects.update(state="disabled")
    assert delete(ada, made).status_code == 204
    assert Leftover.objects.count() == 1, "if the cluster comes back, its folder goes"


def tried(sql: str, *parameters: object) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_transitions_are_not_changed_replaced_or_deleted_otherwise(ended, ada):
    made, _ = ended
    before = list(Transition.objects.order_by("pk").values())
    assert len(before) > 5
    tried("UPDATE calculations_transition SET reason = 'other'")
    tried("DELETE FROM calculations_transition WHERE id = %s", before[0]["id"])
    if connection.vendor == "sqlite":
        columns = "id, calculation_id, step_id, fence, at, before, after, who, name, reason"
        tried(
            f"INSERT OR REPLACE INTO calculations_transition ({columns}) SELECT {columns} FROM calculations_transition"
        )
    else:
        tried("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE calculations_transition")
    with pytest.raises(IntegrityError), transaction.atomic():
        Calculation.objects.all().delete()
    assert list(Transition.objects.order_by("pk").values()) == before
    Deletion.objects.create(calculation=made["id"] + 1, name="another")
    tried("DELETE FROM calculations_transition")
    assert delete(ada, made).status_code == 204
