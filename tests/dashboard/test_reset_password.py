"""``manage.py reset_password``."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.dashboard.browser import PASSWORD, Browser
from tests.people import person

pytestmark = pytest.mark.django_db


def test_a_password_is_reset_on_the_command_line(required, browser):
    person("eve", "viewer", password=PASSWORD)
    before = Browser()
    assert before.sign_in("eve").status == 303
    said = StringIO()
    call_command("reset_password", "eve", stdout=said)
    new = said.getvalue().strip()
    assert before.get("/account/").status == 302, "her sign-ins ended"
    assert browser.sign_in("eve").status == 400
    assert browser.sign_in("eve", new).status == 303
    with pytest.raises(CommandError, match="no user"):
        call_command("reset_password", "nobody")
