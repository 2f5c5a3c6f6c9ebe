"""Views of the native API for services: frozen copies of models that agents run as containers."""

from urllib.parse import quote

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.codec import body
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.agents import AgentView
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.core.errors import Invalid
from server.services import proxying, services, syncing
from server.services.models import Service
from server.tracking import model_versions

_FORMATS = {"application/json": {}, "application/jsonlines": {"type": "string"}, "text/csv": {"type": "string"}}


class SampleSerializer(RequestSerializer):
    body = fields.Field("What is sent to /invocations")
    expected = fields.Field("The answer that shows that the service is healthy")
    tolerance = fields.Number("Relative difference of numbers that is allowed", min_value=0, max_value=1, default=1e-9)


class NewServiceSerializer(RequestSerializer):
    name, cluster = fields.Name("service"), fields.Name("cluster")
    image = fields.Text(
        "By digest: NAME@sha256:… or sha256:…", max_length=500, pattern=services.IMAGE.pattern.replace(r"\Z", "$")
    )
    sample = SampleSerializer()
    description = fields.Text(max_length=10_000, required=False)
    registered_model = fields.Text(
        "Registered model of which it is a version", max_length=500, min_length=1, required=False
    )
    model_version = fields.Whole("Number of the version", min_value=1, max_value=999_999_999, required=False)
    port = fields.Whole("Port of the container", min_value=1, max_value=65_535, required=False)
    memory_mb = fields.Whole(min_value=16, max_value=1_000_000, required=False)
    cpus = fields.Number(min_value=0.01, max_value=1_000, required=False)
    pids = fields.Whole(min_value=1, max_value=100_000, required=False)
    start_seconds = fields.Whole("How long it may take to become healthy", min_value=1, max_value=3_600, required=False)


class ServiceLimitsSerializer(Serializer):
    memory_mb, cpus, pids = fields.Count(), fields.Number(), fields.Count()


class ServiceSerializer(Serializer):
    name, cluster, description, image = fields.Text(), fields.Text(), fields.Text(), fields.Text()
    registered_model = fields.Text("Registered model of which it is a version; null: it is not said", allow_null=True)
    model_version = fields.Count("Number of the version", allow_null=True)
    port, limits, start_seconds = fields.Count(), ServiceLimitsSerializer(), fields.Count()
    sample = fields.Map()
    wanted, generation = fields.Choice((*Service.WANTED, Service.DELETED)), fields.Count()
    state, reason = fields.Choice(Service.STATES), fields.Text("Why it is not healthy")
    restarts = fields.Count("Restarts by the agent")
    contact = fields.Choice(("ok", "silent", "never"), "silent: no sync of its agent for 90 s")
    seen_at = fields.Time(allow_null=True)
    is_allowed = fields.Flag("Whether the agent's site allows the image")
    changed_at, created_at, created_by = fields.Time(), fields.Time(), fields.Text()


class ServiceListSerializer(Serializer):
    services = fields.Items(ServiceSerializer())


class ServiceReportSerializer(RequestSerializer):
    name = fields.Text(max_length=200)
    generation = fields.Whole(min_value=0, max_value=2**31 - 1)
    wanted = fields.Choice((*Service.WANTED, Service.DELETED))
    state = fields.Choice((*Service.STATES, "deleted"))
    reason = fields.Text(max_length=2_000)
    restarts = fields.Whole(min_value=0, max_value=2**31 - 1)


class ServiceSyncSerializer(RequestSerializer):
    session = fields.Text("UUID of this run of the agent", max_length=64)
    begins = fields.Flag("Whether this is the first sync of the run, which takes over from another run")
    address = fields.Text("http://IP:PORT where it passes requests on; empty: nowhere", max_length=200)
    secret, version = fields.Text("What the address asks for", max_length=100), fields.Text(max_length=100)
    images = fields.Items(fields.Text(max_length=500), "Images that the site allows", max_length=1_000)
    services = fields.Items(ServiceReportSerializer(), max_length=1_000)


class ServiceSyncedSerializer(Serializer):
    cluster, interval = fields.Text(), fields.Count("Seconds until the next sync")
    services = fields.Items(fields.Map(), "What the agent is to have")


def _shown(service: Service) -> Response:
    return Response(services.described([service])[0])


class Services(ServerWide):
    """All services."""

    @operation("listServices", answers={200: ServiceListSerializer})
    def get(self, request: Request) -> Response:
        """List the services, with what is wanted and their states."""
        return Response({"services": services.listing()})

    @operation("createService", NewServiceSerializer, answers={201: ServiceSerializer}, errors=(404, 409))
    def post(self, request: Request) -> Response:
        """Ask the model agent of a cluster to run an image. The agent runs only images that its site's file lists."""
        asked = self.body(request)
        name, cluster = asked.pop("name"), asked.pop("cluster")
        _check_version(asked.get("registered_model"), asked.get("model_version"))
        service = services.create(name, cluster, asked, **caller.made_by(request._request))
        return created(services.described([service])[0], f"/api/v1/services/{quote(service.name)}/")


class OneService(ServerWide):
    """One service."""

    @operation("getService", answers={200: ServiceSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a service."""
        return _shown(services.find(name))

    @operation("deleteService", answers={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete a service. Its agent stops and removes the container at its next sync."""
        service = services.find(name)
        caller.check_owner(request._request, service)
        services.want(service, Service.DELETED)
        return Response(status=204)


class RunService(ServerWide):
    """Running a service."""

    @operation("runService", answers={200: ServiceSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Have a stopped service run again."""
        service = services.find(name)
        caller.check_owner(request._request, service)
        return _shown(services.want(service, Service.RUNNING))


class StopService(ServerWide):
    """Stopping a service."""

    @operation("stopService", answers={200: ServiceSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Stop a service, and keep its definition."""
        service = services.find(name)
        caller.check_owner(request._request, service)
        return _shown(services.want(service, Service.STOPPED))


class RestartService(ServerWide):
    """Restarting a service."""

    @operation("restartService", answers={200: ServiceSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """Start a service anew, at once, also if its agent waits after failures."""
        service = services.find(name)
        caller.check_owner(request._request, service)
        return _shown(services.restart(service))


class Invoke(ServerWide):
    """Predictions by a service."""

    @operation("invokeService", _FORMATS, answers={200: _FORMATS}, errors=(409, 502))
    def post(self, request: Request, name: str) -> HttpResponse:
        """Predict by a healthy service: the body is passed on to its `/invocations`, and its answer comes back.

        Bodies have at most 4 MB, answers 16 MB. The service sees neither your token nor your name.
        """
        kind = (request._request.content_type or "application/json").lower()
        if kind not in proxying.CONTENT_TYPES:
            kind = "application/json"  # as of `curl -d`
        data = body(request._request)
        if kind == "application/json":
            proxying.check_json(data)
        answer = proxying.invoke(name, data, kind, caller.key(request._request))
        return HttpResponse(answer.content, status=answer.status, content_type=answer.content_type)


def _check_version(registered_model: str | None, version: int | None) -> None:
    if (registered_model is None) != (version is None):
        raise Invalid("registered_model and model_version belong together: give both", field="registered_model")
    if registered_model is not None:
        model_versions.find(registered_model, version)


class SyncServices(AgentView):
    """Exchange with model agents."""

    tag = "agents"

    @operation("syncServices", ServiceSyncSerializer, answers={200: ServiceSyncedSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Report the states of services, and get what is wanted. Only the token of a cluster may do this."""
        return Response(syncing.sync(self.cluster_id, self.body(request)))
