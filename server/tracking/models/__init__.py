"""Tables of tracking. Times are whole milliseconds since 1970 (Unix time, UTC)."""

from server.tracking.models.artifacts import Artifact, Writer
from server.tracking.models.datasets import Dataset, RunInput
from server.tracking.models.experiments import Experiment, ExperimentTag
from server.tracking.models.feeds import Feed, FeedPoint
from server.tracking.models.logged_models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    RunOutput,
)
from server.tracking.models.metrics import LatestMetric, Metric
from server.tracking.models.registered_models import (
    ModelAlias,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
)
from server.tracking.models.runs import DomainRecord, Param, Run, RunLink, RunSummary, RunTag

__all__ = [
    "Artifact",
    "Dataset",
    "DomainRecord",
    "Experiment",
    "ExperimentTag",
    "Feed",
    "FeedPoint",
    "LatestMetric",
    "LoggedModel",
    "LoggedModelMetric",
    "LoggedModelParam",
    "LoggedModelTag",
    "Metric",
    "ModelAlias",
    "ModelVersion",
    "ModelVersionTag",
    "Param",
    "RegisteredModel",
    "RegisteredModelTag",
    "Run",
    "RunInput",
    "RunLink",
    "RunOutput",
    "RunSummary",
    "RunTag",
    "Writer",
]
