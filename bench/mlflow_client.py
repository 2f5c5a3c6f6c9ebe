"""Run by a Python that has MLflow: 200 calls one by one and batches of 1,000 points, to the server of the given address."""

import json
import sys
import time

import mlflow
from mlflow.entities import Metric

CALLS, BATCHES = 200, 5


def main(url: str) -> None:
    """Print how many seconds the calls took together, and a batch on average."""
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("bench")
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        for number in range(20):
            mlflow.log_metric("warm", number, step=number)
        began = time.perf_counter()
        for number in range(CALLS):
            mlflow.log_metric("loss", 1 / (number + 1), step=number)
        one_by_one = time.perf_counter() - began
        took = 0.0
        for batch in range(BATCHES):
            now = int(time.time() * 1000)
            points = [Metric(f"m{number % 10}", number / 7, now, batch * 100 + number // 10) for number in range(1_000)]
            began = time.perf_counter()
            client.log_batch(run.info.run_id, metrics=points)
            took += time.perf_counter() - began
    print(json.dumps({"one_by_one": one_by_one, "batch": took / BATCHES}))


if __name__ == "__main__":
    main(sys.argv[1])
