"""A post to a stream that isn't there: whose makes it, and what they and the others are told."""

from unittest.mock import patch

import pytest
from django.test import Client

from server.accounts import tokens
from server.config import Config
from server.streams import registry as streams
from server.streams.models import Stream
from tests.api_client import Api
from tests.people import bearer, person, secret_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

POINT = {"x": {"a": 1.0}, "y": 2.0}
MEANT, TYPED = "lammps-runtime", "lammps-runtme"
PATH = f"/api/v1/streams/{TYPED}/observations/"


@pytest.fixture(autouse=True)
def _meant():
    streams.create(MEANT, target_kind="number")


def calling(user, *scopes, only=None):
    return Api(Client(headers=bearer(secret_of(user, scopes, only))))


def told(response):
    assert response.status_code == 404, response.content
    assert not Stream.objects.filter(name=TYPED).exists()
    return response.json()["error"]["message"]


def test_whoever_makes_a_stream_by_it_hears_so_once(ada):
    api = calling(ada, "learn", "read", "create")
    receipt = api.ok(PATH, POINT, 201)
    assert receipt["new_stream"] == {
        "name": TYPED,
        "nearest": MEANT,
        "message": "new stream lammps-runtme: no model learns from it; did you mean lammps-runtime?",
    }
    assert "new_stream" not in api.ok(PATH, POINT, 201)
    assert Stream.objects.get(name=TYPED).created_by == "ada"


def test_where_no_name_is_near_none_is_told(ada):
    receipt = calling(ada, "learn", "read", "create").ok("/api/v1/streams/builds/observations/", POINT, 201)
    assert receipt["new_stream"]["nearest"] is None
    assert receipt["new_stream"]["message"].startswith("new stream builds: no model learns from it; create one")


def test_only_names_that_the_caller_may_read_are_told(ada):
    blind = calling(ada, "learn", "create")
    assert blind.ok(PATH, POINT, 201)["new_stream"]["nearest"] is None
    other = calling(ada, "learn", "read", "create", only=["lammps-runtima", "lammps-runtime-2"])
    made = other.ok("/api/v1/streams/lammps-runtima/observations/", POINT, 201)
    assert made["new_stream"]["nearest"] is None
    assert MEANT not in told_elsewhere(calling(ada, "learn", "read", only=["lammps-runt"]), "lammps-runt")


def told_elsewhere(api, name):
    response = api.post(f"/api/v1/streams/{name}/observations/", POINT)
    assert response.status_code == 404
    return response.json()["error"]["message"]


@pytest.mark.parametrize("scopes", [("learn", "read"), ("learn", "predict", "read", "manage")], ids=" ".join)
def test_a_token_without_the_scope_makes_none_and_hears_what_is_near(ada, scopes):
    assert told(calling(ada, *scopes).post(PATH, POINT)).endswith("named 'lammps-runtme'; did you mean lammps-runtime?")
    far = told_elsewhere(calling(ada, *scopes), "builds")
    assert far == "no stream named 'builds'; create it first, or post with a token that has the scope create"


def test_a_token_that_may_not_read_hears_of_no_name(ada):
    assert MEANT not in told(calling(ada, "learn").post(PATH, POINT))


def test_nor_does_a_person_who_signed_in_or_a_role_that_may_not_create(ada):
    ada.set_password("a long old password 1")
    ada.save()
    access = Api(Client()).ok("/api/v1/signin/", {"user": "ada", "password": "a long old password 1"})["token"]
    assert told(Api(Client(headers=bearer(access))).post(PATH, POINT))
    viewer = calling(person("vic", "viewer"), "learn", "read", "create")
    assert viewer.post(PATH, POINT).status_code == 403


@pytest.mark.parametrize(
    ("setting", "scopes", "status"),
    [
        ("role", ("learn", "manage"), 201), ("role", ("learn", "create"), 201), ("role", ("learn", "read"), 404),
        ("nobody", ("learn", "create", "manage"), 404), ("scope", ("learn", "create"), 201), ("scope", ("learn", "manage"), 404),
    ],
)  # fmt: skip
def test_a_setting_decides(ada, settings, setting, scopes, status):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"create_by_posting": setting})
    assert calling(ada, *scopes).post(PATH, POINT).status_code == status


def test_by_default_it_is_the_scope_and_a_new_token_lacks_it(ada):
    assert Config(secret_key="x" * 40).create_by_posting == "scope"
    assert tokens.create(ada, "usual")[0].scopes == ["learn", "predict", "read", "manage"]


def test_where_nobody_is_asked_anybody_makes_one_unless_nobody_may(settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "open"})
    open_api = Api(Client())
    assert open_api.ok(PATH, POINT, 201)["new_stream"]["nearest"] == MEANT
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"create_by_posting": "nobody"})
    assert open_api.post("/api/v1/streams/lammps-runtime2/observations/", POINT).status_code == 404


def test_a_stream_that_is_there_costs_no_look_at_the_others(ada):
    api = calling(ada, "learn", "create", "read")
    with patch("server.streams.registry.nearest") as asked:
        api.ok(f"/api/v1/streams/{MEANT}/observations/", POINT, 201)
    assert not asked.called


def test_the_first_page_lists_streams_without_models_for_whoever_may_read_them(ada):
    streams.create(TYPED)
    assert TYPED not in Client().get("/").content.decode()
    browser = Client()
    browser.force_login(ada)
    page = browser.get("/").content.decode()
    assert "Streams that no model learns from" in page
    assert f">{TYPED}</a> (" in page
    calling(ada, "manage").ok("/api/v1/models/", {"name": "m", "stream": TYPED, "recipe": "mean"}, 201)
    assert f">{TYPED}</a> (" not in browser.get("/").content.decode()
