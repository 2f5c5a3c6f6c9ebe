"""What the tests of descriptors, cells and databases share."""

import pytest

from tests.api_client import Api
from tests.cell_examples import Bonds


@pytest.fixture
def bonds(api: Api) -> Bonds:
    return Bonds(api)
