"""What can be searched: runs, experiments, registered models, their versions, and logged models."""

from django.db.models import CharField, F, Value
from django.db.models.functions import Cast, Concat

from server.tracking.filters.columns import IDENTIFIER, NUMBER, Column, Pairs, Related, Searchable
from server.tracking.locations import SCHEME
from server.tracking.models import (
    ExperimentTag,
    LatestMetric,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    ModelVersionTag,
    Param,
    RegisteredModelTag,
    RunInput,
    RunTag,
)

_NAME = Column("name")
_STARTED, _ENDED = Column("started_ms", NUMBER), Column("ended_ms", NUMBER)
_CREATED, _CHANGED = Column("created_ms", NUMBER), Column("changed_ms", NUMBER)
_EXPERIMENT = Cast("experiment_id", CharField())


def _tables(tags: Pairs, **others: Pairs | Related) -> dict[str, Pairs | Related]:
    """Return tables under the names that filters give them: ``tags`` and ``tag``, and so on."""
    found: dict[str, Pairs | Related] = {"tags": tags, "tag": tags}
    for name, table in others.items():
        found[name] = found[name.removesuffix("s")] = table
    return found


_PARAMS = Pairs(Param, "run")

RUNS = Searchable(
    "runs",
    {
        "run_id": Column("uid"),
        "run_name": _NAME,
        "run name": _NAME,
        "Run name": _NAME,
        "Run Name": _NAME,
        "status": Column("status"),
        "user_id": Column("user_name"),
        "start_time": _STARTED,
        "created": _STARTED,
        "Created": _STARTED,
        "end_time": _ENDED,
        "artifact_uri": Column(
            Concat(Value(SCHEME), _EXPERIMENT, Value("/"), F("uid"), Value("/artifacts"), output_field=CharField())
        ),
    },
    _tables(
        Pairs(RunTag, "run"),
        metrics=Pairs(LatestMetric, "run", is_metric=True),
        params=_PARAMS,
        parameters=_PARAMS,
        datasets=Related(
            RunInput, "run", {"name": F("dataset__name"), "digest": F("dataset__digest"), "context": F("context")}
        ),
    ),
    attribute_entities=("attributes", "attribute", "attr", "run"),
    tie=("-started_ms", "uid"),
)

EXPERIMENTS = Searchable(
    "experiments",
    {
        "name": _NAME,
        "experiment_id": Column("id", IDENTIFIER),
        "creation_time": _CREATED,
        "last_update_time": _CHANGED,
    },
    _tables(Pairs(ExperimentTag, "experiment")),
    attribute_entities=("attributes", "attribute"),
    tie=("-id",),
)

REGISTERED_MODELS = Searchable(
    "registered models",
    {
        "name": _NAME,
        "timestamp": Column("changed_ms", NUMBER, can_filter=False),
        "last_updated_timestamp": Column("changed_ms", NUMBER, can_filter=False),
        "creation_timestamp": Column("created_ms", NUMBER, can_filter=False),
    },
    _tables(Pairs(RegisteredModelTag, "model", differs_if_missing=("mlflow.prompt.is_prompt",))),
    attribute_entities=("attributes", "attribute"),
    tie=("name",),
)

MODEL_VERSIONS = Searchable(
    "model versions",
    {
        "name": Column("model__name"),
        "version_number": Column("version", NUMBER),
        "run_id": Column("run", can_order=False),
        "source_path": Column("source", can_order=False),
        "creation_timestamp": Column("created_ms", NUMBER, can_filter=False),
        "last_updated_timestamp": Column("changed_ms", NUMBER, can_filter=False),
    },
    _tables(Pairs(ModelVersionTag, "version", differs_if_missing=("mlflow.prompt.is_prompt",))),
    attribute_entities=("attributes", "attribute"),
    tie=("-changed_ms", "model__name", "-version"),
)

LOGGED_MODELS = Searchable(
    "logged models",
    {
        "name": _NAME,
        "model_id": Column("uid"),
        "model_type": Column("kind"),
        "status": Column("status"),
        "source_run_id": Column("source_run"),
        "creation_timestamp": _CREATED,
        "creation_time": _CREATED,
        "last_updated_timestamp": _CHANGED,
        "last_updated_time": _CHANGED,
    },
    _tables(
        Pairs(LoggedModelTag, "model"),
        metrics=Pairs(LoggedModelMetric, "model", is_metric=True, newest=("-time_ms", "-step", "run_id")),
        params=Pairs(LoggedModelParam, "model"),
    ),
    attribute_entities=("attributes", "attribute"),
    tie=("-created_ms", "uid"),
)
