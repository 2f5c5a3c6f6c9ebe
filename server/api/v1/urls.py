"""Addresses of the native API, and who may use them; those that load is made of come first."""

from django.urls import path

from server.accounts.access import PUBLIC, SIGNED_IN, allow
from server.api.v1 import (
    agents,
    calculation_results,
    calculations,
    campaigns,
    clusters,
    evaluations,
    experiments,
    feeds,
    hot,
    notifications,
    run_artifacts,
    runs,
    services,
    signin,
    tokens,
    users,
)
from server.api.v1.audit_trail import Audit
from server.api.v1.cells import Cells, OneCell
from server.api.v1.compositions import Compositions, OneComposition
from server.api.v1.coverage import ModelCoverage
from server.api.v1.databases import DatabaseObservations, Databases, OneDatabase
from server.api.v1.descriptors import Descriptors, OneDescriptor
from server.api.v1.documents import Docs, Schema
from server.api.v1.events import Events
from server.api.v1.hot_operations import Label, Predict, described
from server.api.v1.models import Download, History, Metrics, Models, OneModel, Recipes, Release, Stats
from server.api.v1.observations import observations
from server.api.v1.own_account import Me, MyPassword
from server.api.v1.programs import OneProgram, Programs
from server.api.v1.records import Record, RecordExport
from server.api.v1.settings import Settings
from server.api.v1.streams import OneStream, Retract, Streams
from server.api.v1.structures import OneStructure, Structures

urlpatterns = [
    path("streams/<str:name>/observations/", allow(observations, hot=True, post="learn", get="read")),
    path("models/<str:name>/predict/", allow(described(hot.predict, Predict), hot=True, post="predict")),
    path("predictions/<path:identifier>/label/", allow(described(hot.label, Label), post="learn")),
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
    path("models/<str:name>/record/", allow(Record.as_view(), get="read")),
    path("models/<str:name>/record/export/", allow(RecordExport.as_view(), get="read")),
    path("models/<str:name>/stats/", allow(Stats.as_view(), get="read")),
    path("streams/<str:name>/cells/", allow(Cells.as_view(), get="read", post="learn")),
    path("streams/<str:name>/cells/<str:cell>/", allow(OneCell.as_view(), get="read")),
    path("descriptors/", allow(Descriptors.as_view(), get="read", post="create")),
    path("descriptors/<str:name>/", allow(OneDescriptor.as_view(), get="read")),
    path("databases/", allow(Databases.as_view(), get="read", post="create")),
    path("databases/<str:name>/", allow(OneDatabase.as_view(), get="read")),
    path("databases/<str:name>/observations/", allow(DatabaseObservations.as_view(), get="read")),
    path("models/<str:name>/coverage/", allow(ModelCoverage.as_view(), get="read", post="read")),
    path("clusters/", allow(clusters.Clusters.as_view(), get="read", post="manage_clusters")),
    path(
        "clusters/<str:name>/",
        allow(clusters.OneCluster.as_view(), get="read", patch="manage_clusters", delete="manage_clusters"),
    ),
    path("clusters/<str:name>/token/", allow(clusters.ClusterToken.as_view(), post="manage_clusters")),
    path("clusters/<str:name>/loads/", allow(clusters.ClusterLoads.as_view(), get="read")),
    path("clusters/<str:name>/messages/", allow(clusters.ClusterMessages.as_view(), get="read")),
    path("programs/", allow(Programs.as_view(), get="read")),
    path("programs/<str:name>/", allow(OneProgram.as_view(), get="read", patch="approve")),
    path("structures/", allow(Structures.as_view(), get="read", post="create")),
    path("structures/<str:name>/", allow(OneStructure.as_view(), get="read", delete="change_own")),
    path("compositions/", allow(Compositions.as_view(), get="read", post="create")),
    path(
        "compositions/<str:name>/",
        allow(OneComposition.as_view(), get="read", patch="change_own", delete="change_own"),
    ),
    path("campaigns/", allow(campaigns.Campaigns.as_view(), get="read", post="create")),
    path(
        "campaigns/<str:name>/",
        allow(campaigns.OneCampaign.as_view(), get="read", patch="change_own", delete="change_own"),
    ),
    path("campaigns/<str:name>/pause/", allow(campaigns.Pause.as_view(), post="change_own")),
    path("campaigns/<str:name>/resume/", allow(campaigns.Resume.as_view(), post="change_own")),
    path("campaigns/<str:name>/stop/", allow(campaigns.Stop.as_view(), post="change_own")),
    path("campaigns/<str:name>/propose/", allow(campaigns.Propose.as_view(), post="change_own")),
    path("campaigns/<str:name>/decisions/", allow(campaigns.Decisions.as_view(), get="read")),
    path("campaigns/<str:name>/decisions/<str:number>/", allow(campaigns.OneDecision.as_view(), get="read")),
    path("campaigns/<str:name>/decisions/<str:number>/approve/", allow(campaigns.Approve.as_view(), post="approve")),
    path("campaigns/<str:name>/decisions/<str:number>/reject/", allow(campaigns.Reject.as_view(), post="approve")),
    path("campaigns/<str:name>/runs/", allow(campaigns.Runs.as_view(), get="read")),
    path("campaigns/<str:name>/runs/<str:number>/restart/", allow(campaigns.Restart.as_view(), post="change_own")),
    path("campaigns/<str:name>/labels/", allow(campaigns.Labels.as_view(), post="change_own")),
    path("campaigns/<str:name>/history/", allow(campaigns.History.as_view(), get="read")),
    path("campaigns/<str:name>/evaluations/", allow(evaluations.Evaluations.as_view(), get="read", post="change_own")),
    path("campaigns/<str:name>/evaluations/<str:number>/", allow(evaluations.OneEvaluation.as_view(), get="read")),
    path("calculations/", allow(calculations.Calculations.as_view(), get="read", post="create")),
    path(
        "calculations/<str:number>/",
        allow(calculations.OneCalculation.as_view(), get="read", patch="change_own", delete="change_own"),
    ),
    path("calculations/<str:number>/approve/", allow(calculations.Approve.as_view(), post="approve")),
    path("calculations/<str:number>/reject/", allow(calculations.Reject.as_view(), post="approve")),
    path("calculations/<str:number>/hold/", allow(calculations.Hold.as_view(), post="change_own")),
    path("calculations/<str:number>/release/", allow(calculations.ReleaseCalculation.as_view(), post="change_own")),
    path("calculations/<str:number>/cancel/", allow(calculations.Cancel.as_view(), post="change_own")),
    path("calculations/<str:number>/retry/", allow(calculations.Retry.as_view(), post="change_own")),
    path("calculations/<str:number>/clone/", allow(calculations.Clone.as_view(), post="create")),
    path("calculations/<str:number>/report/", allow(calculation_results.Report.as_view(), get="read")),
    path("calculations/<str:number>/steps/<str:step>/log/", allow(calculation_results.StepLog.as_view(), get="read")),
    path(
        "calculations/<str:number>/steps/<str:step>/files/<str:name>",
        allow(calculation_results.StepFile.as_view(), get="read"),
    ),
    path(
        "calculations/<str:number>/steps/<str:step>/undecided/", allow(calculations.Undecided.as_view(), post="approve")
    ),
    path("experiments/", allow(experiments.Experiments.as_view(), get="read", post="create")),
    path(
        "experiments/<str:number>/",
        allow(experiments.OneExperiment.as_view(), get="read", patch="change_own", delete="change_own"),
    ),
    path("experiments/<str:number>/restore/", allow(experiments.RestoreExperiment.as_view(), post="change_own")),
    path("experiments/<str:number>/predict/", allow(feeds.PredictRun.as_view(), post="predict")),
    path("experiments/<str:number>/feeds/", allow(feeds.Feeds.as_view(), get="read", post="change_own")),
    path(
        "experiments/<str:number>/feeds/<str:stream>/",
        allow(feeds.OneFeed.as_view(), get="read", delete="change_own"),
    ),
    path(
        "experiments/<str:number>/feeds/<str:stream>/backfill/",
        allow(feeds.BackfillFeed.as_view(), post="change_own"),
    ),
    path("experiments/<str:number>/feeds/<str:stream>/runs/", allow(feeds.FeedRuns.as_view(), get="read")),
    # What a training sends needs the permission that what a job sends needs, so a job's token is enough.
    path("runs/", allow(runs.Runs.as_view(), get="read", post="learn")),
    path("runs/search/", allow(runs.RunSearch.as_view(), post="read")),
    path(
        "runs/<str:uid>/",
        allow(runs.OneRun.as_view(), get="read", put="learn", patch="learn", delete="change_own"),
    ),
    path("runs/<str:uid>/restore/", allow(runs.RestoreRun.as_view(), post="change_own")),
    path("runs/<str:uid>/lines/", allow(runs.Lines.as_view(), get="learn", post="learn")),
    path("runs/<str:uid>/links/", allow(runs.Links.as_view(), post="learn")),
    path("runs/<str:uid>/history/", allow(runs.History.as_view(), get="read")),
    path("runs/<str:uid>/domains/", allow(runs.Records.as_view(), get="read")),
    path("runs/<str:uid>/uploads/<str:sha256>/", allow(run_artifacts.Uploads.as_view(), get="learn", patch="learn")),
    path("runs/<str:uid>/artifacts/", allow(run_artifacts.Artifacts.as_view(), get="read")),
    path(
        "runs/<str:uid>/artifacts/<path:path>",
        allow(run_artifacts.OneArtifact.as_view(), get="read", put="learn", delete="change_own"),
    ),
    path("agent/register/", allow(agents.Register.as_view(), post="compute")),
    path("agent/sync/", allow(agents.Sync.as_view(), post="compute")),
    path("agent/steps/<str:step>/permit/", allow(agents.Permit.as_view(), post="compute")),
    path("agent/steps/<str:step>/results/", allow(agents.Results.as_view(), post="compute")),
    path("agent/steps/<str:step>/files/<str:name>", allow(agents.PutFile.as_view(), put="compute")),
    path("agent/steps/<str:step>/log", allow(agents.PutLog.as_view(), put="compute")),
    path("agent/services/", allow(services.SyncServices.as_view(), post="compute")),
    path("services/", allow(services.Services.as_view(), get="read", post="create")),
    path("services/<str:name>/", allow(services.OneService.as_view(), get="read", delete="change_own")),
    path("services/<str:name>/run/", allow(services.RunService.as_view(), post="change_own")),
    path("services/<str:name>/stop/", allow(services.StopService.as_view(), post="change_own")),
    path("services/<str:name>/restart/", allow(services.RestartService.as_view(), post="change_own")),
    path("services/<str:name>/invocations/", allow(services.Invoke.as_view(), post="predict")),
    path("events/", allow(Events.as_view(), get="read")),
    # What SIGNED_IN lets in is looked at by the view: their own tokens and sign-ins, by scope, and admins everybody's.
    path("me/", allow(Me.as_view(), get=SIGNED_IN)),
    path("me/password/", allow(MyPassword.as_view(), post=SIGNED_IN)),
    path("notifications/", allow(notifications.Deliveries.as_view(), get=SIGNED_IN)),
    path("notifications/preferences/", allow(notifications.Preferences.as_view(), get=SIGNED_IN, patch=SIGNED_IN)),
    path("notifications/test/", allow(notifications.Test.as_view(), post=SIGNED_IN)),
    path("notifications/webhooks/", allow(notifications.Webhooks.as_view(), get=SIGNED_IN, post=SIGNED_IN)),
    path("notifications/webhooks/<int:number>/", allow(notifications.OneWebhook.as_view(), delete=SIGNED_IN)),
    path("notifications/webhooks/<int:number>/test/", allow(notifications.TestWebhook.as_view(), post=SIGNED_IN)),
    path("tokens/", allow(tokens.Tokens.as_view(), get=SIGNED_IN, post=SIGNED_IN)),
    path("tokens/<str:id>/", allow(tokens.OneToken.as_view(), get=SIGNED_IN, delete=SIGNED_IN)),
    path("tokens/<str:id>/rotate/", allow(tokens.Rotate.as_view(), post=SIGNED_IN)),
    path("signin/", allow(signin.Begin.as_view(), post=PUBLIC, delete=PUBLIC)),
    path("signin/refresh/", allow(signin.Refresh.as_view(), post=PUBLIC)),
    path("users/", allow(users.Users.as_view(), get="moderate_users", post="manage_users")),
    path("users/<str:name>/", allow(users.OneUser.as_view(), get="moderate_users", patch="manage_users")),
    path("users/<str:name>/block/", allow(users.Block.as_view(), post="moderate_users")),
    path("users/<str:name>/unblock/", allow(users.Unblock.as_view(), post="moderate_users")),
    path("users/<str:name>/password/", allow(users.ResetPassword.as_view(), post="moderate_users")),
    path("users/<str:name>/sign-ins/", allow(users.SignIns.as_view(), get=SIGNED_IN, delete=SIGNED_IN)),
    path("audit/", allow(Audit.as_view(), get="read_audit")),
    path("settings/", allow(Settings.as_view(), get="read_settings")),
    path("schema/", allow(Schema.as_view(), get=PUBLIC), name="v1-schema"),
    path("docs/", allow(Docs.as_view(), get=PUBLIC), name="v1-docs"),
]
