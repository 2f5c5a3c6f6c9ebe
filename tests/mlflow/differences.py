"""Where our answers differ from those of ``mlflow server``, and why. ``docs/reference/mlflow.md`` lists the same."""

from typing import Any

WRONG, TAKEN = [400, {"error_code": "INVALID_PARAMETER_VALUE"}], [400, {"error_code": "RESOURCE_ALREADY_EXISTS"}]

DIFFERENCES: dict[str, tuple[Any, str]] = {
    "experiments: create outside": (WRONG, "artifacts are kept by this server"),
    "experiments: rename to taken": (TAKEN, "as for a new experiment"),
    "logged models: data without digest": (WRONG, "a data set without a digest can't be told from another one"),
    "runs: finish wrongly": (WRONG, "a status that isn't one is an error"),
    "runs: datasets": (
        [200, {"dataset_summaries": [{"experiment_id": "$e", "name": "grid", "digest": "d1", "context": "training"}]}],
        "mlflow server has this route at an address without a slash",
    ),
    "logged models: search on data": (
        "logged models: search on data with digest",
        "mlflow server finds none unless the digest is given, too",
    ),
    "logged models: version from s3": (WRONG, "files of versions are on this server"),
}
"""Our answer by the name of the request, or the name of another request that MLflow answers so, and why it differs. The test fails if one differs no longer."""
