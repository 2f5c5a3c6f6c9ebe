"""The part of MLflow's REST API that the client's sender uses, on a store that appends whatever it is sent.

It is as unforgiving as MLflow's file store: a batch that is sent twice is stored twice. It can store a request and lose the
answer.
"""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Store:
    """The store, and what a test wants of it.

    Attributes
    ----------
    lose
        How many of the next answers to batches are lost, after the batch was stored.
    refuse
        Keys of metrics that it refuses.
    tokens
        Valid tokens; None: none is needed.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.lose = 0
        self.lose_creation = 0
        self.refuse: set[str] = set()
        self.tokens: set[str] | None = None
        self.batches: list[int] = []
        self.url = ""

    def points(self, key: str, run: str | None = None) -> list[tuple[int, float]]:
        """Step and value of each point, in the order in which they came, of the only run or of one."""
        (only,) = [one for name, one in self.runs.items() if run in (None, name)]
        return [(one["step"], one["value"]) for one in only["metrics"] if one["key"] == key]

    def answer(self, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any, bool]:
        with self.lock:
            return getattr(self, "_" + path.replace("/", "_").replace("-", "_"))({**query, **body})

    def _experiments_get_by_name(self, given):
        name = given["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no {name}"}, False
        return 200, {"experiment": {"experiment_id": self.experiments[name], "lifecycle_stage": "active"}}, False

    def _experiments_create(self, given):
        identifier = self.experiments.setdefault(given["name"], str(len(self.experiments) + 1))
        return 200, {"experiment_id": identifier}, False

    def _runs_create(self, given):
        name = f"{len(self.runs):032x}"
        info = {
            "run_id": name, "experiment_id": given["experiment_id"], "status": "RUNNING",
            "artifact_uri": f"mlflow-artifacts:/{given['experiment_id']}/{name}/artifacts",
        }  # fmt: skip
        self.runs[name] = {
            "info": info, "metrics": [], "params": {}, "tags": {one["key"]: one["value"] for one in given.get("tags", ())},
        }  # fmt: skip
        self.lose_creation -= 1
        return 200, {"run": self._shown(name)}, self.lose_creation >= 0

    def _runs_search(self, given):
        wanted = given["filter"].split("'")[1]
        found = [name for name, run in self.runs.items() if run["tags"].get("tailrace.run") == wanted]
        return 200, {"runs": [self._shown(name) for name in found]}, False

    def _runs_get(self, given):
        return 200, {"run": self._shown(given["run_id"])}, False

    def _runs_update(self, given):
        self.runs[given["run_id"]]["info"]["status"] = given["status"]
        return 200, {}, False

    def _runs_log_batch(self, given):
        run = self.runs[given["run_id"]]
        for one in given.get("metrics", ()):
            if one["key"] in self.refuse:
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"bad {one['key']}"}, False
        assert len(given.get("metrics", ())) <= 1000
        run["metrics"] += given.get("metrics", ())
        run["params"].update({one["key"]: one["value"] for one in given.get("params", ())})
        run["tags"].update({one["key"]: one["value"] for one in given.get("tags", ())})
        if given.get("metrics"):
            self.batches.append(len(given["metrics"]))
            self.lose -= 1
            return 200, {}, self.lose >= 0
        return 200, {}, False

    def _metrics_get_history(self, given):
        return (
            200,
            {"metrics": [one for one in self.runs[given["run_id"]]["metrics"] if one["key"] == given["metric_key"]]},
            False,
        )

    def _shown(self, name):
        run = self.runs[name]
        latest = {}
        for one in run["metrics"]:
            if one["key"] not in latest or one["step"] >= latest[one["key"]]["step"]:
                latest[one["key"]] = one
        return {"info": run["info"], "data": {"metrics": list(latest.values())}}


@contextlib.contextmanager
def append_only_mlflow() -> Iterator[Store]:
    """A server with such a store."""
    store = Store()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._do()

        do_POST = do_PUT = do_GET

        def _do(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if store.tokens is not None and self.headers.get("Authorization", "")[7:] not in store.tokens:
                return self._answer(401, {"error_code": "UNAUTHENTICATED", "message": "a token is needed"})
            if address.path.startswith("/api/2.0/mlflow-artifacts/artifacts/"):
                store.artifacts[address.path.removeprefix("/api/2.0/mlflow-artifacts/artifacts/")] = body
                return self._answer(200, {})
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            path = address.path.removeprefix("/api/2.0/mlflow/")
            status, found, lost = store.answer(path, query, json.loads(body) if body else {})
            if lost:
                self.close_connection = True
                return None
            return self._answer(status, found)

        def _answer(self, status: int, found: Any) -> None:
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
