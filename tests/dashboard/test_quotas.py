"""Quotas on the pages: what is used and allowed, with a bar, and a warning at 80 % and at 100 %."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from server.core.db.locks import transaction_for_writing
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import CELL_BYTES, MB, STREAMS, Owner, QuotaExceeded
from tests.dashboard.browser import Page
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def quota(required: None, settings: Any) -> Any:
    def set_quotas(**quotas: int) -> None:
        update = {f"quota_{name}": value for name, value in quotas.items()}
        settings.TAILRACE = settings.TAILRACE.model_copy(update=update)

    return set_quotas


def use(user: User, quota: str, amount: int, token_id: int = 0) -> None:
    with transaction_for_writing():
        quota_usage.charge(Owner(user.pk, user.username, token_id), {quota: amount})


def rows(page: Page) -> dict[str, list[str]]:
    """The table's cells by the name of the quota, and last the bar's value."""
    found = {}
    for row in page.html.select("table.quotas tbody tr"):
        name, *cells = [cell.get_text(" ", strip=True) for cell in row.find_all("td")]
        meter = row.find("meter")
        found[name] = [*cells, "" if meter is None else meter["value"]]
    return found


def told(page: Page) -> list[str]:
    return [" ".join(one.get_text(" ", strip=True).split()) for one in page.html.select(".message")]


@pytest.mark.parametrize(
    "used, shown, state, classes",
    [(7, "70 %", "ok", None), (8, "80 %", "near", ["message"]), (10, "100 %", "reached", ["message", "error"])],
)
def test_the_account_page_shows_each_state(signed_in, quota, used, shown, state, classes):
    quota(streams=10)
    browser = signed_in("ada")
    use(User.objects.get(username="ada"), STREAMS, used)
    page = browser.get("/account/")
    assert rows(page)["Streams"] == [str(used), "10", f"{shown} {shown}", state, shown.removesuffix(" %")]
    message = page.html.select_one(".message")
    assert (None if message is None else message["class"]) == classes
    if state == "near":
        assert told(page) == [
            "The quota “Streams” is nearly used up. 8 of 10. Delete streams. "
            "An admin can raise TAILRACE_QUOTA_STREAMS ."
        ]
    if state == "reached":
        assert told(page)[0].startswith("The quota “Streams” is used up: nothing more can be stored. 10 of 10.")


def test_a_refusal_before_the_last_byte_shows_as_reached(signed_in, quota):
    quota(cell_mb=2, token_percent=100)
    browser, ada = signed_in("ada"), User.objects.get(username="ada")
    use(ada, CELL_BYTES, 2 * MB - 5)
    assert rows(browser.get("/account/"))["Cells, MB"][3] == "near"
    with pytest.raises(QuotaExceeded) as refused:
        use(ada, CELL_BYTES, 6)
    quota_usage.record_refusal(refused.value)
    page = browser.get("/account/")
    assert rows(page)["Cells, MB"] == ["2.0 MB", "2.0 MB", "100 % 100 %", "reached", "100"]
    assert "Delete" not in told(page)[0], "cells can't be deleted"


def test_what_has_no_limit_has_no_bar(signed_in, quota):
    quota(streams=0)
    browser = signed_in("ada")
    use(User.objects.get(username="ada"), STREAMS, 3)
    assert rows(browser.get("/account/"))["Streams"] == ["3", "no limit", "–", "ok", ""]


def test_more_than_a_lowered_limit_is_a_full_bar(signed_in, quota):
    browser = signed_in("ada")
    use(User.objects.get(username="ada"), STREAMS, 30)
    quota(streams=10)
    assert rows(browser.get("/account/"))["Streams"] == ["30", "10", "300 % 300 %", "reached", "100"]


def test_a_token_that_is_near_its_part_is_named(signed_in, quota):
    quota(streams=10, token_percent=50)
    browser = signed_in("ada")
    use(User.objects.get(username="ada"), STREAMS, 5, token_id=7)
    page = browser.get("/account/")
    assert "Token 7 has its own share: it uses 5 of 5 for streams (reached)." in " ".join(
        page.html.get_text(" ", strip=True).replace("( ", "(").replace(" )", ")").split()
    )
    assert rows(page)["Streams"][3] == "ok"


def test_moderators_see_whose_quota_is_used_up(signed_in, quota):
    quota(streams=10)
    use(person("rita"), STREAMS, 10)
    use(person("rosa"), STREAMS, 8)
    browser = signed_in("mod", "moderator")
    text = " ".join(browser.get("/users/").html.get_text(" ", strip=True).split())
    assert "streams used up" in text
    assert "streams nearly used up" in text
    assert rows(browser.get("/users/rita/"))["Streams"][3] == "reached"
    assert rows(browser.get("/users/mod/"))["Streams"][3] == "ok"


def test_a_server_that_asks_nobody_has_no_quotas_to_show(client, db):
    page = client.get("/account/").content.decode()
    assert "quotas" not in page
