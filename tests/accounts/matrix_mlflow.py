"""The lines of the access matrix for MLflow's API. Most requests name what isn't there: who may not learns nothing of that."""

from tests.accounts.rules import Address, Rule, at

_SERVER_WIDE = {"elsewhere": "403", "narrow": "403"}
PUBLIC = Rule(is_public=True)
READ = Rule("viewer", scopes=("read",), **_SERVER_WIDE)  # type: ignore[arg-type]
UNNAMED = READ(always="400", known="400")  # the query would have to say of what
LEFT_OUT = READ(always="501", known="501")
NONE = "e" * 32
LOG = Rule("researcher", scopes=("learn",), **_SERVER_WIDE)(always="404", known="404")  # type: ignore[arg-type]
CREATE = Rule("researcher", scopes=("manage",), **_SERVER_WIDE)  # type: ignore[arg-type]
CHANGE = CREATE(always="404", known="404")
RUN, EXPERIMENT, NAME = {"run_id": NONE}, {"experiment_id": "987654"}, {"name": "none"}
VERSION, MODEL = {**NAME, "version": "1"}, f"m-{NONE}"

_API: dict[str, Address] = {
    "runs/create": at(post=LOG(EXPERIMENT)),
    "runs/update": at(post=LOG(RUN)),
    "runs/log-metric": at(post=LOG({**RUN, "key": "k", "value": 1, "timestamp": 1})),
    "runs/log-parameter": at(post=LOG({**RUN, "key": "k", "value": "1"})),
    "runs/set-tag": at(post=LOG({**RUN, "key": "k", "value": "1"})),
    "runs/delete-tag": at(post=LOG({**RUN, "key": "k"})),
    "runs/log-batch": at(post=LOG(RUN)),
    "runs/log-inputs": at(post=LOG(RUN)),
    "runs/outputs": at(post=LOG({**RUN, "models": []})),
    "runs/log-model": at(post=LOG({**RUN, "model_json": "{}"})),
    "runs/get": at(get=UNNAMED),
    "runs/search": at(post=READ({})),
    "runs/delete": at(post=CHANGE(RUN)),
    "runs/restore": at(post=CHANGE(RUN)),
    "experiments/create": at(post=CREATE({"name": "new"})),
    "experiments/get": at(get=UNNAMED),
    "experiments/get-by-name": at(get=UNNAMED),
    "experiments/search": at(get=READ, post=READ({})),
    "experiments/update": at(post=CHANGE({**EXPERIMENT, "new_name": "n"})),
    "experiments/delete": at(post=CHANGE(EXPERIMENT)),
    "experiments/restore": at(post=CHANGE(EXPERIMENT)),
    "experiments/set-experiment-tag": at(post=CHANGE({**EXPERIMENT, "key": "k"})),
    "experiments/delete-experiment-tag": at(post=CHANGE({**EXPERIMENT, "key": "k"})),
    "experiments/search-datasets": at(post=READ({})),
    "metrics/get-history": at(get=UNNAMED),
    "artifacts/list": at(get=UNNAMED),
    "registered-models/create": at(post=CREATE({"name": "new"})),
    "registered-models/get": at(get=UNNAMED),
    "registered-models/rename": at(post=CHANGE({**NAME, "new_name": "n"})),
    "registered-models/update": at(patch=CHANGE(NAME)),
    "registered-models/delete": at(delete=CHANGE(NAME)),
    "registered-models/search": at(get=READ),
    "registered-models/get-latest-versions": at(get=UNNAMED, post=READ(NAME, always="404", known="404")),
    "registered-models/set-tag": at(post=CHANGE({**NAME, "key": "k"})),
    "registered-models/delete-tag": at(delete=CHANGE({**NAME, "key": "k"})),
    "registered-models/alias": at(
        get=UNNAMED, post=CHANGE({**VERSION, "alias": "a"}), delete=CHANGE({**NAME, "alias": "a"})
    ),
    "model-versions/create": at(post=CHANGE({**NAME, "source": "models:/none/1"})),
    "model-versions/get": at(get=UNNAMED),
    "model-versions/get-download-uri": at(get=UNNAMED),
    "model-versions/update": at(patch=CHANGE(VERSION)),
    "model-versions/transition-stage": at(post=CHANGE({**VERSION, "stage": "None"})),
    "model-versions/delete": at(delete=CHANGE(VERSION)),
    "model-versions/search": at(get=READ),
    "model-versions/set-tag": at(post=CHANGE({**VERSION, "key": "k"})),
    "model-versions/delete-tag": at(delete=CHANGE({**VERSION, "key": "k"})),
    "logged-models": at(post=LOG({**EXPERIMENT, "name": "n"})),
    "logged-models/search": at(post=READ({"experiment_ids": ["1"]})),
    "logged-models/<str:model_id>": at(
        MODEL,
        get=READ(always="404", known="404"),
        patch=LOG({"status": "LOGGED_MODEL_READY"}),
        delete=CHANGE,
    ),
    "logged-models/<str:model_id>/tags": at(MODEL, patch=LOG({"tags": []})),
    "logged-models/<str:model_id>/tags/<path:tag_key>": at(MODEL, "k", delete=LOG),
    "logged-models/<str:model_id>/params": at(MODEL, post=LOG({"params": []})),
    "logged-models/<str:model_id>/artifacts/directories": at(MODEL, get=READ(always="404", known="404")),
}
_FILE = f"1/{NONE}/artifacts/a.txt"
_ALL = {"get": LEFT_OUT, "post": LEFT_OUT, "put": LEFT_OUT, "patch": LEFT_OUT, "delete": LEFT_OUT}
MATRIX: dict[str, Address] = {
    "health": at(get=PUBLIC),
    "version": at(get=PUBLIC),
    **{f"api/2.0/mlflow/{address}": line for address, line in _API.items()},
    "api/2.0/mlflow-artifacts/artifacts": at(get=UNNAMED),
    "api/2.0/mlflow-artifacts/artifacts/<path:artifact_path>": at(
        _FILE, get=READ(always="404", known="404"), put=LOG(b"x"), delete=CHANGE
    ),
    "api/3.0/mlflow/server-info": at(get=READ),
    "api/2.0/mlflow-artifacts/<path:rest>": at("mpu/x", **_ALL),
    "api/2.0/mlflow/<path:rest>": at("traces", **_ALL),
    "api/3.0/mlflow/<path:rest>": at("traces/search", **_ALL),
}
