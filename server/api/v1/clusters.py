"""Views of the native API for clusters."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import cluster_tokens
from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.calculations import clusters, reading
from server.calculations.models import Cluster
from server.core.db.locks import transaction_for_writing
from server.core.errors import Invalid
from server.core.validation import check_name, format_value


def _text(longest: int) -> fields.Text:
    return fields.Text(max_length=longest, required=False)


class ClusterLimitsSerializer(RequestSerializer):
    """Most steps at once, in total and of one user; null: no limit."""

    steps, user_steps = (
        fields.Whole(min_value=1, max_value=1_000_000, allow_null=True, required=False) for _ in range(2)
    )


class NewClusterSerializer(RequestSerializer):
    name = fields.Name("cluster")
    title, description = _text(200), _text(10_000)
    streams = fields.Items(
        fields.Name("stream"), "Streams into which the agent may learn", max_length=1000, required=False
    )
    limits = ClusterLimitsSerializer(required=False)
    retention_days = fields.Whole(
        "Days until raw files of an ended step may be deleted", min_value=0, max_value=36_500, required=False
    )


class ClusterChangesSerializer(RequestSerializer):
    title, description = _text(200), _text(10_000)
    state = fields.Choice(
        Cluster.STATES,
        "maintenance: finish what runs, take nothing new; disabled: the agent is refused",
        required=False,
    )
    streams = fields.Items(
        fields.Name("stream"), "Streams into which the agent may learn", max_length=1000, required=False
    )
    limits = ClusterLimitsSerializer(required=False)
    retention_days = fields.Whole(min_value=0, max_value=36_500, required=False)


class AgentSerializer(Serializer):
    host, version, launcher = fields.Text(), fields.Text(), fields.Text()
    root = fields.Text()  # type: ignore[assignment]  # serializers have a property of this name
    slots, epoch, opened_at = fields.Count(), fields.Count(), fields.Time()


class ClusterLoadSerializer(Serializer):
    at = fields.Time()
    cpu, memory = fields.Number(allow_null=True), fields.Number(allow_null=True)
    disk_free, disk_total = fields.Number(allow_null=True), fields.Number(allow_null=True)
    jobs_running, jobs_waiting = fields.Number(allow_null=True), fields.Number(allow_null=True)


class LimitsSerializer(Serializer):
    steps, user_steps = fields.Count(allow_null=True), fields.Count(allow_null=True)


class ClusterSerializer(Serializer):
    name, title, description = fields.Text(), fields.Text(), fields.Text()
    state = fields.Choice(Cluster.STATES)
    contact = fields.Choice(("ok", "silent", "never"), "silent: no sync for 90 s")
    seen_at = fields.Time(allow_null=True)
    streams = fields.Items(fields.Text())
    limits, retention_days = LimitsSerializer(), fields.Count()
    agent = AgentSerializer(allow_null=True)
    programs = fields.Items(fields.Text())
    load = ClusterLoadSerializer(allow_null=True)
    steps = fields.Map(fields.Count(), "Number of steps in each state")
    created_at, created_by = fields.Time(), fields.Text()


class ClusterTokenSerializer(ClusterSerializer):
    token = fields.Text("The secret of the agent's token. It is shown only here")


class ClusterListSerializer(Serializer):
    clusters = fields.Items(ClusterSerializer())


class LoadsSerializer(Serializer):
    cluster = fields.Text()
    loads = fields.Items(ClusterLoadSerializer(), "The oldest first")


class LoadsQuery(QuerySerializer):
    since = fields.Text("Only loads after this time, ISO 8601 with time zone", max_length=50)


class AgentMessageSerializer(Serializer):
    id, at, level, text = fields.Count(), fields.Time(), fields.Text(), fields.Text()
    step = fields.Text(allow_null=True)


class MessagesSerializer(Serializer):
    cluster = fields.Text()
    next = fields.Count("`before` of the next page", allow_null=True)
    messages = fields.Items(AgentMessageSerializer(), "The newest first")


class MessagesQuery(QuerySerializer):
    before = fields.Whole("Only lines before this number", min_value=1, max_value=fields.LARGEST)
    limit = fields.Whole("Largest number of lines in the answer", min_value=1, max_value=1000, default=100)


def _columns(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a request as columns of the table."""
    found = {name: value for name, value in asked.items() if name not in ("name", "limits")}
    for name, column in (("steps", "steps_limit"), ("user_steps", "user_limit")):
        if name in asked.get("limits", {}):
            found[column] = asked["limits"][name]
    if "streams" in found:
        found["streams"] = sorted({check_name(name, "stream", "streams") for name in found["streams"]})
    return found


def _owner(request: Request) -> User | None:
    """Return the user whom a new token belongs to; None if the server is open."""
    who = caller.identity(request._request)
    return None if who is None else User.objects.get(pk=who.user_id)


def shown(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as the API shows it."""
    return clusters.described([cluster])[0]


class Clusters(ServerWide):
    """All clusters."""

    @operation("listClusters", answers={200: ClusterListSerializer})
    def get(self, request: Request) -> Response:
        """List the clusters, with their state, load and number of steps."""
        return Response({"clusters": clusters.described(list(Cluster.objects.order_by("name")))})

    @operation("addCluster", NewClusterSerializer, answers={201: ClusterTokenSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Add a cluster, and create the token of its agent.

        The secret, `token`, is shown only in this answer. The token belongs to you: it works as long as you are an admin.
        """
        asked = self.body(request)
        with transaction_for_writing():
            cluster = clusters.create(asked["name"], caller.name(request._request), **_columns(asked))
            secret = cluster_tokens.create(_owner(request), cluster.pk, cluster.name, cluster.streams)
        return created(shown(cluster) | {"token": secret}, f"/api/v1/clusters/{quote(cluster.name)}/")


class OneCluster(ServerWide):
    """One cluster."""

    @operation("getCluster", answers={200: ClusterSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a cluster."""
        return Response(shown(clusters.find(name)))

    @operation("changeCluster", ClusterChangesSerializer, answers={200: ClusterSerializer})
    def patch(self, request: Request, name: str) -> Response:
        """Change a cluster. In maintenance, its agent finishes what runs and takes nothing new."""
        asked = self.body(request)
        with transaction_for_writing():
            cluster = clusters.change(clusters.find(name), _columns(asked))
            if "streams" in asked:
                cluster_tokens.change_reach(cluster.pk, cluster.streams)
        return Response(shown(cluster))

    @operation("removeCluster", answers={204: None}, errors=(409,))
    def delete(self, request: Request, name: str) -> Response:
        """Remove a cluster that never ran a calculation, and revoke its tokens."""
        cluster = clusters.find(name)
        with transaction_for_writing():
            cluster_tokens.revoke(cluster.pk)
            clusters.delete(cluster)
        return Response(status=204)


class ClusterToken(ServerWide):
    """The token of a cluster's agent."""

    @operation("rotateClusterToken", answers={201: ClusterTokenSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Create another token for a cluster's agent. The former ones end in 24 hours."""
        cluster = clusters.find(name)
        with transaction_for_writing():
            secret = cluster_tokens.rotate(_owner(request), cluster.pk, cluster.name, cluster.streams)
        return created(shown(cluster) | {"token": secret}, f"/api/v1/clusters/{quote(cluster.name)}/")


class ClusterLoads(ServerWide):
    """How busy a cluster was."""

    @operation("listClusterLoads", answers={200: LoadsSerializer}, query=LoadsQuery)
    def get(self, request: Request, name: str) -> Response:
        """List how busy a cluster was: CPU, memory, disk and queue at each sync. At most 2,000 values, the latest ones."""
        cluster = clusters.find(name)
        return Response({"cluster": cluster.name, "loads": clusters.load_of(cluster, _time(self.query["since"]))})


class ClusterMessages(ServerWide):
    """The log of a cluster's agent."""

    @operation("listAgentMessages", answers={200: MessagesSerializer}, query=MessagesQuery)
    def get(self, request: Request, name: str) -> Response:
        """List what a cluster's agent logged, the newest first."""
        cluster = clusters.find(name)
        found, more = reading.messages(cluster.pk, self.query["before"], self.query["limit"])
        return Response({"cluster": cluster.name, "next": more, "messages": found})


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Invalid(
            f"since is {format_value(text)}: expected a time with time zone, such as 2026-11-30T12:00:00Z",
            field="since",
        )
    return found
