"""Pages of campaigns and compositions, used as a person without scripts uses them."""

import pytest
from django.contrib.auth.models import User

from server.campaigns import driver
from server.campaigns.evaluations import worker
from server.campaigns.models import Campaign, Composition
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

NEW = "/campaigns/new/"
HERE = "/campaigns/glasses/"
CHANGE = "/campaigns/glasses/change/"


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def signed_in(name: str, role: str) -> Browser:
    if not User.objects.filter(username=name).exists():
        person(name, role)
    user = User.objects.get(username=name)
    user.set_password(PASSWORD)
    user.save()
    browser = Browser()
    browser.sign_in(name)
    return browser


@pytest.fixture
def eve(loop) -> Browser:
    """A researcher in a browser."""
    return signed_in("eve", "researcher")


@pytest.fixture
def mona(loop) -> Browser:
    """A moderator in a browser."""
    return signed_in("mona", "moderator")


def test_a_campaign_is_created_with_the_form(eve, loop):
    made = eve.send(
        eve.get(NEW), NEW, name="glasses", models="tree", compositions="Cu50Zr50", targets="Zr-Cu 0.05\nZr-Zr=0.05",
        calculations="20", description="as a test",
    )  # fmt: skip
    page = eve.follow(made)
    assert "It decides what to calculate first" in page.text
    assert "Nothing is labeled yet" in page.text
    row = Campaign.objects.get()
    assert (row.name, row.created_by, row.approval, row.policy) == ("glasses", "eve", "every", "families")
    assert row.targets == '{"Zr-Cu":0.05,"Zr-Zr":0.05}'
    assert "glasses" in eve.get("/campaigns/").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name"),
        ({"targets": "Zr-Cu"}, "expected a bond type and its largest rmse"),
        ({"targets": "Zr-Cu soon"}, "expected a number"),
        ({"targets": "Zr-Cu -1"}, "targets"),
        ({"compositions": "Xx50"}, "no composition"),
        ({"calculations": "many"}, "expected a whole number"),
        ({"node_hours": "x"}, "expected a number"),
        ({"programs": "{"}, "expected json"),
        ({"programs": "[]"}, "programs"),
        ({"seed": "-1"}, "seed"),
    ],
)
def test_a_wrong_field_is_named_and_the_rest_stays_filled_in(eve, fields, said):
    sent = {
        "name": "glasses",
        "compositions": "Cu50Zr50",
        "targets": "Zr-Cu 0.05",
        "models": "tree",
        "description": "kept",
        **fields,
    }
    answer = eve.send(eve.get(NEW), NEW, **sent)
    assert answer.status in (400, 404), answer.text
    assert said in answer.text.lower()
    assert "kept" in str(answer.html)
    assert not Campaign.objects.exists()


def test_a_person_approves_a_part_and_the_page_says_why_each_was_calculated(mona, eve, loop):
    loop.create()
    driver.drive_all()
    seen = eve.get(HERE)
    assert "Round 1 waits for approval: compose" in seen.text
    assert "A moderator decides" in seen.text
    page = mona.get(HERE)
    boxes = page.html.select("input[name=pick]")
    assert len(boxes) == 4
    done = mona.follow(
        mona.press(page, "Approve those that are marked", pick=["1", "3"], reason="the others are alike")
    )
    assert "Approved." in done.text
    assert "the others are alike" in done.text
    assert [one["cell"] for one in loop.runs()] == ["Cu50Zr50-1-00", "Cu50Zr50-3-00"]
    loop.turn()
    driver.drive_all()
    page = mona.get(HERE)
    assert "Round 2 waits for approval" in page.text
    for run in loop.runs():
        assert run["why"] in page.text
        assert f"/calculations/{run['calculation']}/" in page.links()
        assert f"/streams/bonds/cells/{run['cell']}/" in page.links()
    assert "2 calculations, 0 failed" in page.text
    assert page.html.find("svg", class_="plot") is not None
    round_page = mona.get("/campaigns/glasses/rounds/1/")
    assert "the others are alike" in round_page.text
    assert "verify_campaign glasses" in round_page.text


def test_who_comes_second_reads_who_was_first(mona, loop):
    loop.create()
    driver.drive_all()
    page = mona.get(HERE)
    loop.ok("decisions/1/approve", {"comment": ""})
    late = mona.press(page, "Approve those that are marked")
    assert late.status == 409
    assert "round 1" in late.text.lower()
    assert "approved" in late.text
    assert len(loop.runs()) == 4


def test_a_rejection_needs_a_reason_and_pauses(mona, loop):
    loop.create()
    driver.drive_all()
    page = mona.get(HERE)
    assert mona.press(page, "Reject", reason="").status == 400
    done = mona.follow(mona.press(page, "Reject", reason="the potential does not hold"))
    assert "the potential does not hold" in done.text
    assert Campaign.objects.get().state == "paused"


def test_pause_resume_and_stop(mona, loop):
    loop.create()
    page = mona.follow(mona.press(mona.get(HERE), "Pause", reason="a holiday"))
    assert "a holiday" in page.text
    page = mona.follow(mona.press(page, "Resume"))
    page = mona.follow(mona.press(page, "Stop", reason="enough"))
    assert Campaign.objects.get().state == "stopped"
    assert "enough" in page.text


def test_a_stranger_changes_nothing(eve, loop):
    loop.create()
    driver.drive_all()
    page = eve.get(HERE)
    assert page.html.find("button", string="Stop") is None
    token = str(page.html.find("input", attrs={"name": "csrfmiddlewaretoken"})["value"])
    for fields in (
        {"action": "stop"},
        {"action": "approve", "round": "1", "pick": "1"},
        {"action": "restart", "run": "1"},
    ):
        assert eve.client.post(CHANGE, {"csrfmiddlewaretoken": token, **fields}).status_code == 403
    assert Campaign.objects.get().state == "active"


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "explode"}, {}, {"action": "approve", "round": "99", "pick": "1"}, {"action": "approve", "round": "x"},
        {"action": "approve", "round": "1"}, {"action": "restart", "run": "0"}, {"action": "restart", "run": "x"},
    ],
)  # fmt: skip
def test_a_wrong_form_is_answered_with_a_sentence(mona, loop, fields):
    loop.create()
    driver.drive_all()
    page = mona.get(HERE)
    token = str(page.html.find("input", attrs={"name": "csrfmiddlewaretoken"})["value"])
    answer = mona.client.post(CHANGE, {"csrfmiddlewaretoken": token, **fields})
    assert answer.status_code in (400, 404), answer.content


def test_a_failed_run_is_run_again(mona, loop):
    loop.create()
    driver.drive_all()
    loop.ok("decisions/1/approve", {"comment": ""})
    loop.outcome = lambda step: (
        ("failed", {"reason": "the melt is solid"}) if step["program"] == "glass" else ("done", {})
    )
    loop.turn()
    page = mona.get(HERE)
    assert "the melt is solid" in page.text
    loop.outcome = lambda step: ("done", {})
    done = mona.follow(mona.press(page, "Run 1 again"))
    assert "The run starts again" in done.text
    mona.press(done, "Resume")
    loop.turn()
    assert loop.runs()[0]["state"] == "DONE"


def test_compositions_are_added_changed_and_deleted(eve, loop):
    page = eve.get("/compositions/")
    assert "Cu50Zr50" in page.text
    made = eve.follow(eve.send(page, "/compositions/", name="Zr49Cu49Al2", notes="ternary"))
    assert "ternary" in made.text
    assert (
        "was there already"
        in eve.follow(eve.send(eve.get("/compositions/"), "/compositions/", name="Cu49Al2Zr49")).text
    )
    wrong = eve.send(eve.get("/compositions/"), "/compositions/", name="Zr49Xx51", notes="stays")
    assert wrong.error_at("name").startswith("Name is")
    assert "stays" in str(wrong.html)
    eve.send(eve.get("/compositions/"), "/compositions/", name="Zr46Cu46Al8")
    listed = eve.get("/compositions/")
    assert {link["href"] for link in listed.html.select("svg.triangle a")} >= {
        "/compositions/Zr49Cu49Al2/",
        "/compositions/Zr46Cu46Al8/",
    }
    gone = eve.follow(eve.press(eve.get("/compositions/Zr46Cu46Al8/"), "Delete the composition"))
    assert "is deleted" in gone.text
    assert Composition.objects.filter(name="Zr46Cu46Al8").count() == 0


def test_a_composition_of_a_campaign_is_kept(mona, loop):
    loop.create()
    refused = mona.press(mona.get("/compositions/Cu50Zr50/"), "Delete the composition")
    assert refused.status == 409
    assert "stop the campaign" in refused.text


def test_an_evaluation_is_asked_for_and_drawn(mona, loop):
    loop.create(approval="none", budget={"calculations": 8})
    for _ in range(3):
        loop.turn()
    here = "/campaigns/glasses/evaluations/"
    for kind in ("cross_validation", "learning_curve", "coverage", "calibration"):
        made = mona.follow(mona.send(mona.get(here), here, kind=kind, folds="2"))
        assert "computed in the background" in made.text
        assert worker.work_once()
        shown = mona.get(made.path)
        assert "Zr-Cu" in shown.text, kind
        assert (shown.html.find("svg", class_="plot") is not None) == (kind in ("cross_validation", "learning_curve"))
    assert "Learning curve" in mona.get(here).text
    wrong = mona.send(mona.get(here), here, kind="single_cell")
    assert wrong.status == 400
    assert "expected the cell to test on" in wrong.text
    wrong = mona.send(mona.get(here), here, folds="1")
    assert "expected 2 to 20" in wrong.text
    assert mona.get(f"{here}99/").status == 404
