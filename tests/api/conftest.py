"""What the tests of both APIs share."""

from datetime import UTC, datetime, timedelta

import pytest

from server.learning.models import Prediction
from tests.api_client import POINT, Api


@pytest.fixture
def world(api: Api) -> Api:
    """A declared stream with a model, an upload with a stream of its own, and predictions that wait or don't."""
    api.stream("s", features={"a": "number", "k": "category"}, segment="k")
    api.model("lin", "s", "mean")
    for n in range(3):
        api.learn({"a": n, "k": "one"}, 2 * n, key=f"job-{n}")
    assert api.upload("up").status_code == 201
    for identifier, model in (("kept", "lin"), ("late", "lin"), ("done", "lin")):
        api.ok(f"/api/v1/models/{model}/predict/", {"x": POINT, "identifier": identifier})
    api.ok("/api/v1/predictions/done/label/", {"y": 3})
    Prediction.objects.filter(identifier="late").update(expires_at=datetime.now(UTC) - timedelta(days=1))
    return api
