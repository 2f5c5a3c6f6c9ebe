"""The least a Django view can do for a prediction: parse the body, answer a number."""

import orjson
from django.http import HttpRequest, HttpResponse


def answer(request: HttpRequest) -> HttpResponse:
    """Answer the sum of the posted features, in the shape of a prediction."""
    body = orjson.loads(request.body)
    answer = {"model": body["model"], "prediction": float(sum(body["features"].values()))}
    return HttpResponse(orjson.dumps(answer), content_type="application/json")
