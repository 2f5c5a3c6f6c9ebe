"""Pages of services, used as a person without scripts uses them."""

import pytest
from django.contrib.auth.models import User

from server.services.models import Service
from server.tracking import registered_models
from server.tracking.models import ModelVersion
from tests.campaigns.test_pages import signed_in
from tests.services.test_services_api import ASKED, IMAGE, Agent, Container
from tests.tracking.test_pages import _quick_passwords  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def container():
    made = Container()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def agent(api, settings, container):
    """A model agent whose address answers. Its service v is Eve's."""
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"service_networks": "127.0.0.0/8"})
    api.ok("/api/v1/streams/", {"name": "s"} | {"target": {"name": "y"}}, 201)
    made = Agent(api)
    api.ok("/api/v1/services/", {**ASKED, "description": "with <i>care</i>"}, 201)
    made.fields["address"] = f"http://127.0.0.1:{container.server_port}"
    return made


@pytest.fixture
def eve(agent, required):
    """A researcher in a browser, whose service it is."""
    browser = signed_in("eve", "researcher")
    Service.objects.update(created_by="eve", owner_id=User.objects.get(username="eve").pk)
    return browser


def test_services_are_listed_with_what_is_known_of_them(eve, agent):
    page = eve.get("/services/")
    assert "v waiting" in page.text and "no agent yet" in page.text
    assert "never started" in eve.get("/services/v/").text
    agent.report("backing off", "its sample gave another answer", restarts=3)
    page = eve.get("/services/")
    row = [cell.get_text(" ", strip=True) for cell in page.html.select("tbody td")]
    assert row[:2] == ["v", "backing off"] and row[3:6] == ["3", "its sample gave another answer", "k"]
    shown = eve.get("/services/v/")
    for said in (
        "with <i>care</i>", "Its sample gave another answer", "256 MB", "allowed there", IMAGE, "3 by the agent", '{"predictions":[2.0]}',
    ):  # fmt: skip
        assert said in shown.text, said
    agent.sync(images=[])
    assert "not allowed there" in eve.get("/services/").text
    assert eve.get("/services/none/").status == 404


def test_a_service_is_stopped_run_restarted_and_deleted(eve, agent):
    agent.report("healthy")
    page = eve.get("/services/v/")
    page = eve.follow(eve.press(page, "Restart"))
    assert Service.objects.get().generation == 2 and "at its next sync" in page.text
    page = eve.follow(eve.press(page, "Stop"))
    assert Service.objects.get().wanted == "stopped"
    assert eve.client.post("/services/v/change/", {"action": "restart"}).status_code == 403, "without its form"
    page = eve.follow(eve.press(page, "Run"))
    assert Service.objects.get().wanted == "running"
    refused = eve.press(page, "Delete v", confirm="w")
    assert refused.status == 400 and "to confirm it" in refused.error_at("confirm")
    gone = eve.follow(eve.press(page, "Delete v", confirm="v"))
    assert "no service yet" in gone.text and eve.get("/services/v/").status == 404


def test_it_is_tried_with_its_sample_and_the_answer_is_shown(eve, agent, container):
    page = eve.get("/services/v/")
    waiting = eve.press(page, "Ask")
    assert waiting.status == 503 and "not in contact" in waiting.text
    agent.report("healthy")
    page = eve.get("/services/v/")
    answered = eve.press(page, "Ask")
    assert answered.status == 200 and '"predictions": [ 2.0 ]' in answered.text
    assert container.came[-1][2].strip() == b'{"instances":[{"a":1}]}', "the sample is filled in"
    container.status, container.content = 400, b'{"error": "no <b>a</b>"}'
    refused = eve.press(page, "Ask", body='{"instances": [{}]}')
    assert "It refuses this" in refused.text and "no <b>a</b>" in refused.text
    assert refused.html.find(id="body").get_text().strip() == '{"instances": [{}]}', "what was asked stays"
    wrong = eve.press(page, "Ask", body="{")
    assert wrong.status == 400 and "not JSON" in wrong.error_at("body")
    container.status, container.mark = 200, "0"
    assert "not a model agent" in eve.press(page, "Ask").text
    container.mark, container.kind, container.content = "1", "text/csv", b"<script>1</script>\x00\xff"
    assert "<script>1</script>" in eve.press(page, "Ask").text


def test_who_may_not_change_it_has_no_buttons(eve, agent):
    agent.report("healthy")
    grace = signed_in("grace", "researcher")
    page = grace.get("/services/v/")
    assert not page.html.select('form[action="/services/v/change/"]') and "Ask" in page.text
    token = page.html.find("input", attrs={"name": "csrfmiddlewaretoken"})["value"]
    for path, fields in (("change", {"action": "stop"}), ("delete", {"confirm": "v"})):
        sent = grace.client.post(f"/services/v/{path}/", {**fields, "csrfmiddlewaretoken": token})
        assert sent.status_code == 403
    vera = signed_in("vera", "viewer")
    assert "Ask" not in vera.get("/services/v/").text
    assert Service.objects.get().wanted == "running"


def test_a_script_gets_the_part_that_changed(eve, agent):
    headers = {"HX-Request": "true"}
    for path in ("/services/", "/services/v/"):
        part = eve.client.get(path, headers=headers)
        assert b"<html" not in part.content and b"waiting" in part.content
        version = part.content.split(b'data-version="')[1].split(b'"')[0].decode()
        again = eve.client.get(path, headers={**headers, "X-Tailrace-Version": version})
        assert again.status_code == 204
    agent.report("healthy")
    assert b"healthy" in eve.client.get("/services/v/", headers=headers).content


def test_a_service_of_a_registered_model_is_on_its_way(eve, agent):
    made = registered_models.create("fno <3")
    ModelVersion.objects.create(model=made, version=2, created_ms=0, changed_ms=0)
    Service.objects.update(registered_model="fno <3", model_version=2)
    assert "/registry/fno%20%3C3/?version=2" in eve.get("/services/v/").links()
    way = eve.get("/registry/fno%20%3C3/?version=2").html.find("svg")
    assert "/services/v/" in [link.get("href") for link in way.select("a")]
