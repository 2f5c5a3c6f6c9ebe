"""Pages of calculations, structures and clusters, used as a person without scripts uses them."""

import json

import pytest
from django.contrib.auth.models import User

from server.accounts.models import AuditEntry
from server.calculations.models import Calculation, Cluster, Structure
from server.notifications.models import Notification, Preference
from tests.calculations.agents import declared, program
from tests.dashboard.browser import PASSWORD, Browser
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

NEW = "/calculations/new/"
WATER = "3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"


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
def eve(people, agent) -> Browser:
    """A researcher in a browser, where a cluster offers a program."""
    return signed_in("eve", "researcher")


def test_the_form_is_made_of_the_schema_and_submits_a_scan(eve, agent):
    page = eve.get(f"{NEW}?program=code")
    assert "voltage, V" in page.text
    assert "from 0 to 10; default 0" in page.text
    checked = eve.send(
        page, NEW, name="a scan", scan="voltage", **{"from": "0", "to": "1", "by": "0.25", "chained": "on", "check": "1", "p.method": "exact"}
    )  # fmt: skip
    assert "5 steps" in checked.text
    assert "It needs no approval" in checked.text
    assert not Calculation.objects.exists()
    made = eve.follow(
        eve.send(checked, NEW, name="a scan", scan="voltage", chained="on", **{"from": "0", "to": "1", "by": "0.25"})
    )
    assert "0 of 5 done" in made.text
    [row] = Calculation.objects.all()
    assert (row.name, row.created_by, row.priority) == ("a scan", "eve", 50)
    first = row.steps.order_by("number")[0]
    assert '"exact"' in first.parameters, "what was checked is still filled in"
    assert made.html.find("svg", class_="chain") is not None


@pytest.mark.parametrize(
    ("fields", "said", "at"),
    [
        ({"name": ""}, "name is empty", "name"),
        ({"p.voltage": "high"}, "expected a number", "p-1"),
        ({"p.voltage": "11"}, "parameters.voltage", "p-1"),
        ({"p.method": "magic"}, "expected one of fast, exact", None),
        ({"scan": "nothing", "values": "1,2"}, "expected a parameter of the program", None),
        ({"scan": "voltage", "from": "0", "to": "x", "by": "1"}, "to is 'x': expected a number", None),
        ({"priority": "900"}, "expected a whole number from 0 to 100", None),
        ({"seconds": "soon"}, "resources.seconds", None),
        ({"structure": "unknown"}, "no structure named", None),
        ({"structure_content": "2\n\nH 0 0 0\n"}, "structure_content", None),
        ({"priority": "90"}, "above 50", None),
    ],
)
def test_a_wrong_value_is_named_and_the_rest_stays_filled_in(eve, fields, said, at):
    page = eve.get(f"{NEW}?program=code")
    sent = {"name": "a name", "description": "kept", **fields}
    for name in list(sent):
        if page.form(NEW).find(attrs={"name": name}) is None:
            del sent[name]
    answer = eve.send(page, NEW, **sent)
    assert answer.status in (400, 403, 404), answer.text
    assert said in answer.text.lower()
    if at is not None:
        assert answer.error_at(at)
    assert "kept" in str(answer.html)
    assert not Calculation.objects.exists()


def test_a_form_that_is_sent_twice_submits_once(eve):
    page = eve.get(f"{NEW}?program=code")
    first = eve.send(page, NEW, name="a name").response.headers["Location"]
    assert eve.send(page, NEW, name="a name").response.headers["Location"] == first
    assert eve.send(page, NEW, name="another").response.headers["Location"] != first
    assert Calculation.objects.count() == 2


def test_what_was_calculated_already_is_offered(eve, agent):
    page = eve.get(f"{NEW}?program=code")
    eve.send(page, NEW, name="first")
    agent.run_all()
    again = eve.send(page, NEW, name="second")
    assert "This was calculated already" in again.text
    assert Calculation.objects.count() == 1
    assert eve.send(again, NEW, name="second", again="on").status == 303
    assert Calculation.objects.count() == 2


def test_a_calculation_shows_results_attempts_and_transitions(eve, agent, submit):
    made = submit(scan={"parameter": "voltage", "values": [0, 1], "chained": True})
    path = f"/calculations/{made['id']}/"
    assert "0 of 2 done" in eve.get(path).text
    for _ in range(2):
        [work] = agent.claim()
        agent.permit(work, walltime={"seconds": 480, "given": 3600, "model": "m", "reason": "m expects 300 s"})
        agent.report(work, "running", job="4711")
        agent.put(f"steps/{work['step']}/log?fence={work['fence']}&offset=0", b"SCF converged <b>\x1b[31m\n")
        agent.results(work, tables={"forces": {"columns": {"atom": "", "F": "eV/A"}, "rows": [[1, 0.5]]}}, report="Forces vanish.\n<b>Good.</b>",
                      analyses=[{"name": "thermo", "state": "done", "values": {"slope": {"value": 2.5, "unit": "K"}}, "report": "A line."}])  # fmt: skip
    page = eve.get(path)
    assert "2 of 2 done" in page.text
    assert "energy, eV" in page.text
    assert "4711" in page.text
    assert "Wall time 480 s: m expects 300 s." in page.text
    assert "Table: forces" in page.text
    assert "Forces vanish. <b>Good.</b>" in page.text
    assert "A line." in page.text
    assert "slope 2.5 K" in page.text
    assert page.html.find("svg", class_="timeline") is not None
    [log, _] = [link for link in page.links() if "/log/" in link]
    shown = eve.get(log)
    assert "SCF converged <b>" in shown.text, "and no markup of it runs"
    assert shown.html.select("pre.log b") == []
    report = eve.get(f"{path}report/").response
    assert report.headers["Content-Disposition"].startswith("attachment")
    assert b"energy" in report.getvalue()
    assert eve.get(f"{path}report/?format=pdf").response.getvalue().startswith(b"%PDF-")


def test_a_calculation_is_deleted_after_its_name_was_typed(eve, agent, submit):
    made = submit(name="old one")
    path = f"/calculations/{made['id']}/"
    assert "Delete this calculation" not in eve.get(path).text, "it has not ended"
    agent.run_all()
    assert "Delete this calculation" not in eve.get(path).text, "it is Ada's"
    admin = signed_in("root", "admin")
    page = admin.get(path)
    refused = admin.send(page, f"{path}delete/", confirm="old")
    assert "expected the name of calculation" in refused.text
    assert "is deleted" in admin.follow(admin.send(refused, f"{path}delete/", confirm="old one")).text
    assert not Calculation.objects.exists()


def test_pictures_are_shown_and_files_are_downloads(eve, agent, submit):
    made = submit()
    [work] = agent.claim()
    agent.permit(work)
    content = b"\x89PNG\r\n\x1a\n"
    agent.results(work, files=[declared("curve.png", content)])
    sent = agent.put(
        f"steps/{work['step']}/files/curve.png?fence=1",
        content,
        **{"X-Content-SHA256": declared("", content)["sha256"]},
    )
    assert sent.status_code == 200, sent.content
    page = eve.get(f"/calculations/{made['id']}/")
    [picture] = page.html.select("section img")
    response = eve.get(str(picture["src"])).response
    assert response.getvalue() == content
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Disposition"].startswith("attachment")


def test_several_are_acted_on_at_once_and_those_of_others_are_not(eve, submit):
    theirs = submit()["id"]
    page = eve.get(f"{NEW}?program=code")
    for n in range(2):
        assert eve.send(page, NEW, name=f"mine {n}", again="on").status == 303
    mine = list(Calculation.objects.filter(created_by="eve").values_list("pk", flat=True))
    listed = eve.get("/calculations/")
    marked = [*map(str, mine), str(theirs)]
    done = eve.follow(eve.press(listed, "Do it", calculation=marked, action="hold", reason="wait"))
    assert "belongs to ada" in done.text
    assert set(Calculation.objects.filter(pk__in=mine).values_list("state", flat=True)) == {"held"}
    assert Calculation.objects.get(pk=theirs).state == "waiting"
    assert AuditEntry.objects.filter(action="calculation.change", username="eve").count() == 2


def test_a_moderator_approves_and_everybody_concerned_is_told(eve, agent):
    boss = signed_in("boss", "moderator")
    for name in ("boss", "eve"):
        Preference.objects.create(user=User.objects.get(username=name), address=f"{name}@example.org")
    rules = boss.get("/clusters/")
    boss.send(rules, "/programs/code/rule/", requires_approval="on")
    made = eve.follow(eve.send(eve.get(f"{NEW}?program=code"), NEW, name="costly"))
    assert "needs approval" in made.text
    number = Calculation.objects.get().pk
    assert agent.claim() == []
    told = Notification.objects.get()
    assert (told.event, told.deliveries.get().user.username) == ("calculation.needs_approval", "boss")
    page = boss.get(f"/calculations/{number}/")
    assert boss.press(page, "Approve").status == 303
    agent.run_all()
    assert Calculation.objects.get().state == "done"
    last = Notification.objects.order_by("-pk")[0]
    assert (last.event, last.deliveries.get().user.username) == ("calculation.done", "eve")


@pytest.mark.parametrize("query", ["state=odd", "cluster=nowhere", "structure=none", "before=x"])
def test_a_wrong_address_says_what_is_wrong(eve, query):
    answer = eve.get(f"/calculations/?{query}")
    assert answer.status in (400, 404)
    assert "expected" in answer.text or "named" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/calculations/0/", "/calculations/x/", "/calculations/1/steps/main/log/", "/structures/none/", "/clusters/none/"],
)
def test_what_there_is_not_is_not_found(eve, path):
    assert eve.get(path).status == 404


def test_a_structure_is_added_shown_and_deleted(eve):
    added = eve.send(eve.get("/structures/"), "/structures/", name="water", content=WATER)
    page = eve.follow(added)
    assert "H2O, 3 atoms, a molecule" in page.text
    picture = page.html.find("svg", class_="structure")
    assert len(picture.select("circle")) == 3
    assert len(picture.select("line")) == 2
    wrong = eve.send(eve.get("/structures/"), "/structures/", name="odd", content="3\n\nO 0 0\n")
    assert wrong.status == 400
    assert "lines: expected 5" in wrong.error_at("content")
    eve.send(page, "/structures/water/delete/")
    assert not Structure.objects.exists()


def test_all_calculations_of_a_structure_stand_side_by_side(eve, agent):
    eve.send(eve.get("/structures/"), "/structures/", name="water", content=WATER)
    page = eve.get(f"{NEW}?program=code&structure=water")
    for voltage in ("0", "1"):
        eve.send(page, NEW, name=f"at {voltage} V", structure="water", **{"p.voltage": voltage})
    agent.run_all()
    shown = eve.get("/structures/water/")
    assert "energy, eV" in shown.text
    assert shown.text.count("-1.5") == 2
    assert len(shown.html.select("svg.structure")) == 1


def test_structures_that_calculations_left_stand_side_by_side(eve, agent):
    eve.send(eve.get("/structures/"), "/structures/", name="water", content=WATER)
    page = eve.get(f"{NEW}?program=code&structure=water")
    left = [WATER.replace("0.12", "0.2"), "3\n\nO 0 0 0\n</script><script>alert(1)</script>", WATER.replace("H", "Xx")]
    for content in left:
        eve.send(page, NEW, name=f"<b>{len(content)}</b>", structure="water", again="on")
        [work] = agent.claim()
        agent.permit(work)
        file = declared("structure.xyz", content.encode())
        agent.results(work, files=[file])
        sent = agent.put(
            f"steps/{work['step']}/files/structure.xyz?fence=1",
            content.encode(),
            **{"X-Content-SHA256": file["sha256"]},
        )
        assert sent.status_code == 200, sent.content
    shown = eve.get("/structures/water/").html
    assert len(shown.select("svg.structure")) == 3, "what can't be read as a structure is left out"
    scenes = [json.loads(one.string) for one in shown.select("figure script[type='application/json']")]
    assert [scene["elements"] for scene in scenes] == [["H", "O"], ["O", "Xx"], ["H", "O"]]
    assert scenes[2]["atoms"][0] == [0, 1, 0.0, 0.0, 0.2]
    assert shown.select_one(".structures-beside b") is None


def test_an_admin_adds_a_cluster_with_its_token_shown_once_and_puts_it_into_maintenance(eve):
    root = signed_in("root", "admin")
    added = root.send(root.get("/clusters/"), "/clusters/", name="beta", streams="calculations-walltime")
    assert added.status == 201
    commands, more = added.boxes
    assert "tailrace agent check" in more
    page = root.get("/clusters/beta/")
    assert "No agent has registered yet" in page.text
    secret = commands.split("'")[3]
    assert secret not in str(page.html)
    root.send(page, "/clusters/beta/", state="maintenance", steps_limit="2")
    beta = Cluster.objects.get(name="beta")
    assert (beta.state, beta.steps_limit, beta.streams) == ("maintenance", 2, ["calculations-walltime"])
    wrong = root.send(page, "/clusters/beta/", steps_limit="many")
    assert wrong.status == 400
    assert wrong.error_at("steps_limit")
    assert root.send(page, "/clusters/beta/token/").boxes[0] != commands
    root.send(page, "/clusters/beta/delete/")
    assert not Cluster.objects.filter(name="beta").exists()


def test_loads_and_lines_of_an_agent_are_shown(eve, agent):
    agent.sync(load={"cpu": 0.5, "memory": 0.25, "disk_free": 1e9, "disk_total": 2e9, "jobs_running": 3, "jobs_waiting": 1},
               messages=[{"at": 1.0, "level": "ERROR", "text": "the disk is <full>"}])  # fmt: skip
    page = eve.get("/clusters/alpha/")
    assert "the disk is <full>" in page.text
    assert page.html.find(id="cpu").find("svg") is not None or "Now 0.5" in page.text
    data = eve.get("/clusters/alpha/charts/jobs/").response
    assert data.json()["series"] if "series" in data.json() else data.json()
    assert "the disk is" in eve.get("/clusters/logs/?level=ERROR").text
    assert "No lines" in eve.get("/clusters/logs/?text=nothing+of+that+kind").text


def test_who_reads_some_streams_alone_or_nothing_sees_no_calculations(people, agent):
    assert signed_in("vera", "viewer").get("/calculations/").status == 200
    assert signed_in("nobody", "").get("/calculations/").status == 403
    assert program()["name"] == "code"


def test_the_form_takes_only_analyses_with_all_that_they_require(eve, agent):
    page = eve.get(f"{NEW}?program=code")
    refused = eve.send(page, NEW, name="a", analyses=["picture"])
    assert refused.status == 400
    assert "Analysis picture requires thermo" in refused.text
    assert not Calculation.objects.exists()
    assert eve.send(page, NEW, name="a", analyses=["picture", "thermo"]).status == 303
    [work] = agent.claim()
    assert sorted(work["analyses"]) == ["picture", "thermo"]


def test_analyses_of_all_programs_and_what_they_found_are_listed(eve, agent, submit, monkeypatch):
    assert "No analysis has run yet" in eve.get("/calculations/analyses/").text
    slope = {"slope": {"value": 2.5, "unit": "K"}}
    for n in range(3):
        submit(again=True, name=f"<b>run {n}</b>")
        [work] = agent.claim()
        agent.run(work, analyses=[
            {"name": "thermo", "state": "done", "values": slope, "report": f"<i>Line {n}</i>"},
            {"name": "picture", "state": "failed", "reason": "no points"},
        ])  # fmt: skip
    submit(again=True)
    [work] = agent.claim()
    agent.run(work, "unconverged", analyses=[{"name": "thermo", "state": "done", "values": slope}])
    page = eve.get("/calculations/analyses/")
    assert "A picture picture code alpha thermo" in page.text
    rows = [row.get_text(" ", strip=True) for row in page.html.select("table")[0].select("tbody tr")]
    assert len(rows) == 6, "none of an unconverged step"
    assert rows[0].startswith("thermo <b>run 2</b> main code slope 2.5 K <i>Line 2</i>")
    assert "picture failed" in rows[1]
    assert "no points" in rows[1]
    monkeypatch.setattr("server.calculations.analyses.MOST_ROWS", 1)
    first = eve.get("/calculations/analyses/?analysis=picture")
    [older] = [link for link in first.links() if "before=" in link]
    second = eve.get(older)
    assert "run 2" in first.text
    assert "run 1" in second.text
    assert "thermo <b>" not in second.text
