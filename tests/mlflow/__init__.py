"""MLflow's REST API: compared with answers of a real ``mlflow server``, and used by real clients."""
