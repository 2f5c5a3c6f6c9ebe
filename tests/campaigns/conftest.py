"""What the tests of campaigns share."""

import pytest

from tests.api_client import Api
from tests.calculations.conftest import People, _files_of_this_test, ada, admin, moderator, new_agent, people  # noqa: F401
from tests.campaigns.loop import PROGRAMS, Loop


@pytest.fixture
def loop(moderator: Api, new_agent) -> Loop:  # noqa: F811
    """A campaign's world, as a moderator sees it."""
    return Loop(moderator, new_agent("alpha", *PROGRAMS))
