"""Fixtures of the tests of uploads."""

from collections.abc import Iterator

import pytest

from tests.learning.loading import Loader, loading


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """Loads uploads, each in a process of its own."""
    with loading(tmp_path_factory.mktemp("uploads") / "stderr") as load:
        yield load
