"""The page of a stream's settings: what is set, who may change it, and what can't be undone."""

import pytest
from django.contrib.auth.models import User

from server.learning.background import retention
from server.learning.models import Model, ModelStatus
from server.streams.models import Stream
from tests.dashboard import recorded
from tests.people import person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
PAGE = "/streams/runs/settings/"
CHANGE, RETAIN, DELETE = (f"{PAGE}{what}/" for what in ("change", "retain", "delete"))


@pytest.fixture
def browser(signed_in):
    """Ada's, who owns the stream and its model."""
    found = signed_in()
    ada = User.objects.get(username="ada")
    recorded.stream(owner_id=ada.pk, created_by="ada")
    recorded.model("run", owner_id=ada.pk, created_by="ada")
    recorded.learn("runs", recorded.jobs(60))
    return found


def the_stream():
    return Stream.objects.get(name="runs")


def test_settings_are_shown_and_changed_and_audited(browser, audited):
    page = browser.get(PAGE)
    assert "All 60 observations are kept" in page.text
    assert "No observation is expected at any time" in page.text
    sent = browser.send(page, CHANGE, description="Jobs of the cluster", every="600", grace="60")
    shown = browser.follow(sent)
    assert "The settings are changed" in shown.text and "within 600 s. After 60 s more" in shown.text
    found = the_stream()
    assert (found.description, found.expected_every, found.grace) == ("Jobs of the cluster", 600, 60)
    assert ("ada", "stream.change", "runs") in audited()
    assert browser.send(browser.get(PAGE), CHANGE, every="", grace="").status == 303
    assert the_stream().expected_every is None


@pytest.mark.parametrize(
    "fields, field, said",
    [
        ({"every": "soon"}, "every", "expected a whole number"),
        ({"every": "5"}, "every", "expected whole seconds from 60"),
        ({"every": "600", "grace": "99999999999"}, "grace", "expected whole seconds from 0"),
        ({"every": "", "grace": "7"}, "every", "grace goes with it"),
        ({"description": "x" * 10_001}, "description", "10000"),
    ],
)
def test_a_wrong_setting_is_refused_beside_its_field(browser, fields, field, said):
    refused = browser.send(browser.get(PAGE), CHANGE, **fields)
    assert refused.status == 400 and said in refused.error_at(field).replace(",", "")
    assert the_stream().expected_every is None and the_stream().description == ""


def test_the_first_part_of_the_log_is_dropped_once_it_is_confirmed(browser, audited):
    before = browser.get(PAGE)
    refused = browser.send(before, RETAIN, upto="20", fate="drop")
    assert "type the stream's name, runs" in refused.error_at("confirm_retention")
    assert the_stream().dropped == 0
    done = browser.follow(browser.send(before, RETAIN, upto="20", fate="drop", confirm_retention="runs"))
    assert "Observations 1 to 20 are dropped" in done.text and "All after 20 are kept, up to 60" in done.text
    assert the_stream().dropped == 20 and ("ada", "stream.retain", "runs") in audited()
    assert "Observations 1 to 20 are dropped" in browser.get("/streams/runs/").text


def test_it_is_thinned_out(browser):
    fields = {"upto": "30", "fate": "thin", "confirm_retention": "runs"}
    refused = browser.send(browser.get(PAGE), RETAIN, **fields, thin="")
    assert "keep every 10th" in refused.error_at("thin")
    assert browser.send(browser.get(PAGE), RETAIN, **fields, thin="10").status == 303
    assert (the_stream().dropped, the_stream().whole_after) == (0, 30)
    assert "Of observations 1 to 30, some are kept" in browser.get(PAGE).text


@pytest.mark.parametrize(
    "upto, said", [("60", "from 1 to 59"), ("x", "expected a whole number"), ("0", "from 1 to 59")]
)
def test_a_part_that_is_none_is_refused(browser, upto, said):
    refused = browser.send(browser.get(PAGE), RETAIN, upto=upto, confirm_retention="runs")
    assert refused.status == 400 and said in refused.error_at("upto")


def test_what_would_take_too_long_is_the_operators(browser, monkeypatch):
    monkeypatch.setattr("server.dashboard.views.stream_settings.MOST_COMMITS", 0)
    # One commit has observations 1 to 60, so a part of it is no whole commit.
    Stream.objects.update(head=61)
    refused = browser.send(browser.get(PAGE), RETAIN, upto="60", confirm_retention="runs")
    assert refused.status == 409
    assert "manage.py retain runs --before 61 --drop --yes" in refused.text
    monkeypatch.undo()

    def over(plan, limit, otherwise):
        raise limit.error("run", "the replay", f": {otherwise}")

    monkeypatch.setattr(retention, "carry_out", over)
    refused = browser.send(browser.get(PAGE), RETAIN, upto="20", confirm_retention="runs")
    assert refused.status in (413, 503) and the_stream().dropped == 0


def test_somebody_else_sees_what_is_set_and_changes_nothing(browser, signed_in):
    forms = browser.get(PAGE)
    eve = signed_in("eve", "researcher")
    page = eve.get(PAGE)
    assert "ada, who made the stream, and moderators may change them" in page.text
    assert not page.html.select("main form")
    for action in (CHANGE, RETAIN, DELETE):
        fields = {one["name"]: one.get("value", "") for one in forms.form(action).select("input[name]")}
        fields["csrfmiddlewaretoken"] = eve.get("/account/").html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
        assert (
            eve.client.post(action, {**fields, "confirm_retention": "runs", "confirm_deletion": "runs"}).status_code
            == 403
        )
    assert signed_in("mo", "moderator").get(PAGE).html.select("main form")


def test_a_model_of_somebody_else_keeps_the_log(browser):
    recorded.model("theirs", owner_id=person("eve", "researcher").pk, created_by="eve")
    page = browser.get(PAGE)
    assert "model theirs belongs to somebody else" in page.text.lower()
    assert page.html.select(f'form[action="{CHANGE}"]') and not page.html.select(f'form[action="{RETAIN}"]')


def test_a_stream_is_deleted_once_it_is_confirmed(browser, audited):
    refused = browser.send(browser.get(PAGE), DELETE, confirm_deletion="run")
    assert "type the stream's name" in refused.error_at("confirm_deletion")
    done = browser.follow(browser.send(browser.get(PAGE), DELETE, confirm_deletion="runs"))
    assert "Stream runs is deleted" in done.text
    assert not Stream.objects.exists() and not Model.objects.exists() and not ModelStatus.objects.exists()
    assert ("ada", "stream.delete", "runs") in audited()
