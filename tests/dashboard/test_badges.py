"""Badges: what they say, who may see them, how they are cached, and how the owner changes that."""

import io
import xml.etree.ElementTree as ElementTree

import pytest
from django.contrib.auth.models import User
from django.test import Client
from PIL import Image

from server.dashboard import badge_pictures
from server.dashboard.views.badges import CURVES
from server.learning import badges, registry
from server.learning.badges import Reading
from server.learning.models import Badge, Model, ModelStatus
from server.streams.models import Stream
from tests.dashboard.browser import Browser, Page
from tests.dashboard.recorded import jobs, learn, model, stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
SVG, PNG = "/badge/run.svg", "/badge/run.png"


@pytest.fixture(autouse=True)
def _nothing_kept():
    CURVES.clear()


@pytest.fixture
def world():
    stream()
    found = model("run", recipe="runtime")
    learn("runs", jobs(60))
    fields = {"n": 60, "scored": 59, "skipped": 0, "metric": "RMSE", "value": 9.0, "rolling": 1.9234, "snapshot_n": 0}
    ModelStatus.objects.create(model=found, generation=1, at=found.created_at, **fields)
    return found


def texts(svg):
    return [one.text for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_it_says_error_n_and_drift(world, client):
    answer = client.get(SVG)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/svg+xml"
    assert texts(answer.content) == ["run", "RMSE 1.923 s · n = 60"]
    assert badge_pictures.GOOD in answer.content.decode()
    ModelStatus.objects.update(drift_at=40)
    answer = client.get(SVG)
    assert texts(answer.content)[1].endswith("· drift") and badge_pictures.BAD in answer.content.decode()
    ModelStatus.objects.update(n=1260, scored=1259)
    answer = client.get(SVG)
    assert texts(answer.content)[1].endswith("· last drift 1,219 ago"), "it is told, though it is over"
    assert badge_pictures.GOOD in answer.content.decode()
    Model.objects.update(status=Model.QUARANTINED)
    assert texts(client.get(SVG).content)[1] == "quarantined"


def test_without_a_status_it_says_how_many_observations_there_are(world, client):
    ModelStatus.objects.all().delete()
    assert texts(client.get(SVG).content)[1] == "n = 60"
    Model.objects.update(status=Model.BACKFILLING, progress=7)
    assert texts(client.get(SVG).content)[1] == "n = 7"
    reading = badges.reading(world)
    assert (reading.value, reading.has_drifted) == (None, False)


def test_the_curve_is_a_picture(world, client):
    answer = client.get(PNG)
    assert answer.headers["Content-Type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (600, 200)
    colors = {color for _, color in picture.convert("RGB").getcolors(200_000)}
    assert (11, 106, 168) in colors, "the curve is drawn"
    assert len(answer.content) < 40_000
    learn("runs", jobs(20, 2))
    assert client.get(PNG).content != answer.content, "it goes on with the record"


def test_a_model_without_a_record_has_a_picture(client):
    stream()
    model("run", recipe="runtime")
    assert Image.open(io.BytesIO(client.get(PNG).content)).size == (600, 200)
    assert texts(client.get(SVG).content)[1] == "n = 0"


def test_text_with_markup_is_text(world, client):
    Stream.objects.update(target_unit='"><script>alert(1)</script>\x07')
    answer = client.get(SVG).content
    assert b"<script" not in answer
    assert texts(answer)[1].startswith('RMSE 1.923 "><script>')
    assert client.get(PNG).status_code == 200
    huge = Reading("RMSE", float("inf"), 10**15, True, "ready")
    assert badge_pictures.said(world, huge) == "n = 1,000,000,000,000,000 · drift"


def test_a_cache_asks_whether_it_changed(world, client):
    answer = client.get(SVG)
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    same = client.get(SVG, headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    ModelStatus.objects.update(n=61)
    assert client.get(SVG, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 200


def test_only_who_may_read_the_model_sees_it_at_first(world, signed_in, client, only_stream):
    for path in (SVG, PNG, "/badge/none.svg", "/badge/run/guess.svg", "/badge/run/.svg"):
        assert client.get(path).status_code == 404, path
    answer = signed_in("vera", "viewer").get(SVG).response
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, max-age=60")
    browser = signed_in("vera")
    only_stream("other")
    assert browser.get(SVG).status == 404


def test_an_address_of_its_own_shows_it_until_it_is_renewed(world, required, client):
    key = badges.change(world, badges.RENEW).key
    assert len(key) >= 22
    assert client.get(f"/badge/run/{key}.svg").status_code == 200
    assert client.get(f"/badge/run/{key}.png").status_code == 200
    assert client.get(SVG).status_code == 404, "the other address is as it was"
    assert client.get(f"/badge/run/{key[:-1]}.svg").status_code == 404
    other = badges.change(world, badges.RENEW).key
    assert other != key and client.get(f"/badge/run/{key}.svg").status_code == 404
    badges.change(world, badges.WITHDRAW)
    assert client.get(f"/badge/run/{other}.svg").status_code == 404


def test_a_token_never_goes_into_the_address(world, client):
    answer = client.get(f"{SVG}?token=abc")
    assert answer.status_code == 400 and b"a token never goes into an address" in answer.content.lower()


def test_the_owner_changes_it_on_a_page(world, signed_in, client, audited):
    browser = signed_in("ada", "researcher")
    Model.objects.update(owner_id=User.objects.get(username="ada").pk)
    path = "/models/run/badge/"
    page = browser.get(path)
    assert "People who may read the model" in page.text and page.boxes == []
    page = browser.follow(send(browser, path, "publish"))
    assert "Everybody may see the badge now" in page.text
    assert page.boxes[0] == "[![run](http://testserver/badge/run.svg)](http://testserver/models/run/)"
    assert client.get(SVG).status_code == 200
    page = browser.follow(send(browser, path, "hide"))
    assert client.get(SVG).status_code == 404
    page = browser.follow(send(browser, path, "renew"))
    assert f"/badge/run/{Badge.objects.get().key}.svg" in page.boxes[0]
    browser.follow(send(browser, path, "withdraw"))
    assert Badge.objects.get().key == ""
    assert send(browser, path, "nonsense").status == 400
    assert [entry for entry in audited() if entry[1] == "model.badge"] == [("ada", "model.badge", "run")] * 4


def send(browser: Browser, path: str, change: str):
    page = browser.get(path)
    token = page.html.select_one("[name=csrfmiddlewaretoken]")["value"]
    return Page(browser.client.post(path, {"change": change, "csrfmiddlewaretoken": token}), path)


def test_others_may_not_change_it_nor_see_its_own_address(world, signed_in):
    badges.change(world, badges.RENEW)
    rita = signed_in("rita", "researcher")
    page = rita.get("/models/run/badge/")
    assert page.boxes == [] and not page.html.select("button[name=change]")
    client: Client = rita.client
    client.handler.enforce_csrf_checks = False
    assert client.post("/models/run/badge/", {"change": "publish"}).status_code == 403
    vera = signed_in("vera", "viewer")
    vera.client.handler.enforce_csrf_checks = False
    assert vera.client.post("/models/run/badge/", {"change": "publish"}).status_code == 403
    assert not Badge.objects.get().is_public
    assert signed_in("mod", "moderator").get("/models/run/badge/").html.select("button[name=change]")


def test_a_deleted_model_has_no_badge(world, client):
    badges.change(world, badges.PUBLISH)
    registry.delete("run")
    assert client.get(SVG).status_code == 404 and not Badge.objects.exists()
