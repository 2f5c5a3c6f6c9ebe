"""``python session.py URL``: what people do with MLflow's client, run by a Python that has one. It prints what it found as JSON."""

import json
import math
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

IS_3 = not mlflow.__version__.startswith("2.")


def refused(call, *arguments, **named):
    """Return the error code of a call that must fail."""
    try:
        call(*arguments, **named)
    except MlflowException as exc:
        return exc.error_code
    return "none"


def main(url):
    mlflow.set_tracking_uri(url)
    client, found = MlflowClient(), {"version": mlflow.__version__}
    experiment = mlflow.set_experiment(f"session {mlflow.__version__}")
    with mlflow.start_run(run_name="first", description="a description") as run:
        mlflow.log_param("lr", 0.01)
        mlflow.log_params({"width": 64, "name": "fno"})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"nan": math.nan, "inf": math.inf, "minus": -math.inf})
        mlflow.set_tag("team", "a")
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_dict({"a": 1}, "d.json")
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("x", 1)
    uid = run.info.run_id
    client.log_batch(
        uid,
        metrics=[Metric("batch", n / 7, 1_000 + n, n) for n in range(900)],
        params=[Param("p", "1")],
        tags=[RunTag("t", "1")],
    )
    read = client.get_run(uid)
    found["data"] = {key: repr(value) for key, value in read.data.metrics.items()}
    found["params"], found["team"], found["status"] = read.data.params, read.data.tags["team"], read.info.status
    found["history"] = [point.value for point in client.get_metric_history(uid, "loss")]
    found["batch"] = len(client.get_metric_history(uid, "batch"))
    found["parent"] = client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == uid
    found["files"] = sorted(one.path for one in client.list_artifacts(uid))
    found["folder"] = [(one.path, one.file_size) for one in client.list_artifacts(uid, "notes")]
    found["text"] = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a.txt")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(client.download_artifacts(uid, "", directory))
        found["downloaded"] = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    ids = [experiment.experiment_id]
    found["search"] = [
        one.info.run_name for one in client.search_runs(ids, "metrics.loss < 0.5 AND params.lr = '0.01'", order_by=["metrics.loss DESC"])
    ]  # fmt: skip
    page = client.search_runs(ids, max_results=1)
    found["pages"] = [len(page), len(client.search_runs(ids, max_results=1, page_token=page.token))]
    found["changed param"] = refused(client.log_param, uid, "lr", "0.5")
    found["missing run"] = refused(client.get_run, "0" * 32)
    found["not a filter"] = refused(client.search_runs, ids, "metrics.loss <")
    found["foreign source"] = refused(client.create_registered_model, "a/b")

    class Doubles(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [2 * value for value in model_input]

    name = f"doubles-{mlflow.__version__}"
    with mlflow.start_run(run_name="model"):
        where = {"name": "model"} if IS_3 else {"artifact_path": "model"}
        info = mlflow.pyfunc.log_model(
            python_model=Doubles(), registered_model_name=name, pip_requirements=["mlflow-skinny"], **where
        )
    client.set_registered_model_alias(name, "champion", "1")
    client.set_model_version_tag(name, "1", "k", "v")
    client.update_model_version(name, "1", "a description")
    version = client.get_model_version_by_alias(name, "champion")
    found["registry"] = [version.version, version.tags, version.description, list(version.aliases)]
    found["foreign source"] = refused(client.create_model_version, name, "file:///etc")
    found["versions"] = [one.version for one in client.search_model_versions(f"name='{name}'")]
    found["registered"] = name in [
        one.name for one in client.search_registered_models(filter_string=f"name LIKE '{name[:7]}%'")
    ]
    found["predicted"] = [
        mlflow.pyfunc.load_model(uri).predict([1, 2])
        for uri in (f"models:/{name}@champion", f"models:/{name}/1", info.model_uri)
    ]
    client.delete_run(child.info.run_id)
    found["deleted"] = [one.info.run_name for one in client.search_runs(ids, run_view_type=2)] == [child.info.run_name]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
