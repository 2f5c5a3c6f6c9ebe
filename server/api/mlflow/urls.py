"""Addresses of MLflow's REST API, and who may use them."""

from server.api.mlflow import (
    artifacts,
    experiments,
    left_out,
    logged_models,
    metric_history,
    model_versions,
    registered_models,
    run_logs,
    runs,
    server_info,
)
from server.api.mlflow.routes import patterns

urlpatterns = [
    *patterns(run_logs.ROUTES.all, "2.0/mlflow/"),  # those that a training calls come first
    *patterns(runs.ROUTES.all, "2.0/mlflow/"),
    *patterns(experiments.ROUTES.all, "2.0/mlflow/"),
    *patterns(metric_history.ROUTES.all, "2.0/mlflow/"),
    *patterns(artifacts.FILES.all, "2.0/mlflow-artifacts/"),
    *patterns(artifacts.ROUTES.all, "2.0/mlflow/"),
    *patterns(registered_models.ROUTES.all, "2.0/mlflow/"),
    *patterns(model_versions.ROUTES.all, "2.0/mlflow/"),
    *patterns(logged_models.ROUTES.all, "2.0/mlflow/"),
    *patterns(server_info.ROUTES.all, "3.0/mlflow/"),
    *patterns(left_out.ROUTES.all, "2.0/mlflow/"),
    *patterns(left_out.ROUTES.all, "2.0/mlflow-artifacts/"),
    *patterns(left_out.ROUTES.all, "3.0/mlflow/"),
]
