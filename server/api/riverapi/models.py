"""Views of the riverapi protocol for models: upload, show, download, list and delete."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller
from server.api.codec import answer, body
from server.api.riverapi.request import model_name
from server.learning import registry
from server.learning.fold import flavors, replay
from server.learning.hyperparameters import hyperparameters
from server.learning.models import Model
from server.learning.pickles import loader
from server.learning.trial import Candidate

CLIENT = "riverapi-python"


def upload(request: HttpRequest, flavor: str, name: str | None = None) -> HttpResponse:
    """POST /api/model/<flavor>/[<name>/] with a dill pickle.

    With ``?stream=`` the model joins an existing stream and first learns its history. Otherwise it starts without
    observations, as in django-river-ml, even if a deleted model of the same name has left a log.
    """
    flavors.get(flavor)
    config = settings.TAILRACE
    trusted = config.trusted if flavor == "custom" else ()
    data = body(request)
    estimator = Candidate(lambda: loader.load_estimator(data, trusted_modules=trusted, max_bytes=config.max_body_bytes))
    stream = request.GET.get("stream")
    if stream is not None:
        caller.stream(request, stream)
    elif caller.only_streams(request) is not None:
        caller.check_new_stream(request, name or "")
    owner = caller.owner(request)
    made_by = caller.made_by(request)
    model = registry.create(name, stream, flavor, estimator, backfill=stream is not None, owner=owner, **made_by)
    return caller.warned(request, answer({"name": model.name}, 201))


def upload_unnamed(request: HttpRequest, name: str) -> HttpResponse:
    """POST /api/model/<flavor>/. This address has the same pattern as a model's, so the flavor arrives as ``name``."""
    return upload(request, flavor=name)


def show(request: HttpRequest, name: str) -> HttpResponse:
    """GET /api/model/<name>/. Returns the model's hyperparameters."""
    caller.check_model(request, name)
    model = registry.find(name)
    return answer(hyperparameters(replay.initial_replica(model, None).estimator))


def download(request: HttpRequest, name: str) -> HttpResponse:
    """GET /api/model/download/<name>/. Returns the estimator in its current state, as a pickle."""
    return HttpResponse(caller.download(request, name), content_type="application/octet-stream")


def listing(request: HttpRequest) -> HttpResponse:
    """GET /api/models/. Returns the names of all models, sorted."""
    found = Model.objects.values_list("name", flat=True)
    only = caller.only_streams(request)
    return answer({"models": sorted(found if only is None else found.filter(stream__name__in=only))})


def delete(request: HttpRequest) -> HttpResponse:
    """DELETE /api/model/ with the form field ``model``."""
    caller.delete_model(request, model_name(request))
    if request.headers.get("User-Agent", "").startswith(CLIENT):
        # The published client reads JSON from every response, and treats every status but 200 and 201 as an error.
        return answer(204)
    return HttpResponse(status=204)
