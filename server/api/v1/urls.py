"""Addresses of the native API, and who may use them; those that load is made of come first."""

from django.urls import path

from server.accounts.access import PUBLIC, SIGNED_IN, allow
from server.api.v1 import hot, signin, tokens, users
from server.api.v1.audit_trail import Audit
from server.api.v1.cells import Cells, OneCell
from server.api.v1.coverage import ModelCoverage
from server.api.v1.databases import DatabaseObservations, Databases, OneDatabase
from server.api.v1.descriptors import Descriptors, OneDescriptor
from server.api.v1.documents import Docs, Schema
from server.api.v1.events import Events
from server.api.v1.me import Me, MyPassword
from server.api.v1.models import Download, History, Metrics, Models, OneModel, Recipes, Release, Stats
from server.api.v1.observations import observations
from server.api.v1.settings_view import Settings
from server.api.v1.streams import OneStream, Retract, Streams

urlpatterns = [
    path("streams/<str:name>/observations/", allow(observations, hot=True, post="learn", get="read")),
    path("models/<str:name>/predict/", allow(hot.predict, hot=True, post="predict")),
    path("predictions/<path:identifier>/label/", allow(hot.label, post="learn")),
    path("streams/", allow(Streams.as_view(), get="read", post="create")),
    path("streams/<str:name>/", allow(OneStream.as_view(), get="read", patch="change_own", delete="change_own")),
    path("streams/<str:name>/observations/<str:seq>/retract/", allow(Retract.as_view(), post="retract")),
    path("recipes/", allow(Recipes.as_view(), get="read")),
    path("models/", allow(Models.as_view(), get="read", post="create")),
    path("models/<str:name>/", allow(OneModel.as_view(), get="read", delete="change_own")),
    path("models/<str:name>/release/", allow(Release.as_view(), post="change_own")),
    path("models/<str:name>/download/", allow(Download.as_view(), get="read")),
    path("models/<str:name>/metrics/", allow(Metrics.as_view(), get="read")),
    path("models/<str:name>/history/", allow(History.as_view(), get="read")),
    path("models/<str:name>/stats/", allow(Stats.as_view(), get="read")),
    path("streams/<str:name>/cells/", allow(Cells.as_view(), get="read", post="learn")),
    path("streams/<str:name>/cells/<str:cell>/", allow(OneCell.as_view(), get="read")),
    path("descriptors/", allow(Descriptors.as_view(), get="read", post="create")),
    path("descriptors/<str:name>/", allow(OneDescriptor.as_view(), get="read")),
    path("databases/", allow(Databases.as_view(), get="read", post="create")),
    path("databases/<str:name>/", allow(OneDatabase.as_view(), get="read")),
    path("databases/<str:name>/observations/", allow(DatabaseObservations.as_view(), get="read")),
    path("models/<str:name>/coverage/", allow(ModelCoverage.as_view(), get="read", post="read")),
    path("events/", allow(Events.as_view(), get="read")),
    # What SIGNED_IN lets in is looked at by the view: their own tokens and sign-ins, by scope, and admins everybody's.
    path("me/", allow(Me.as_view(), get=SIGNED_IN)),
    path("me/password/", allow(MyPassword.as_view(), post=SIGNED_IN)),
    path("tokens/", allow(tokens.Tokens.as_view(), get=SIGNED_IN, post=SIGNED_IN)),
    path("tokens/<str:id>/", allow(tokens.OneToken.as_view(), get=SIGNED_IN, delete=SIGNED_IN)),
    path("tokens/<str:id>/rotate/", allow(tokens.Rotate.as_view(), post=SIGNED_IN)),
    path("signin/", allow(signin.Begin.as_view(), post=PUBLIC, delete=PUBLIC)),
    path("signin/refresh/", allow(signin.Refresh.as_view(), post=PUBLIC)),
    path("users/", allow(users.Users.as_view(), get="moderate_users", post="manage_users")),
    path("users/<str:name>/", allow(users.OneUser.as_view(), get="moderate_users", patch="manage_users")),
    path("users/<str:name>/block/", allow(users.Block.as_view(), post="moderate_users")),
    path("users/<str:name>/unblock/", allow(users.Unblock.as_view(), post="moderate_users")),
    path("users/<str:name>/password/", allow(users.Password.as_view(), post="moderate_users")),
    path("users/<str:name>/sign-ins/", allow(users.SignIns.as_view(), get=SIGNED_IN, delete=SIGNED_IN)),
    path("audit/", allow(Audit.as_view(), get="read_audit")),
    path("settings/", allow(Settings.as_view(), get="read_settings")),
    path("schema/", allow(Schema.as_view(), get=PUBLIC), name="v1-schema"),
    path("docs/", allow(Docs.as_view(), get=PUBLIC), name="v1-docs"),
]
