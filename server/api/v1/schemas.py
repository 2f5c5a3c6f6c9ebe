"""The components of the native API's schema: what goes in and what comes out."""

from typing import Any

from server.api.v1.openapi import Spec, ref
from server.learning.flavors import FLAVORS
from server.streams.validation import FEATURE_KINDS, TARGET_KINDS

TEXT: Spec = {"type": "string"}
MAYBE_TEXT: Spec = {"type": ["string", "null"]}
COUNT: Spec = {"type": "integer", "minimum": 0}
TIME: Spec = {"type": "string", "format": "date-time"}
MAYBE_NUMBER: Spec = {"type": ["number", "null"]}
NUMBERS: Spec = {"type": "object", "additionalProperties": MAYBE_NUMBER}
NAME: Spec = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$",
    "description": "1 to 200 letters, digits, '.', '_' or '-', the first a letter or a digit",
}
FEATURES: Spec = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": ["number", "string", "boolean"]},
    "description": "Feature name to a finite number, a string or a boolean",
    "examples": [{"x": 8, "y": 16, "z": 8}],
}
TARGET: Spec = {"type": ["number", "string", "boolean", "null"], "description": "The target: of the stream's kind"}
PREDICTION: Spec = {"description": "A number, a label, an object of labels and probabilities, or null"}
SOURCE: Spec = {"type": ["object", "null"], "description": "Where the point comes from: job, cluster, user …"}
DESCRIPTOR: Spec = {
    **MAYBE_TEXT,
    "maxLength": 200,
    "description": "Name of the descriptor that the features are made by: the stream's own, or none where it has none",
}
INTERVAL: Spec = {"type": "array", "items": MAYBE_NUMBER, "minItems": 2, "maxItems": 2}


def record(required: dict[str, Any], optional: dict[str, Any] | None = None, *, closed: bool = False) -> Spec:
    """An object; a closed one has no other fields."""
    found: Spec = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    if closed:
        found["additionalProperties"] = False
    return found


def listing(name: str, component: str) -> Spec:
    """An object that holds one list."""
    return record({name: {"type": "array", "items": ref(component)}})


ERROR = record(
    {
        "error": record(
            {
                "code": {"type": "string", "description": "Stable, for programs"},
                "message": {"type": "string", "description": "What is wrong, and what to do"},
                "request_id": {"type": "string", "description": "The server's log carries it too"},
            },
            {"field": {"type": "string", "description": "The path of what is wrong in the request"}},
        )
    }
)

NEW_STREAM = record(
    {
        "name": NAME,
        "target": record(
            {"name": {"type": "string", "maxLength": 200}},
            {
                "unit": {"type": "string", "maxLength": 50, "default": ""},
                "kind": {
                    "type": "string",
                    "enum": list(TARGET_KINDS),
                    "description": "number where a unit is given, else any, unless this says otherwise",
                },
            },
            closed=True,
        ),
    },
    {
        "features": {
            "description": "Names (of numbers), or names and kinds; null: any features",
            "anyOf": [
                {"type": "array", "items": {"type": "string", "maxLength": 200}, "minItems": 1},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": "string", "enum": list(FEATURE_KINDS)},
                },
                {"type": "null"},
            ],
        },
        "segment": {**MAYBE_TEXT, "maxLength": 200, "description": "Metrics are kept apart by this feature's values"},
        "descriptor": DESCRIPTOR,
        "description": {"type": "string", "maxLength": 10_000},
    },
    closed=True,
)

STREAM = record(
    {
        "name": TEXT,
        "description": TEXT,
        "target": record({"name": TEXT, "unit": TEXT, "kind": TEXT}),
        "features": {"type": ["object", "null"], "additionalProperties": TEXT},
        "segment": MAYBE_TEXT,
        "descriptor": MAYBE_TEXT,
        "head": {**COUNT, "description": "Number of the last observation"},
        "retention": record(
            {
                "dropped": {**COUNT, "description": "Observations up to this one are not kept any more"},
                "whole_after": {**COUNT, "description": "Every observation after this one is kept"},
            }
        ),
        "counts": record({"observations": COUNT, "retracted": COUNT, "models": COUNT}),
        "models": {
            "type": "array",
            "items": record({"name": TEXT, "flavor": TEXT, "recipe": MAYBE_TEXT, "status": TEXT}),
        },
        "created_at": TIME,
        "created_by": TEXT,
    }
)

OBSERVATION = record(
    {
        "seq": {"type": "integer", "minimum": 1},
        "x": FEATURES,
        "y": TARGET,
        "key": MAYBE_TEXT,
        "at": TIME,
        "source": SOURCE,
    },
    {
        "identifier": {"type": "string", "description": "Of the prediction whose label it was"},
        "retracted": record({"reason": TEXT, "at": TIME}),
        "predictions": {"type": "object", "description": "Model to what it predicted before it learned"},
        "errors": {"type": "object", "additionalProperties": TEXT, "description": "Model to why it passed over it"},
    },
)

NEW_OBSERVATION = record(
    {"x": FEATURES, "y": TARGET},
    {
        "key": {
            "type": ["string", "null"],
            "minLength": 1,
            "description": "Unique in the stream: a repetition changes nothing",
        },
        "source": SOURCE,
    },
    closed=True,
)

RECEIPT = record(
    {
        "first": {"type": "integer", "minimum": 1},
        "last": {"type": "integer", "minimum": 1},
        "accepted": COUNT,
        "duplicates": COUNT,
        "models": {
            "type": "object",
            "additionalProperties": record(
                {},
                {
                    "prediction": PREDICTION,
                    "predictions": {"type": "array"},
                    "error": TEXT,
                    "errors": {"type": "object", "additionalProperties": TEXT},
                },
            ),
        },
    }
)

QUESTION = record(
    {},
    {
        "x": FEATURES,
        "xs": {"type": "array", "items": FEATURES, "minItems": 1},
        "identifier": {"type": ["string", "null"], "minLength": 1},
        "track": {
            "type": "boolean",
            "default": False,
            "description": "Keep the prediction under an identifier of its own",
        },
        "level": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.95},
    },
    closed=True,
) | {"oneOf": [{"required": ["x"]}, {"required": ["xs"]}]}

ANSWER = record(
    {"at": {**COUNT, "description": "The last observation that the model had learned"}},
    {
        "prediction": PREDICTION,
        "predictions": {"type": "array"},
        "interval": {"anyOf": [INTERVAL, {"type": "null"}]},
        "intervals": {"type": "array", "items": {"anyOf": [INTERVAL, {"type": "null"}]}},
        "identifier": TEXT,
    },
)

RECIPE = record(
    {
        "name": TEXT,
        "flavor": TEXT,
        "summary": TEXT,
        "description": TEXT,
        "parameters": {
            "type": "array",
            "items": record(
                {"name": TEXT, "kind": {"type": "string", "enum": ["integer", "number", "boolean", "string"]}},
                {
                    "default": {},
                    "description": TEXT,
                    "minimum": {"type": "number"},
                    "maximum": {"type": "number"},
                    "choices": {"type": "array", "items": TEXT},
                },
            ),
        },
    }
)

NEW_MODEL = record(
    {"name": NAME, "stream": NAME},
    {
        "recipe": TEXT,
        "parameters": {
            "type": ["object", "null"],
            "description": "Those of the recipe; what is left out has its default",
        },
        "flavor": {"type": "string", "enum": list(FLAVORS)},
        "estimator": {
            "type": "object",
            "required": ["class"],
            "description": "A class of river or tailrace.estimators, with params and, for a pipeline, steps",
            "examples": [
                {
                    "class": "compose.Pipeline",
                    "steps": [{"class": "preprocessing.StandardScaler"}, {"class": "linear_model.LinearRegression"}],
                }
            ],
        },
        "backfill": {"type": "boolean", "default": True, "description": "Learn the stream's history first"},
    },
    closed=True,
) | {"oneOf": [{"required": ["recipe"]}, {"required": ["flavor", "estimator"]}]}

MODEL = record(
    {
        "name": TEXT,
        "stream": TEXT,
        "flavor": TEXT,
        "recipe": MAYBE_TEXT,
        "parameters": {"type": "object"},
        "status": {"type": "string", "enum": ["ready", "backfilling", "rebuilding", "failed"]},
        "progress": {**COUNT, "description": "How far a backfill or a rebuild has come"},
        "head": COUNT,
        "since": {**COUNT, "description": "The model learns what comes after this observation"},
        "generation": COUNT,
        "created_at": TIME,
        "created_by": TEXT,
    },
    {
        "error": TEXT,
        "at": {**COUNT, "description": "The state is the one after this observation"},
        "learned": COUNT,
        "skipped": COUNT,
        "last_skip": {"anyOf": [record({"seq": COUNT, "reason": TEXT}), {"type": "null"}]},
        "estimator": {"type": "object", "description": "Hyperparameters"},
        "metrics": NUMBERS,
    },
)

METRICS = record(
    {
        "model": TEXT,
        "flavor": TEXT,
        "at": COUNT,
        "learned": COUNT,
        "n": {**COUNT, "description": "Scored observations"},
        "metrics": NUMBERS,
        "rolling": record({"window": COUNT}) | {"additionalProperties": MAYBE_NUMBER},
    },
    {"segment": TEXT, "segments": {"type": "object", "additionalProperties": NUMBERS}},
)

HISTORY = record(
    {
        "model": TEXT,
        "at": COUNT,
        "window": COUNT,
        "columns": {"type": "array", "items": TEXT},
        "points": {"type": "array", "maxItems": 513, "items": {"type": "array", "items": MAYBE_NUMBER}},
    }
)

CALLS = record(
    {
        "n_calls": COUNT,
        "mean_duration": {**COUNT, "description": "ns"},
        "mean_duration_human": TEXT,
        "ewm_duration": {**COUNT, "description": "ns, exponentially weighted"},
        "ewm_duration_human": TEXT,
    }
)

SCHEMAS: dict[str, Spec] = {
    "Error": ERROR,
    "NewStream": NEW_STREAM,
    "Stream": STREAM,
    "StreamList": listing("streams", "Stream"),
    "NewObservation": NEW_OBSERVATION,
    "NewObservations": record(
        {"observations": {"type": "array", "items": ref("NewObservation"), "minItems": 1}},
        {"descriptor": DESCRIPTOR},
        closed=True,
    ),
    "SingleObservation": NEW_OBSERVATION | {"properties": {**NEW_OBSERVATION["properties"], "descriptor": DESCRIPTOR}},
    "Receipt": RECEIPT,
    "Observation": OBSERVATION,
    "ObservationPage": record(
        {
            "stream": TEXT,
            "head": COUNT,
            "next": {"type": ["integer", "null"]},
            "observations": {"type": "array", "items": ref("Observation")},
        }
    ),
    "StreamChange": record({"description": {"type": "string", "maxLength": 10_000}}, closed=True),
    "NewRetraction": record(
        {"reason": {"type": "string", "minLength": 1, "maxLength": 2000, "pattern": "\\S"}}, closed=True
    ),
    "Retraction": record(
        {"stream": TEXT, "seq": COUNT, "reason": TEXT, "at": TIME, "models": {"type": "array", "items": TEXT}}
    ),
    "Recipe": RECIPE,
    "RecipeList": listing("recipes", "Recipe"),
    "NewModel": NEW_MODEL,
    "Model": MODEL,
    "ModelList": listing("models", "Model"),
    "Metrics": METRICS,
    "History": HISTORY,
    "Stats": record({"model": TEXT, "predict": CALLS, "learn": CALLS}),
    "Question": QUESTION,
    "Answer": ANSWER,
    "Label": record({"y": TARGET}, {"source": SOURCE, "descriptor": DESCRIPTOR}, closed=True),
}
