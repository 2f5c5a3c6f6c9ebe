"""Quotas: what users and their tokens may keep, refused above the limit, seen before it, freed by deleting."""

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from river import linear_model

from server.accounts import tokens
from server.core.db.locks import is_sqlite
from server.core.metrics import declarations
from server.learning import registry as models
from server.learning.models import Model, Prediction
from server.learning.predictions import kept_predictions
from server.learning.quota_counts import PREDICTIONS, prediction_bytes
from server.operations.recount import recount
from server.streams import deletion, registry
from server.streams.models import Stream, Usage
from server.streams.points import encoded
from server.streams.quotas.limits import MB
from tests.accounts.calls import anonymous, audited, signed_in, with_token
from tests.api_client import Api, refused
from tests.cell_examples import bond, new_cell
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db]

STREAMS, MODELS, CELLS, ME = "/api/v1/streams/", "/api/v1/models/", "/api/v1/streams/s0/cells/", "/api/v1/me/"
HEADER = "X-Tailrace-Quota"


@pytest.fixture
def quota(required: None, settings: Any) -> Any:
    """Sets quotas; a token may use all of its user's unless it is said otherwise."""

    def set_quotas(**quotas: int) -> None:
        update = {f"quota_{name}": value for name, value in {"token_percent": 100, **quotas}.items()}
        settings.TAILRACE = settings.TAILRACE.model_copy(update=update)

    return set_quotas


def new_stream(api: Api, number: int = 0) -> Any:
    return api.post(STREAMS, {"name": f"s{number}", "target": {"name": "t"}})


def new_model(api: Api, number: int = 0, stream: str = "s0") -> Any:
    return api.post(MODELS, {"name": f"m{number}", "stream": stream, "recipe": "linear"})


def keep(api: Api, identifier: str, size: int = 0, model: str = "m0") -> Any:
    x = {"a": 1.0, **({"k": "x" * size} if size else {})}
    return api.post(f"{MODELS}{model}/predict/", {"x": x, "identifier": identifier})


def used(api: Api, of: str = "user") -> dict[str, int]:
    return {one["name"]: one["used"] for one in api.ok(ME)["quotas"] if one["of"] == of}


def state(api: Api, name: str, of: str = "user") -> Any:
    (found,) = [one for one in api.ok(ME)["quotas"] if (one["name"], one["of"]) == (name, of)]
    return found


# Each quota


def test_one_stream_too_many_is_refused_and_the_message_says_what_to_do(ada, quota):
    quota(streams=2)
    api = with_token(ada)
    assert [new_stream(api, number).status_code for number in range(2)] == [201, 201]
    error = refused(new_stream(api, 2), 403, code="quota_exceeded")
    assert error["message"] == (
        "this would exceed the quota streams: user ada uses 2 of 2 (100 %) for streams, and this needs 1 more; delete streams, "
        "or ask an admin to raise TAILRACE_QUOTA_STREAMS"
    )
    assert sorted(Stream.objects.values_list("name", flat=True)) == ["s0", "s1"]
    assert new_stream(with_token(person("grace")), 3).status_code == 201, "somebody else has a quota of their own"


def test_a_stream_made_by_its_first_observation_or_by_an_upload_counts_too(ada, quota):
    quota(streams=1)
    api = with_token(ada)
    point = {"x": {"a": 1}, "y": 1}
    assert api.post("/api/v1/streams/first/observations/", point).status_code == 201
    refused(api.post("/api/v1/streams/second/observations/", point), 403, code="quota_exceeded")
    answer = _upload(api, "up")
    assert answer.status_code == 403
    body = answer.json()
    assert body["message"] == body["error"]["message"]
    assert body["error"]["code"] == "quota_exceeded"
    assert not Model.objects.exists()
    assert api.post("/api/v1/streams/first/observations/", point).status_code == 201, "learning goes on"


def _upload(api: Api, name: str, estimator: Any = None) -> Any:
    import dill

    data = dill.dumps(estimator or linear_model.LinearRegression())
    return api.post(f"/api/model/regression/{name}/", data, "application/octet-stream")


def test_one_model_too_many_is_refused_and_deleting_one_makes_room_at_once(ada, quota):
    quota(models=2)
    api = with_token(ada)
    new_stream(api)
    assert [new_model(api, number).status_code for number in range(2)] == [201, 201]
    refused(new_model(api, 2), 403, code="quota_exceeded")
    epoch = Stream.objects.get().epoch
    assert api.delete(f"{MODELS}m0/").status_code == 204
    assert Stream.objects.get().epoch == epoch + 1
    assert new_model(api, 2).status_code == 201
    refused(new_model(api, 3), 403, code="quota_exceeded")


def test_the_bytes_of_initial_estimators_count_as_they_are_stored(ada, quota):
    quota(artifact_mb=1)
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    assert used(api)["artifact_bytes"] == len(bytes(Model.objects.get().initial))
    Usage.objects.filter(quota="artifact_bytes").update(used=MB - 10)
    error = refused(new_model(api, 1), 403, code="quota_exceeded")
    assert "TAILRACE_QUOTA_ARTIFACT_MB" in error["message"]
    assert used(api)["models"] == 1, "what is refused by one quota is counted in none"


def test_cells_and_their_bytes_count_and_a_repeated_cell_is_no_new_one(ada, quota):
    quota(cells=2)
    api = with_token(ada)
    new_stream(api)
    cells = [new_cell(f"c{n}", [bond("Zr-Cu", 2.5 + n)], descriptor=None) for n in range(3)]
    assert [api.post(CELLS, cell).status_code for cell in cells[:2]] == [201, 201]
    refused(api.post(CELLS, cells[2]), 403, code="quota_exceeded")
    assert Stream.objects.get().head == 2, "its observations aren't learned either"
    assert api.post(CELLS, cells[0]).status_code == 200
    assert used(api)["cells"] == 2
    quota(cell_mb=1)
    Usage.objects.filter(quota="cell_bytes").update(used=MB - 10)
    error = refused(api.post(CELLS, cells[2]), 403, code="quota_exceeded")
    assert "TAILRACE_QUOTA_CELL_MB" in error["message"]


def test_a_refused_cell_refuses_no_other_point_of_its_group(ada, quota):
    """Cells and points of one stream share a commit: what is refused of one is the others' no matter."""
    from server.cells import posting
    from server.cells.models import Cell
    from server.learning.fold.replica_set import SETS
    from server.learning.write_path import learn_points
    from server.learning.write_path.transaction import Submission
    from server.streams.points import Point, Points
    from server.streams.quotas.limits import Owner, QuotaExceeded

    quota(cells=1)
    stream = registry.create("s0")
    submissions = []
    for number in range(2):
        payload = new_cell(f"c{number}", [bond("Zr-Cu", 2.5)], descriptor=None)
        cell: Cell = posting.checked(payload)
        cell.stream, cell.fingerprint = stream, posting.fingerprint(payload)
        points = Points.of([Point(one["x"], one["y"]) for one in payload["observations"]])
        attachment = posting.CellAttachment(cell, Owner(ada.pk, "ada"))
        submissions.append(Submission(SETS.of(stream.pk), points, encoded(points.xs, points.ys), None, attachment))
    points = Points.of([Point({"a": 1}, 1.0)])
    submissions.append(Submission(SETS.of(stream.pk), points, encoded(points.xs, points.ys)))
    learn_points._learn_group(submissions)
    assert [type(one.error) for one in submissions] == [type(None), QuotaExceeded, type(None)]
    assert Stream.objects.get().head == 2


def test_a_failed_cell_that_gives_way_counts_once(ada, quota):
    quota(cells=1)
    api = with_token(ada)
    new_stream(api)
    failed = {
        "name": "c",
        "structure": new_cell()["structure"],
        "composition": "Cu",
        "status": "failed",
        "reason": "no",
    }
    assert api.post(CELLS, failed).status_code == 201
    refused(api.post(CELLS, {**failed, "name": "d"}), 403, code="quota_exceeded")
    assert api.post(CELLS, new_cell("c", [bond("Zr-Cu", 2.5)], descriptor=None)).status_code == 201
    assert used(api)["cells"] == 1
    assert recount() == []


def test_kept_predictions_count_by_their_bytes_up_to_the_limit_and_not_beyond(ada, quota):
    quota(prediction_mb=1)
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    stored = 0
    for number in range(2000):
        answer = keep(api, f"p{number}", 900)
        if answer.status_code != 200:
            break
    error = refused(answer, 403, code="quota_exceeded")
    assert "TAILRACE_QUOTA_PREDICTION_MB" in error["message"]
    assert "predict without an identifier" in error["message"]
    rows = Prediction.objects.values_list("identifier", "x", "prediction")
    stored = sum(prediction_bytes(*row) for row in rows)
    one = prediction_bytes(*rows[0])
    assert MB - one - 10 <= stored <= MB, "the last byte can be used, and no more"
    assert api.post(f"{MODELS}m0/predict/", {"x": {"a": 1.0}}).status_code == 200, "without an identifier it goes on"
    again = keep(api, "p0", 900)
    assert again.status_code == 200, "one that is there already is answered as it was"
    answer = api.post("/api/predict/", {"model": "m0", "features": {"a": 1.0, "k": "x" * 900}})
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (403, "quota_exceeded")
    assert body["message"] == body["error"]["message"]


def test_predictions_that_are_purged_or_whose_model_is_deleted_make_room(ada, quota):
    quota()
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    new_model(api, 1)
    for number in range(3):
        keep(api, f"p{number}", 1 + number)
        keep(with_token(person(f"other{number}")), f"é{number}", model="m1")
    PREDICTIONS.give_back(idle=0)
    assert recount() == []
    assert used(api)["prediction_bytes"] > 0
    assert api.delete(f"{MODELS}m1/").status_code == 204
    assert not any(
        Usage.objects.filter(quota="prediction_bytes").exclude(user_id=ada.pk).values_list("used", flat=True)
    )
    assert kept_predictions.delete_expired(datetime.now(UTC) + timedelta(days=61)) == 3
    assert used(api)["prediction_bytes"] == 0
    assert recount() == []


def test_deleting_a_stream_makes_room_for_it_and_for_its_failed_cells(ada, quota):
    quota(streams=1)
    api = with_token(ada)
    new_stream(api)
    failed = {
        "name": "c",
        "structure": new_cell()["structure"],
        "composition": "Cu",
        "status": "failed",
        "reason": "no",
    }
    assert api.post(CELLS, failed).status_code == 201
    assert api.delete(f"{STREAMS}s0/").status_code == 204
    assert not any(used(api).values())
    assert new_stream(api, 1).status_code == 201


def test_a_thing_that_two_delete_at_once_is_freed_once(ada, quota):
    quota()
    api = with_token(ada)
    new_stream(api)
    new_stream(api, 1)
    stream = registry.find("s1")
    deletion.delete(stream)
    with pytest.raises(Exception, match="no stream named 's1'"):
        deletion.delete(stream)
    assert used(api)["streams"] == 1


# Tokens


def test_a_token_may_use_its_part_and_another_token_of_the_user_goes_on(ada, quota):
    quota(streams=4, token_percent=50)
    token, secret = tokens.create(ada, "jobs")
    one, other = anonymous(**bearer(secret)), with_token(ada)
    assert [new_stream(one, number).status_code for number in range(2)] == [201, 201]
    error = refused(new_stream(one, 2), 403, code="quota_exceeded")
    assert f"token {token.pk} of user ada uses 2 of 2 (100 %) for streams" in error["message"]
    assert (
        "use another token, or ask an admin to raise TAILRACE_QUOTA_TOKEN_PERCENT or TAILRACE_QUOTA_STREAMS"
        in error["message"]
    )
    assert new_stream(other, 3).status_code == 201
    assert (used(one, "token")["streams"], used(other, "token")["streams"], used(one)["streams"]) == (2, 1, 3)
    assert new_stream(signed_in(ada), 4).status_code == 201, "a person in person has no token's part"
    error = refused(new_stream(other, 5), 403, code="quota_exceeded")
    assert "user ada uses 4 of 4" in error["message"]


def test_an_access_token_counts_for_the_token_that_it_was_issued_for(ada, quota):
    from server.accounts import jwt

    quota(streams=4, token_percent=50)
    _, secret = tokens.create(ada, "jobs")
    caller = tokens.verify(secret)
    assert caller is not None
    api = anonymous(**bearer(jwt.issue(caller)["token"]))
    assert [new_stream(api, number).status_code for number in range(3)] == [201, 201, 403]


# No limit, nobody, a lowered limit


def test_zero_means_no_limit_and_still_counts(ada, quota):
    quota(streams=0, models=0, artifact_mb=0, prediction_mb=0, cells=0, cell_mb=0)
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    keep(api, "p")
    assert state(api, "streams") == {
        "name": "streams", "of": "user", "used": 1, "limit": None, "share": None, "state": "ok",
    }  # fmt: skip
    assert used(api)["prediction_bytes"] > 0


def test_where_nobody_is_asked_nothing_counts(db, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"quota_streams": 1, "quota_models": 1})
    api = anonymous()
    assert [new_stream(api, number).status_code for number in range(3)] == [201] * 3
    assert [new_model(api, number).status_code for number in range(3)] == [201] * 3
    assert keep(api, "p").status_code == 200
    assert not Usage.objects.exists()
    assert api.ok(ME)["quotas"] == []
    assert api.delete(f"{MODELS}m0/").status_code == 204


def test_who_has_more_than_a_lowered_limit_keeps_it_and_gets_no_more(ada, quota):
    quota()
    api = with_token(ada)
    for number in range(3):
        new_stream(api, number)
    quota(streams=2)
    refused(new_stream(api, 3), 403, code="quota_exceeded")
    shown = state(api, "streams")
    assert (shown["used"], shown["limit"], shown["share"], shown["state"]) == (3, 2, 1.5, "reached")
    assert api.delete(f"{STREAMS}s0/").status_code == 204
    refused(new_stream(api, 3), 403, code="quota_exceeded")
    assert api.delete(f"{STREAMS}s1/").status_code == 204
    assert new_stream(api, 3).status_code == 201


# What is seen


def test_the_states_are_seen_at_80_and_at_100_percent(ada, quota, caplog):
    quota(streams=5)
    api, told = with_token(ada), []
    with caplog.at_level(logging.WARNING, "server.streams.quotas.quota_usage"):
        for number in range(5):
            answer = new_stream(api, number)
            told.append((answer.headers.get(HEADER), state(api, "streams")["state"]))
    assert told == [
        (None, "ok"), (None, "ok"), (None, "ok"),
        ("user ada uses 4 of 5 (80 %) for streams", "near"),
        ("user ada uses 5 of 5 (100 %) for streams", "reached"),
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        "quota streams is nearly used up: user ada uses 4 of 5 (80 %) for streams",
        "quota streams is used up: user ada uses 5 of 5 (100 %) for streams",
    ]


def test_the_header_comes_with_models_cells_predictions_and_uploads(ada, quota):
    quota(models=1, cells=1, prediction_mb=1)
    api = with_token(ada)
    new_stream(api)
    answer = _upload(api, "up")
    assert answer.headers[HEADER] == "user ada uses 1 of 1 (100 %) for models"
    assert answer.json() == {"name": "up"}
    answer = api.post(CELLS, new_cell("c", [bond("Zr-Cu", 2.5)], descriptor=None))
    assert answer.headers[HEADER] == "user ada uses 1 of 1 (100 %) for cells"
    assert HEADER not in keep(api, "p0", model="up").headers
    PREDICTIONS.forget()
    Usage.objects.filter(quota="prediction_bytes").update(used=0.9 * MB)
    for number in (1, 2):  # the second of the block that the first charged
        answer = keep(api, f"p{number}", model="up")
        assert re.fullmatch(
            r"user ada uses 0.9 MB of 1.0 MB \(90 %\) for predictions kept for their labels", answer.headers[HEADER]
        )
    assert HEADER not in api.post(f"{MODELS}up/predict/", {"x": {"a": 1.0}}).headers


def test_the_audit_trail_tells_once_that_a_quota_is_used_up(ada, quota):
    quota(streams=1)
    api = with_token(ada)
    for number in range(4):
        new_stream(api, number)
    (entry,) = audited("quota.reached")
    assert (entry.username, entry.target) == ("ada", "ada/streams")
    assert entry.after == '{"quota":"streams","token":null,"used":1,"limit":1}'
    api.delete(f"{STREAMS}s0/")
    new_stream(api, 9)
    assert len(audited("quota.reached")) == 2, "and again when it was free meanwhile"


def test_a_refusal_before_the_last_byte_counts_as_reached_and_is_told_once(ada, quota):
    quota(artifact_mb=1)
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    Usage.objects.filter(quota="artifact_bytes", token_id=0).update(used=MB - 10)
    for number in (1, 2, 3):
        refused(new_model(api, number), 403, code="quota_exceeded")
    assert state(api, "artifact_bytes")["state"] == "reached"
    assert len(audited("quota.reached")) == 1
    assert Model.objects.count() == 1


def test_refusals_are_counted_and_owners_near_a_limit_too(ada, quota):
    from server.operations import metrics
    from server.operations.exposition import text

    quota(streams=1, token_percent=50)
    before = sum(numbers.get("tailrace_quota_refusals\tstreams\tuser", 0) for numbers in declarations.read_all())
    api = with_token(ada)
    new_stream(api)
    new_stream(api, 1)
    scraped = text(metrics.all_metrics()).decode()
    assert f'tailrace_quota_refusals_total{{of="user",quota="streams"}} {before + 1:.1f}' in scraped
    assert 'tailrace_quota_owners{of="user",quota="streams",state="reached"} 1.0' in scraped
    assert 'tailrace_quota_owners{of="token",quota="streams",state="reached"} 1.0' in scraped
    assert 'tailrace_quota_owners{of="user",quota="models",state="near"} 0.0' in scraped


def test_an_admin_sees_what_each_user_uses(ada, quota):
    quota(streams=5)
    api = with_token(ada)
    for number in range(4):
        new_stream(api, number)
    people = {one["user"]: one for one in with_token(person("root", "admin")).ok("/api/v1/users/")["users"]}
    assert people["ada"]["quotas"][0] == {
        "name": "streams", "of": "user", "used": 4, "limit": 5, "share": 0.8, "state": "near",
    }  # fmt: skip
    assert people["root"]["quotas"][0]["used"] == 0


# Counting


def test_counting_anew_finds_nothing_wrong_after_all_of_it_and_mends_what_is(ada, quota, capsys):
    quota()
    api, other = with_token(ada), with_token(person("grace"))
    for number in range(3):
        new_stream(api, number)
        new_model(other, number)
        keep(api, f"p{number}", 5)
    api.post(CELLS, new_cell("c", [bond("Zr-Cu", 2.5)], descriptor=None))
    other.delete(f"{MODELS}m1/")
    PREDICTIONS.give_back(idle=0)
    right = sorted(Usage.objects.exclude(used=0).values_list("user_id", "token_id", "quota", "used"))
    call_command("recount_quotas")
    assert capsys.readouterr().out == "Recounted: all counts were correct.\n"
    Usage.objects.filter(quota="models").update(used=77)
    Usage.objects.filter(quota="streams").delete()
    call_command("recount_quotas")
    assert len(capsys.readouterr().out.splitlines()) == 5, "two users and a token of each, and a last line"
    assert sorted(Usage.objects.exclude(used=0).values_list("user_id", "token_id", "quota", "used")) == right


def test_what_is_left_of_a_block_is_given_back_when_nobody_spends_of_it(ada, quota):
    quota()
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    keep(api, "p")
    size = prediction_bytes(*Prediction.objects.values_list("identifier", "x", "prediction").get())
    assert used(api)["prediction_bytes"] == 256 * 1024
    PREDICTIONS.give_back()
    assert used(api)["prediction_bytes"] == 256 * 1024, "it may be spent yet"
    PREDICTIONS.give_back(idle=0)
    assert used(api)["prediction_bytes"] == size


def test_a_kept_prediction_asks_the_database_for_nothing_more(ada, quota, django_assert_num_queries):
    quota()
    api = with_token(ada)
    new_stream(api)
    new_model(api)
    keep(api, "p0")
    # The transaction's beginning and its end, and on PostgreSQL the row; SQLite's row and who asks aren't counted.
    with django_assert_num_queries(2 if is_sqlite() else 3) as kept:
        keep(api, "p1")
    assert Prediction.objects.filter(identifier="p1").exists()
    assert not [query for query in kept.captured_queries if "streams_usage" in query["sql"]]
    with django_assert_num_queries(0):
        assert api.post(f"{MODELS}m0/predict/", {"x": {"a": 1.0}}).status_code == 200


def test_models_made_without_an_owner_count_for_nobody(ada, quota):
    quota()
    models.create("m", None, "regression", linear_model.LinearRegression())
    models.delete("m")
    assert not Usage.objects.exists()
