"""What the tests of tracking share."""

from typing import Any

import pytest

from tests.calculations.conftest import People, _files_of_this_test, ada, admin, moderator, people  # noqa: F401


class Tracked:
    """A run as its owner's API client uses it."""

    def __init__(self, api: Any, uid: str) -> None:
        self.api, self.uid, self.path = api, uid, f"/api/v1/runs/{uid}/"

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json", **headers: str) -> Any:
        data = body if isinstance(body, bytes) else self.api._encoded(body)
        return self.api.client.generic(method, self.path + path, data, kind, headers=headers)

    def lines(self, first: int, *lines: Any, writer: str = "w") -> Any:
        return self.send("POST", "lines/", {"writer": writer, "first": first, "lines": list(lines)})

    def shown(self) -> Any:
        return self.api.ok(self.path)


@pytest.fixture
def run(ada) -> Tracked:  # noqa: F811
    """A run of Ada's."""
    uid = "0" * 31 + "a"
    made = Tracked(ada, uid)
    assert made.send("PUT", "", {"experiment": "darcy flow/ü"}).status_code == 201
    return made
