"""Pages of experiments, runs and the registry, used as a person without scripts uses them."""

import pytest
from django.contrib.auth.models import User

from server.contents import contents
from server.tracking import artifacts, experiments, model_versions, registered_models, runs, writing
from server.tracking.links import add
from server.tracking.models import Run
from server.tracking.statements import Point
from tests.campaigns.test_pages import signed_in
from tests.dashboard.browser import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

ONE, TWO, THREE = ("0" * 31 + digit for digit in "abc")
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364600000000600023081d02f0000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def log(uid: str, losses: list[float], **params: str) -> None:
    with writing.locked(uid) as run:
        writing.log_params(run, params)
        points = [Point("loss", step, 1_700_000_000_000 + 1000 * step, value, 0) for step, value in enumerate(losses)]
        writing.log_metrics(run, points)


@pytest.fixture
def eve(required) -> Browser:
    """A researcher in a browser, who has three runs of an experiment."""
    browser = signed_in("eve", "researcher")
    owner = {"created_by": "eve", "owner_id": User.objects.get(username="eve").pk}
    for uid, name in ((ONE, "narrow"), (TWO, "<b>wide</b>"), (THREE, "")):
        runs.put(uid, "darcy flow/ü", name=name, started_ms=1_700_000_000_000, **owner)
    log(ONE, [1.0, 0.5, 0.25], width="32", lr="0.01")
    log(TWO, [1.0, 0.4, 0.125], width="64", lr="0.01")
    log(THREE, [float(n % 7) for n in range(3000)], width="128", lr="1e-3")
    return browser


def number() -> int:
    return experiments.by_name("darcy flow/ü").pk


def keep(uid: str, path: str, content: bytes) -> None:
    with contents.receiving([content]) as received:
        artifacts.put(path, received, run_id=Run.objects.get(uid=uid).pk)


def test_experiments_are_listed_created_renamed_deleted_and_restored(eve):
    page = eve.get("/experiments/")
    assert "darcy flow/ü 3 3" in page.text
    assert "No experiment matches" in eve.get("/experiments/?text=other").text
    made = eve.follow(eve.press(page, "Create", name="second", description="with <i>care</i>"))
    assert "with <i>care</i>" in made.text and "It has no run yet" in made.text
    refused = eve.press(page, "Create", name="second")
    assert refused.status == 409 and "second" in refused.error_at("name")
    here = made.path
    renamed = eve.follow(eve.press(made, "Save", name="third", description=""))
    assert renamed.html.h1.get_text() == "third"
    deleted = eve.follow(eve.press(renamed, "Delete it and its runs"))
    assert deleted.html.h1.get_text() == "third deleted"
    assert "third" not in eve.get("/experiments/").text and "third" in eve.get("/experiments/?which=deleted").text
    assert "third deleted" not in eve.follow(eve.press(deleted, "Restore it and its runs")).html.h1.get_text()
    assert eve.get(here).status == 200


def rows(page) -> list[list[str]]:
    return [[cell.get_text(" ", strip=True) for cell in row.select("td")][1:] for row in page.html.select("tbody tr")]


def test_runs_are_a_table_with_chosen_columns_sorted_and_filtered(eve):
    here = f"/experiments/{number()}/"
    page = eve.get(here)
    assert [head.get_text() for head in page.html.select("thead th")][6:] == ["lr", "width", "loss"]
    assert {row[0]: row[-1] for row in rows(page)} == {"narrow": "0.25", "<b>wide</b>": "0.125", THREE[:8]: "3"}
    by_loss = eve.get(f"{here}?column=metrics.loss&sort=metrics.loss&direction=asc")
    assert [row[0] for row in rows(by_loss)] == ["<b>wide</b>", "narrow", THREE[:8]]
    assert len(rows(by_loss)[0]) == 6
    assert [row[0] for row in rows(eve.get(f"{here}?filter=metrics.loss < 0.2 and params.width = '64'"))] == [
        "<b>wide</b>"
    ]
    assert [row[0] for row in rows(eve.get(f"{here}?text=narr"))] == ["narrow"]
    assert "No run matches" in eve.get(f"{here}?status=FAILED").text


def test_what_a_page_of_runs_cannot_do_is_said_on_it(eve):
    here = f"/experiments/{number()}/"
    for query, said in (
        ("filter=loss <> 3", "filter"), ("filter=metrics.loss < 'a'", "expected a number"), ("sort=metrics.", "sort"),
        ("column=loss", "expected params.key"), ("status=DONE", "expected one of running"), ("direction=up", "expected one of asc"),
        ("sort=nothing.at.all", "nothing"), ("which=some", "expected one of"),
    ):  # fmt: skip
        page = eve.get(f"{here}?{query}")
        assert page.status == 400, query
        assert said in page.text.lower(), (query, page.text)
    assert eve.get(f"{here}?skip=-1").status == 400
    assert eve.get("/experiments/99999/").status == eve.get(f"/runs/{'f' * 32}/").status == 404
    assert eve.get("/runs/nothing/").status in (400, 404)


def test_a_run_shows_what_it_logged(eve):
    with writing.locked(THREE) as run:
        add(run, "model", "runtime", 120)
    runs.put("d" * 32, "darcy flow/ü", parent=THREE, name="child")
    page = eve.get(f"/runs/{THREE}/")
    for said in (
        "running",
        "model runtime at observation 120",
        "child",
        "width",
        "1e-3",
        "3,000 points",
        "It has no file",
    ):
        assert said in page.text, said
    assert "/models/runtime/" in page.links()
    chart = eve.get(f"/runs/{THREE}/chart/?metric=loss").response.json()
    assert [one["style"] for one in chart["series"]] == ["line", "low", "high"]
    assert min(chart["series"][1]["values"]) == 0.0 and max(chart["series"][2]["values"]) == 6.0
    assert len(chart["x"]) <= 500 and chart["x"][-1] == 2999 and chart["live"]
    news = eve.get(f"/runs/{THREE}/chart/?metric=loss&after=2990").response.json()
    assert news["x"] == [x for x in chart["x"] if x > 2990]
    by_time = eve.get(f"/runs/{ONE}/chart/?metric=loss&by=time").response.json()
    assert by_time["x"] == [0.0, 1.0, 2.0] and "0.25" in by_time["sentence"]
    for query, status in (
        ("metric=other", 404),
        ("metric=loss&by=day", 400),
        ("metric=loss&after=x", 400),
        ("metric=%00", 404),
    ):
        assert eve.get(f"/runs/{ONE}/chart/?{query}").status == status, query
    assert "part of" in eve.get(f"/runs/{'d' * 32}/").text.lower()


def test_files_are_downloaded_and_looked_at(eve):
    keep(ONE, "plots/field.png", PICTURE)
    keep(ONE, "log.txt", "<script>alert(1)</script>\x00ü".encode())
    keep(ONE, "weights.npz", b"PK")
    page = eve.get(f"/runs/{ONE}/")
    assert f"/runs/{ONE}/files/plots/field.png" in page.links()
    picture = eve.get(f"/runs/{ONE}/files/plots/field.png")
    assert b"".join(picture.response.streaming_content) == PICTURE
    assert picture.response.headers["Content-Disposition"].startswith("attachment")
    text = eve.get(f"/runs/{ONE}/files/log.txt?view=1")
    assert text.html.pre.get_text() == "<script>alert(1)</script>�ü"
    assert eve.get(f"/runs/{ONE}/files/plots/field.png?view=1").html.select_one("img.artifact")
    assert "download the file" in eve.get(f"/runs/{ONE}/files/weights.npz?view=1").text
    for path in ("nothing.txt", "../log.txt", "plots"):
        assert eve.get(f"/runs/{ONE}/files/{path}").status == 404, path


def test_runs_are_compared(eve):
    page = eve.get(f"/runs/compare/?run={ONE}&run={TWO}&run={THREE}&run={'9' * 32}")
    assert "There is no run" in page.text
    assert len(page.html.select("svg.plot polyline")) >= 3, "parallel coordinates"
    table = {
        row.th.get_text(): [cell.get_text() for cell in row.select("td")]
        for row in page.html.select("tbody tr")
        if row.th
    }
    assert table == {
        "params.lr": ["0.01", "0.01", "1e-3"],
        "params.width": ["32", "64", "128"],
        "metrics.loss": ["0.25", "0.125", "3"],
    }
    assert "curves" not in table and page.html.select_one("figure[data-chart]")
    chart = eve.get(str(page.html.select_one("figure[data-chart]")["data-chart"])).response.json()
    assert [one["label"] for one in chart["series"]] == ["narrow", "<b>wide</b>", THREE[:8]]
    two = eve.get(f"/runs/compare/?run={ONE}&run={TWO}&x=params.width&y=metrics.loss&show=different&by=time")
    assert "metrics.loss over params.width of 2 runs" in str(two.html)
    assert "params.lr" not in [row.th.get_text() for row in two.html.select("tbody tr") if row.th]
    assert "none of these runs has" in eve.get(f"/runs/compare/?run={ONE}&run={TWO}&x=params.depth").text
    assert "Mark at least two" in eve.get("/runs/compare/").text
    assert eve.get("/runs/compare/chart/").status == 404
    assert eve.get("/runs/compare/?" + "&".join(f"run={n:032x}" for n in range(201))).status == 400


def test_the_registry_shows_versions_aliases_and_where_they_come_from(eve):
    keep(ONE, "model/MLmodel", b"flavors: {}\n")
    with writing.locked(ONE) as run:
        add(run, "stream", "lammps runtime", 120)
    owner = Run.objects.get(uid=ONE).owner_id
    made = registered_models.create("fno", description="learns <flow>", created_by="eve", owner_id=owner)
    for _ in range(2):
        version = model_versions.create(made, f"runs:/{ONE}/model", run=ONE)
    model_versions.set_tag(version, "tailrace.stale", "observation 7 was retracted")
    assert "fno 2" in eve.get("/registry/").text and "No model matches" in eve.get("/registry/?text=other").text
    page = eve.get("/registry/fno/")
    assert "learns <flow>" in page.text and "stale" in page.text
    assert [text.get_text(" ") for text in page.html.select("svg.chain text")][:2] == [
        "stream",
        "lammps runtime … lammps runtime at 120",
    ] or ("lammps runtime at 120" in str(page.html.select_one("svg.chain")))
    assert f"/runs/{ONE}/" in page.links()
    given = eve.follow(eve.press(page, "Set", alias="live", version="1"))
    assert "Version 1 is live now" in given.text
    assert "live: 1" in eve.get("/registry/").text
    taken = eve.follow(eve.press(given, "Take away live"))
    assert "No version is live any more" in taken.text
    assert eve.press(taken, "Set", alias="latest", version="1").status == 400
    assert eve.get("/registry/nothing/").status == 404


def test_others_may_read_and_not_change(eve):
    otto = signed_in("otto", "researcher")
    for path in (f"/experiments/{number()}/", f"/runs/{ONE}/"):
        page = otto.get(path)
        assert page.status == 200
        assert not page.html.select(f'form[action="{path}change/"]'), "no button that is refused"
    client = otto.client
    client.handler.enforce_csrf_checks = False
    for path in (f"/experiments/{number()}/change/", f"/runs/{ONE}/change/"):
        answer = client.post(path, {"action": "delete"})
        assert answer.status_code == 403 and "eve" in answer.content.decode()
    assert Run.objects.get(uid=ONE).lifecycle == "active"
