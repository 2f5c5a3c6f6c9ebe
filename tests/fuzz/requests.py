"""Requests as the schema allows them and as it doesn't, and what an answer to each has to be like.

Shared by the test that CI runs and by ``python -m tests.fuzz.api``, which goes on as long as one likes.
"""

import re
from typing import Any

import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from server.accounts import tokens, users
from server.api.fields import LARGEST_NUMBER
from server.calculations import clusters, sessions
from tests.api_client import Api

PASSWORD = "a hill of 12 stones"
MENDED = {
    "stream": ("s", r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"),
    "user": ("ada", r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,149}"),
    "password": (PASSWORD, r"(?s).{12,150}"),
}
"""Field of a body to the value that exists, and what it may stand in place of."""

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

# Two of three generated names are put in the place of names that exist: otherwise nearly every request would be a 404.
NAMES: dict[str, list[Any]] = {
    "streams": ["s", "declared"],
    "models": ["lin", "avg"],
    "predictions": ["kept", "done", "a/b"],
    "descriptors": ["soap"],
    "databases": ["dbi"],
    "users": ["ada", "grace"],
    "notifications": [1],
    "tokens": [],  # their numbers, as they are made
    "clusters": ["k"],
    "programs": ["code"],
    "structures": ["h"],
    "calculations": [1, 2],
    "compositions": ["Cu", "Zr"],
    "campaigns": ["g"],
    "experiments": [],  # their numbers, as they are made
    "runs": ["0" * 32],
    "generate": ["Cu", "Zr"],
    "agent": ["main"],
    "services": ["svc"],
}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = context.operation.path.split("/")[3]
    for field, value in (path_parameters or {}).items():
        known = {"seq": [1, 2, 3, 4], "cell": ["c0", "c1"], "step": ["main"]}.get(field) or NAMES[kind]
        if kind == "campaigns" and field == "number":
            known = [1]
        if kind == "experiments" and field == "stream":
            known = ["s"]
        if kind == "runs" and field in ("sha256", "path"):
            known = [SHA256] if field == "sha256" else ["a.txt"]
        pick = sum(str(value).encode()) % (len(known) * 3 // 2)
        if pick < len(known):
            path_parameters[field] = known[pick]
    return path_parameters


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Let every second body be of things that exist, so that what lies behind the first checks is reached too."""
    if isinstance(body, dict) and len(repr(body)) % 2 == 0:
        for field, (value, right) in MENDED.items():
            if isinstance(body.get(field), str) and re.fullmatch(right, body[field]):  # what is wrong stays wrong
                body[field] = value
    return body


def populate(api: Api) -> None:
    """A little of everything."""
    api.stream("s", segment="k")
    api.stream("declared", features={"a": "number", "k": "category"}, segment="k")
    api.model("lin", "s")
    api.model("avg", "s", "mean")
    for n in range(4):
        api.learn({"a": float(n)}, float(n))
    for identifier in ("kept", "done", "a/b"):
        api.ok("/api/v1/models/lin/predict/", {"x": {"a": 2.0}, "identifier": identifier})
    api.ok("/api/v1/predictions/done/label/", {"y": 2.0})
    api.ok("/api/v1/descriptors/", {"name": "soap", "content": {"r_cut": 3.75}}, 201)
    structure = '1\nLattice="2 0 0 0 2 0 0 0 2"\nCu 0 0 0\n'
    for n in range(2):
        cell = {"name": f"c{n}", "structure": structure, "composition": "Cu"}
        api.ok("/api/v1/streams/s/cells/", {**cell, "observations": [{"x": {"k": "a", "d": n}, "y": 1}]}, 201)
    api.ok("/api/v1/databases/", {"name": "dbi", "stream": "s", "types": {"a": 1}}, 201)
    cluster = clusters.create("k", "ada").pk
    program = {"name": "code", "schema": {"type": "object"}}
    agent = {"agent": "a", "host": "h", "root": "/r", "version": "1", "launcher": "bare", "slots": 1}
    sessions.register(cluster, {**agent, "programs": [program], "holdings": []})
    api.ok("/api/v1/structures/", {"name": "h", "content": "1\n\nH 0 0 0", "format": "xyz"}, 201)
    made = [{"name": "first", "program": "code"}, {"name": "second", "program": "code", "hold": True}]
    NAMES["calculations"] = [api.ok("/api/v1/calculations/", one, 201)["id"] for one in made]
    api.ok("/api/v1/compositions/", {"name": "Cu"}, 201)
    api.ok("/api/v1/compositions/", {"name": "Zr"}, 201)
    campaign = {"name": "g", "stream": "s", "models": ["avg"], "compositions": ["Cu"], "targets": {"Cu-Cu": 0.1}}
    campaign["programs"] = {stage: {"program": "code"} for stage in ("explore", "augment", "label")}
    api.ok("/api/v1/campaigns/", campaign, 201)
    assert api.ok("/api/v1/campaigns/g/propose/", {})["picks"]
    run = {"experiment": "darcy", "params": {"lr": "0.1"}, "tags": {"team": "a"}}
    assert api.client.put(f"/api/v1/runs/{'0' * 32}/", run, "application/json").status_code == 201
    logged = [
        {"kind": "metrics", "step": 1, "time_ms": 1, "values": {"loss": 0.5}},
        {"kind": "artifact", "path": "a.txt", "sha256": SHA256, "size": 4},
    ]
    assert not api.ok(f"/api/v1/runs/{'0' * 32}/lines/", {"writer": "w", "first": 0, "lines": logged})["refused"]
    feed = {"stream": "s", "params": {"lr": "number"}, "metric": "loss"}
    NAMES["experiments"] = [api.ok(f"/api/v1/runs/{'0' * 32}/")["experiment_id"]]
    api.ok(f"/api/v1/experiments/{NAMES['experiments'][0]}/feeds/", feed, 201)
    sample = {"body": {}, "expected": {}}
    api.ok("/api/v1/services/", {"name": "svc", "cluster": "k", "image": "sha256:" + "0" * 64, "sample": sample}, 201)
    api.ok("/api/v1/services/svc/stop/", {})
    people = [users.create("ada", "admin", PASSWORD), users.create("grace", "researcher")]
    NAMES["tokens"] = [tokens.create(user, "jobs")[0].pk for user in people]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """What a body of lines is when it is generated as one string."""
    return str(value).encode(errors="replace")


SAID_BY_THE_ANSWER = {
    "addObservations": r"(observations\[\d+\]\.)?(y|x\b.*)",  # what the stream declares, and what its models can learn
    "predict": r"x\b.*|xs\[\d+\].*",
    "label": "y|model",
    "createModel": r"estimator\b.*|flavor|parameters.*",
    "createStream": "segment",
    "deleteStream": "confirm",  # the stream's name
    "deleteCalculation": "confirm",  # the name of the calculation
    "addCell": r"structure|observations\b.*|composition|provenance|checksums",
    "createDatabase": r"types|until|None",
    "createDescriptor": "content",
    "createUser": "password",
    "changeMyPassword": "new",
    "getCoverageOfCell": r"(xs\b.*|family)",  # a family is printable, which no pattern says of all of Unicode
    "createEvaluation": r"(model|cell)",  # of the campaign; needed by one kind, and refused by the others
    "getModel": "at",
    "downloadModel": "at",
    "getMetrics": "at",
    "getRecord": "first|segment",  # first after last; a segment where the stream has none
    "exportRecord": "first|safe",
    "listObservations": "limit",  # of a page, which may not be as long as a file
    "readAudit": "limit",
    "listenToEvents": "stream",
    "submitCalculation": r"(steps\b|scan\b|parameters\b|structure).*|program|analyses|cluster",
    "cloneCalculation": ".*",  # what is changed is checked with the rest
    "addStructure": "content|format",
    "addComposition": r"name|aliases.*",
    "changeComposition": r"aliases.*",
    "createCampaign": r"(models|compositions|targets|budget|thresholds|clusters|programs|policy)\b.*",
    "changeCampaign": r"(models|compositions|targets|budget|thresholds|clusters|programs|policy)\b.*",
    "approveDecision": r"picks\b.*",
    "restartRun": "stage",  # one of the run's
    "seedGenerate": "campaign|picks",  # a campaign, if there are several; and its budget
    "seedAugment": "campaign|picks",
    "seedEvaluate": "campaign|model|cell",
    "seedEtl": "campaign",
    "labelByHand": ".*",  # the cell of a run
    "listClusterLoads": "since",
    "listExperimentRuns": "after|linked_kind|filter|order.*",  # a position; two that belong together
    "searchRuns": r"filter|order.*|after|columns\[\d+\]",
    "getMetricHistory": "after",
    "createRun": "parent",
    "putRun": "uid|parent",
    "putArtifact": "path",
    "sendChunk": "sha256|Upload-Offset",
    "getUpload": "sha256",
    "createService": r"cluster|image|sample|registered_model",  # with a version, or neither
    "createFeed": r"stream|params.*|value",  # what the stream takes
    "predictRun": r"params.*",  # those of the feeds
    "syncServices": "address",
}
"""Operation to the fields that it may refuse though the schema allows them, for what depends on what there is."""


def takes_what_the_schema_allows(context: Any, response: Any, case: Any) -> None:
    """No request that the schema allows is refused for its form, but for what no schema can say."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code not in (400, 413, 414, 422) or case.media_type == "application/x-ndjson":
        return
    error = response.json()["error"]
    label = case.operation.definition.raw["operationId"]
    fine = re.fullmatch(SAID_BY_THE_ANSWER.get(label, "nothing"), str(error.get("field")), re.DOTALL)
    assert fine, f"{label} refuses what the schema allows: {error}"


def refuses_what_it_does_not(context: Any, response: Any, case: Any) -> None:
    """As schemathesis has it; what is too large is refused as such, and the largest number is what rounds to it."""
    if response.status_code != 413 and not _has_number_beyond_the_largest(case.body):
        negative_data_rejection(context, response, case)


def _has_number_beyond_the_largest(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(_has_number_beyond_the_largest, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) > int(LARGEST_NUMBER)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    refuses_what_it_does_not,
    response_schema_conformance,
    unsupported_method,
    takes_what_the_schema_allows,
]
