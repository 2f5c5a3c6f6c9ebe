"""Data sets that runs used. They are described here, and kept elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from server.core.errors import Invalid
from server.core.json_codec import dumps_text
from server.core.validation import check_text
from server.tracking.models import Dataset, RunInput
from server.tracking.models.names import LONGEST_NAME

CONTEXT = "mlflow.data.context"
"""The tag that says what a run used a data set for, such as ``training``."""

LONGEST_DIGEST, LONGEST_TYPE, LONGEST_TAG = 100, 100, 500
LONGEST_SOURCE, LONGEST_SCHEMA, LONGEST_PROFILE = 65_535, 1_048_575, 4_000_000


class UsedDataset(NamedTuple):
    """A data set that a run used, and tags of that use."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: Mapping[str, str]


def check(used: UsedDataset, field: str) -> UsedDataset:
    """Return a data set that a run used.

    Raises
    ------
    Invalid
        If a value is missing or too long. The message names it.
    """
    longest = {
        "name": LONGEST_NAME, "digest": LONGEST_DIGEST, "source_type": LONGEST_TYPE, "source": LONGEST_SOURCE,
        "schema": LONGEST_SCHEMA, "profile": LONGEST_PROFILE,
    }  # fmt: skip
    for name, most in longest.items():
        check_text(getattr(used, name), f"{field}.{name}", most)
    for name in ("name", "digest"):
        if not getattr(used, name):
            raise Invalid(f"{field}.{name} is empty", field=f"{field}.{name}")
    for key, value in used.tags.items():
        check_text(key, f"{field}.tags", LONGEST_TAG)
        check_text(value, f"{field}.tags.{key}", LONGEST_TAG)
    return used


def record(run_pk: int, experiment_pk: int, used: Sequence[UsedDataset]) -> None:
    """Record data sets that a run used. The caller has opened a transaction. What is recorded already stays as it is."""
    for one in used:
        dataset, _ = Dataset.objects.get_or_create(
            experiment_id=experiment_pk, name=one.name, digest=one.digest,
            defaults={"source_type": one.source_type, "source": one.source, "schema": one.schema, "profile": one.profile},
        )  # fmt: skip
        RunInput.objects.get_or_create(
            run_id=run_pk, dataset=dataset, model=None,
            defaults={"tags": dumps_text(dict(one.tags)), "context": one.tags.get(CONTEXT, "")},
        )  # fmt: skip


def of_experiments(numbers: Sequence[int], most: int) -> list[dict[str, Any]]:
    """Return name, digest and use of the data sets of experiments, at most ``most``."""
    rows = RunInput.objects.filter(dataset__experiment__in=numbers).order_by("-id")
    found = rows.values_list("dataset__experiment", "dataset__name", "dataset__digest", "context")
    seen = dict.fromkeys(found[: most * 10])
    return [
        {"experiment_id": str(experiment), "name": name, "digest": digest, **({"context": context} if context else {})}
        for experiment, name, digest, context in list(seen)[:most]
    ]
