"""The pages of users, for moderators and admins."""

import pytest
from django.contrib.auth.models import User

from server.accounts import roles, signins, tokens
from server.accounts.models import Token
from tests.dashboard.browser import Browser
from tests.people import bearer, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def test_it_lists_users_with_role_and_state(signed_in):
    browser = signed_in("mo", "moderator")
    person("rita", "researcher")
    User.objects.filter(username="rita").update(is_active=False)
    rows = [row.get_text(" ", strip=True) for row in browser.get("/users/").html.select("tbody tr")]
    assert rows[0].startswith("mo moderator active")
    assert rows[1].startswith("rita researcher blocked no password")


def test_it_finds_a_part_of_a_name(signed_in):
    browser = signed_in("mo", "moderator")
    for name in ("rita", "Margarita", "bob"):
        person(name)
    page = browser.get("/users/?q=RITA")
    assert [link.get_text() for link in page.html.select("tbody a")] == ["Margarita", "rita"]
    assert page.html.find(id="q")["value"] == "RITA"
    assert "No user has this in their name." in browser.get("/users/?q=%00x").text


def test_it_shows_a_page_of_users_at_a_time(signed_in):
    browser = signed_in("mo", "moderator")
    User.objects.bulk_create(User(username=f"user{n:03}") for n in range(60))
    first, second = browser.get("/users/?q=user"), browser.get("/users/?q=user&page=2")
    assert [len(page.html.select("tbody tr")) for page in (first, second)] == [50, 10]
    assert "?q=user&page=2" in first.links()
    assert len(browser.get("/users/?q=user&page=nonsense").html.select("tbody tr")) == 50


def test_a_moderator_blocks_and_unblocks(signed_in, client, audited):
    secret = tokens.create(person("rita", "researcher"), "job")[1]
    browser = signed_in("mo", "moderator")
    page = browser.follow(browser.send(browser.get("/users/rita/"), "/users/rita/block/"))
    assert "Rita is blocked" in page.text or "rita is blocked" in page.text
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 401
    page = browser.follow(browser.send(page, "/users/rita/unblock/"))
    assert "rita is unblocked" in page.text
    assert client.get("/api/v1/streams/", headers=bearer(secret)).status_code == 200
    assert audited()[-2:] == [("mo", "user.block", "rita"), ("mo", "user.unblock", "rita")]


def test_a_moderator_resets_a_password_and_sees_it_once(signed_in):
    person("rita", "researcher", password="what it was before")
    browser = signed_in("mo", "moderator")
    page = browser.send(browser.get("/users/rita/"), "/users/rita/password/")
    [password] = page.boxes
    assert "shown only once" in page.text
    assert page.response.headers["Cache-Control"] == "no-store"
    assert password not in browser.get("/users/rita/").html.decode()
    rita = Browser()
    assert rita.sign_in("rita", "what it was before").status == 400
    assert rita.sign_in("rita", password).status == 303


@pytest.mark.parametrize("role", ["moderator", "admin"])
@pytest.mark.parametrize("what", ["block", "unblock", "password"])
def test_a_moderator_does_nothing_to_their_like_or_betters(signed_in, role, what):
    other = person("other", role)
    browser = signed_in("mo", "moderator")
    page = browser.get("/users/other/")
    assert "only an admin can change this user" in page.text
    assert not page.html.select(f'form[action="/users/other/{what}/"]')
    csrf = page.html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    response = browser.client.post(f"/users/other/{what}/", {"csrfmiddlewaretoken": csrf})
    assert response.status_code == 403
    assert "only to users with a role below their own" in response.content.decode()
    before = other.password
    other.refresh_from_db()
    assert (other.is_active, other.password) == (True, before)


def test_nobody_blocks_themselves(signed_in):
    browser = signed_in("mo", "moderator")
    page = browser.get("/users/mo/")
    assert "This is you" in page.text
    csrf = page.html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    assert browser.client.post("/users/mo/block/", {"csrfmiddlewaretoken": csrf}).status_code == 403


def test_a_moderator_neither_makes_users_nor_gives_roles(signed_in):
    person("rita", "researcher")
    browser = signed_in("mo", "moderator")
    page = browser.get("/users/rita/")
    assert not page.html.select('form[action="/users/rita/role/"]')
    assert "/new-user/" not in browser.get("/users/").links()
    csrf = page.html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    for address in ("/users/rita/role/", "/new-user/"):
        response = browser.client.post(address, {"csrfmiddlewaretoken": csrf, "role": "admin", "user": "new"})
        assert response.status_code == 403
    assert roles.role_of(User.objects.get(username="rita")) == "researcher"


def test_an_admin_gives_a_role(signed_in, audited):
    rita = person("rita", "researcher")
    browser = signed_in("ada", "admin")
    page = browser.follow(browser.send(browser.get("/users/rita/"), "/users/rita/role/", role="moderator"))
    assert "The role of rita is now moderator." in page.text
    assert roles.role_of(rita) == "moderator"
    assert audited()[-1] == ("ada", "user.role", "rita")


def test_a_role_is_one_that_there_is(signed_in):
    rita = person("rita", "researcher")
    browser = signed_in("ada", "admin")
    page = browser.send(browser.get("/users/rita/"), "/users/rita/role/", role="emperor")
    assert page.status == 400
    assert "expected one of viewer, researcher, moderator, admin" in page.text
    assert roles.role_of(rita) == "researcher"


def test_the_last_admin_stays_one(signed_in):
    browser = signed_in("ada", "admin")
    page = browser.send(browser.get("/users/ada/"), "/users/ada/role/", role="viewer")
    assert page.status == 409
    assert "is the last active admin" in page.text
    assert browser.get("/audit/").status == 200


def test_an_admin_makes_a_user_with_a_password(signed_in, audited):
    browser = signed_in("ada", "admin")
    page = browser.send(browser.get("/new-user/"), "/new-user/", user="new.one", role="viewer")
    assert page.status == 201
    [password] = page.boxes
    assert Browser().sign_in("new.one", password).status == 303
    assert roles.role_of(User.objects.get(username="new.one")) == "viewer"
    assert ("ada", "user.create", "new.one") in audited()


def test_an_admin_makes_a_user_without_a_password(signed_in):
    browser = signed_in("ada", "admin")
    answer = browser.send(browser.get("/new-user/"), "/new-user/", user="robot", with_password=[])
    assert "User robot is created, without a password." in browser.follow(answer).text
    assert not User.objects.get(username="robot").has_usable_password()


@pytest.mark.parametrize(
    "name, status, message",
    [
        ("", 400, "is not a valid name of a user"),
        ("a b", 400, "is not a valid name of a user"),
        ("ADA", 409, "is taken (case is ignored)"),
    ],
)
def test_a_name_that_will_not_do_is_refused_beside_its_field(signed_in, name, status, message):
    browser = signed_in("ada", "admin")
    page = browser.send(browser.get("/new-user/"), "/new-user/", user=name, role="moderator")
    assert page.status == status
    assert message in page.error_at("user")
    assert page.html.select_one("#role option[selected]").get_text() == "moderator"
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["nobody", "no%00body", "x" * 300, "%F0%9F%92%A7"])
def test_a_user_who_is_not_there_is_not_found(signed_in, name):
    page = signed_in("mo", "moderator").get(f"/users/{name}/")
    assert page.status == 404
    assert "No user named" in page.text


def test_an_admin_revokes_tokens_and_ends_sign_ins(signed_in):
    rita = person("rita", "researcher")
    token, _ = tokens.create(rita, "job")
    sign_in, _ = signins.begin(rita)
    browser = signed_in("ada", "admin")
    page = browser.follow(browser.send(browser.get("/users/rita/"), f"/users/rita/tokens/{token.pk}/revoke/"))
    assert "is revoked." in page.text
    assert tokens.verify_id(token.pk) is None
    page = browser.follow(browser.send(page, f"/users/rita/sign-ins/{sign_in.pk}/end/"))
    assert "The sign-in has ended." in page.text
    assert signins.verify_id(sign_in.pk) is None


def test_a_moderator_sees_neither_tokens_nor_sign_ins(signed_in):
    token, _ = tokens.create(person("rita", "researcher"), "ritas job")
    browser = signed_in("mo", "moderator")
    page = browser.get("/users/rita/")
    assert "ritas job" not in page.html.decode()
    csrf = page.html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    response = browser.client.post(f"/users/rita/tokens/{token.pk}/revoke/", {"csrfmiddlewaretoken": csrf})
    assert response.status_code == 403
    assert Token.objects.get().revoked_at is None


def test_a_token_is_looked_for_among_its_owners(signed_in):
    token, _ = tokens.create(person("rita"), "job")
    person("bob")
    browser = signed_in("ada", "admin")
    csrf = browser.get("/users/bob/").html.find(attrs={"name": "csrfmiddlewaretoken"})["value"]
    response = browser.client.post(f"/users/bob/tokens/{token.pk}/revoke/", {"csrfmiddlewaretoken": csrf})
    assert response.status_code == 404
    assert tokens.verify_id(token.pk) is not None
