"""The components of the native API's schema: what goes in and what comes out."""

from typing import Any

from django.conf import settings

from server.api.v1.openapi import LARGEST_NUMBER, NOT_BLANK, STORABLE, Spec, ref, text
from server.learning import recipes
from server.learning.flavors import FLAVORS
from server.streams import silence, unfamiliar
from server.streams.registry import LONGEST_DESCRIPTION, LONGEST_REASON
from server.streams.validation import FEATURE_KINDS, TARGET_KINDS

LIMITS = settings.TAILRACE
"""What this server allows (``TAILRACE_MAX_…``), which its schema states."""

FINITE: Spec = {"minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}
"""What every number in a body is; a keyword about numbers says nothing of texts."""
STRING_OF_POINT: Spec = {"maxLength": LIMITS.max_string_length, "pattern": STORABLE}
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
    "maxProperties": LIMITS.max_features,
    "propertyNames": {"minLength": 1, "maxLength": LIMITS.max_name_length, "pattern": STORABLE},
    "additionalProperties": {"type": ["number", "string", "boolean"], **FINITE, **STRING_OF_POINT},
    "description": "Feature name to a finite number, a string or a boolean",
    "examples": [{"x": 8, "y": 16, "z": 8}],
}
TARGET: Spec = {
    "type": ["number", "string", "boolean", "null"],
    **FINITE,
    **STRING_OF_POINT,
    "description": "The target: of the stream's kind",
}
TEXTS: Spec = {
    "type": "object",
    "additionalProperties": {"type": "string", **STRING_OF_POINT},
    "description": "Features of the point, and the texts that they were read from",
}
TEXT_OF_TARGET: Spec = {"type": "string", **STRING_OF_POINT, "description": "The text that y was read from"}
PREDICTION: Spec = {"description": "A number, a label, an object of labels and probabilities, or null"}
SOURCE: Spec = {
    "type": ["object", "null"],
    "description": "Where the point comes from: job, cluster, user …; at most 10,000 bytes as JSON",
}
DESCRIPTOR: Spec = {
    **MAYBE_TEXT,
    "maxLength": 200,
    "pattern": STORABLE,
    "description": "Name of the descriptor that the features are made by: the stream's own, or none where it has none",
}


def written(**parts: Spec) -> Spec:
    """Texts that values were read from, of a caller who has no types."""
    return {
        "type": ["object", "null"],
        "properties": parts,
        "additionalProperties": False,
        "description": "Texts that values were read from, as on a command line: what the stream declares, or else holds, "
        "decides whether the text is taken or the number",
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

_EVERY, _GRACE = ({"type": "integer", "minimum": least, "maximum": silence.LONGEST} for least in (silence.SHORTEST, 0))
EXPECTED: Spec = {
    "description": "Seconds within which another observation is expected, and after which more the stream counts as silent; "
    "null: none is expected",
    "anyOf": [record({"every": _EVERY}, {"grace": {**_GRACE, "default": 0}}, closed=True), {"type": "null"}],
}

NEW_STREAM = record(
    {
        "name": NAME,
        "target": record(
            {"name": text(200)},
            {
                "unit": {**text(50), "default": ""},
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
                {"type": "array", "items": text(200, 1), "minItems": 1, "maxItems": LIMITS.max_features},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": LIMITS.max_features,
                    "propertyNames": text(200, 1),
                    "additionalProperties": {"type": "string", "enum": list(FEATURE_KINDS)},
                },
                {"type": "null"},
            ],
        },
        "segment": {
            **MAYBE_TEXT,
            "maxLength": 200,
            "pattern": STORABLE,
            "description": "Metrics are kept apart by this feature's values; one of the features, where they are declared",
        },
        "descriptor": DESCRIPTOR,
        "description": text(LONGEST_DESCRIPTION),
        "expected": EXPECTED,
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
        "expected": {
            "description": "How often observations are expected, and when the last one came; null where none is expected",
            "anyOf": [
                record(
                    {
                        "every": _EVERY,
                        "grace": _GRACE,
                        "last_at": {"anyOf": [TIME, {"type": "null"}]},
                        "state": {"type": "string", "enum": list(silence.STATES)},
                    }
                ),
                {"type": "null"},
            ],
        },
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
            "maxLength": LIMITS.max_name_length,
            "pattern": STORABLE,
            "description": "Unique in the stream: a repetition changes nothing",
        },
        "source": SOURCE,
        "written": written(x=TEXTS, y=TEXT_OF_TARGET),
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
    },
    {
        "new_stream": {
            **record({"name": TEXT, "nearest": MAYBE_TEXT, "message": TEXT}),
            "description": "Only where these points made the stream: no model learns from it, and perhaps its name was mistyped; "
            "`nearest` is the most similar name that the caller may read",
        }
    },
)

_LEVEL: Spec = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.95}
_STRICT: Spec = {
    "type": "boolean",
    "default": False,
    "description": "Refuse what would be answered with warnings: 400 with the code `unfamiliar`, or 503 while the server doesn't "
    "know yet what the stream has seen",
}
QUESTION: Spec = {
    "oneOf": [
        record(
            {"x": FEATURES},
            {
                "identifier": {
                    "type": ["string", "null"],
                    "minLength": 1,
                    "maxLength": LIMITS.max_name_length,
                    "pattern": STORABLE,
                },
                "track": {
                    "type": "boolean",
                    "default": False,
                    "description": "Keep the prediction under an identifier of its own",
                },
                "level": _LEVEL,
                "strict": _STRICT,
                "written": written(x=TEXTS),
            },
            closed=True,
        ),
        record(
            {"xs": {"type": "array", "items": FEATURES, "minItems": 1, "maxItems": LIMITS.max_points}},
            {
                "identifier": {"type": "null"},
                "track": {"type": "boolean", "const": False},
                "level": _LEVEL,
                "strict": _STRICT,
                "written": written(
                    xs={"type": "array", "items": TEXTS | {"type": ["object", "null"]}, "maxItems": LIMITS.max_points}
                ),
            },
            closed=True,
        ),
    ]
}

ANSWER = record(
    {"at": {**COUNT, "description": "The last observation that the model had learned"}},
    {
        "prediction": PREDICTION,
        "predictions": {"type": "array"},
        "interval": {"anyOf": [INTERVAL, {"type": "null"}]},
        "intervals": {"type": "array", "items": {"anyOf": [INTERVAL, {"type": "null"}]}},
        "identifier": TEXT,
        "warnings": {
            "type": "array",
            "minItems": 1,
            "maxItems": len(unfamiliar.CODES) * unfamiliar.MOST_OF_A_CODE + 1,
            "items": record(
                {
                    "code": {"type": "string", "enum": [*unfamiliar.CODES, unfamiliar.MORE, unfamiliar.UNCHECKED]},
                    "message": TEXT,
                },
                {
                    "field": {"type": "string", "description": "The path of the feature, of the first point concerned"},
                    "feature": TEXT,
                    "points": {
                        "type": "array",
                        "items": COUNT,
                        "description": "Of many points, the indexes of those concerned",
                    },
                },
            ),
            "description": "How the points differ from those that the stream has seen, where it declares no features",
        },
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

_ON_STREAM: Spec = {"name": NAME, "stream": NAME}
_BACKFILL: Spec = {"type": "boolean", "default": True, "description": "Learn the stream's history first"}


def _parameters(recipe: dict[str, Any]) -> Spec:
    """The parameters of a recipe, with their bounds."""
    found: dict[str, Spec] = {}
    for one in recipe["parameters"]:
        bounds = {name: one[name] for name in ("minimum", "maximum", "default") if name in one}
        if one["kind"] == "number":
            bounds = FINITE | bounds
        choices = {"enum": one["choices"]} if "choices" in one else {}
        found[one["name"]] = {"type": one["kind"], **bounds, **choices, "description": one["description"]}
    return {
        "type": ["object", "null"],
        "properties": found,
        "additionalProperties": False,
        "description": "What is left out has its default",
    }


def _by_recipe(recipe: dict[str, Any]) -> Spec:
    named: Spec = {"type": "string", "enum": [recipe["name"]]}
    optional = {"parameters": _parameters(recipe), "backfill": _BACKFILL}
    return record({**_ON_STREAM, "recipe": named}, optional, closed=True) | {"title": f"By the recipe {recipe['name']}"}


_BY_DESCRIPTION = record(
    {
        **_ON_STREAM,
        "flavor": {"type": "string", "enum": list(FLAVORS)},
        "estimator": {
            "type": "object",
            "required": ["class"],
            "properties": {"class": {"type": "string"}},
            "description": "A class of river or tailrace.estimators, with params and, for a pipeline, steps (each with a "
            "name of at most 100 printable characters, if wanted). At most 2,000 values, nested at most 20 deep; a text has "
            "at most 1,000 characters. Which parameters a class takes, and how large they may be, is said by the answer.",
            "examples": [
                {
                    "class": "compose.Pipeline",
                    "steps": [{"class": "preprocessing.StandardScaler"}, {"class": "linear_model.LinearRegression"}],
                }
            ],
        },
    },
    {"backfill": _BACKFILL},
    closed=True,
) | {"title": "By the description of an estimator"}
NEW_MODEL: Spec = {"anyOf": [*map(_by_recipe, recipes.listing()), _BY_DESCRIPTION]}

MODEL = record(
    {
        "name": TEXT,
        "stream": TEXT,
        "flavor": TEXT,
        "recipe": MAYBE_TEXT,
        "parameters": {"type": "object"},
        "status": {"type": "string", "enum": ["ready", "backfilling", "rebuilding", "failed", "quarantined"]},
        "progress": {**COUNT, "description": "How far a backfill or a rebuild has come"},
        "head": COUNT,
        "since": {**COUNT, "description": "The model learns what comes after this observation"},
        "generation": COUNT,
        "created_at": TIME,
        "created_by": TEXT,
    },
    {
        "error": TEXT,
        "quarantine": record(
            {
                "since": {**COUNT, "description": "The first observation that the model skips"},
                "call": {"type": "string", "enum": ["learn", "predict", "replay", "store", "load", "look"]},
                "observation": {"type": ["integer", "null"], "minimum": 1},
                "reason": TEXT,
                "at": TIME,
            }
        ),
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
        {
            "observations": {
                "type": "array",
                "items": ref("NewObservation"),
                "minItems": 1,
                "maxItems": LIMITS.max_points,
            }
        },
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
    "StreamChange": record({}, {"description": text(LONGEST_DESCRIPTION), "expected": EXPECTED}, closed=True)
    | {"minProperties": 1},
    "NewRetraction": record({"reason": text(LONGEST_REASON, 1, pattern=NOT_BLANK)}, closed=True),
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
    "Label": record(
        {"y": TARGET},
        {
            "model": {
                **MAYBE_TEXT,
                "maxLength": 200,
                "pattern": STORABLE,
                "description": "Whose prediction it is: needed where several models have one of that identifier",
            },
            "source": SOURCE,
            "descriptor": DESCRIPTOR,
            "written": written(y=TEXT_OF_TARGET),
        },
        closed=True,
    ),
}
