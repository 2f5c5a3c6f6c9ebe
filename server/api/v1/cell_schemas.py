"""The components of the native API's schema that are about descriptors, cells and databases of interactions."""

from server.api.v1.openapi import LARGEST, NOT_BLANK, STORABLE, Spec, ref, text
from server.api.v1.schemas import (
    COUNT,
    DESCRIPTOR,
    FEATURES,
    LIMITS,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NAME,
    RECEIPT,
    TEXT,
    TIME,
    listing,
    record,
)
from server.cells.posting import LARGEST_STRUCTURE, LONGEST_REASON

DIGEST: Spec = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256, in hex"}

_DESCRIPTOR: Spec = {"name": TEXT, "fingerprint": DIGEST, "created_at": TIME, "created_by": TEXT}
_STATUS: Spec = {"type": "string", "enum": ["labeled", "failed"]}
_NUMBER: Spec = {"type": ["integer", "null"], "minimum": 1}
_CHECKSUMS: Spec = {
    "type": "object",
    "maxProperties": 1000,
    "additionalProperties": DIGEST,
    "description": "File to SHA-256",
}
_SUMMARY = record(
    {
        "name": TEXT,
        "stream": TEXT,
        "status": _STATUS,
        "composition": TEXT,
        "descriptor": MAYBE_TEXT,
        "first": {**_NUMBER, "description": "Number of its first observation; null where it failed"},
        "last": _NUMBER,
        "types": {"type": "object", "additionalProperties": COUNT, "description": "Observations of each type"},
        "fingerprint": DIGEST,
        "created_at": TIME,
        "created_by": TEXT,
    },
    {"reason": TEXT},
)


def _cell(more: dict[str, Spec]) -> Spec:
    return record({name: _SUMMARY["properties"][name] for name in _SUMMARY["required"]} | more, {"reason": TEXT})


_CELL = {
    "name": NAME,
    "structure": {
        "type": "string",
        "maxLength": LARGEST_STRUCTURE,
        "pattern": STORABLE,
        "description": "One frame of extended XYZ: the number of atoms, a line with Lattice=…, and a line for each atom",
        "examples": ['1\nLattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n'],
    },
    "composition": {
        "type": "string",
        "maxLength": 100,
        "pattern": "^([A-Z][a-z]?([0-9]+([.][0-9]+)?)?)+$",
        "description": "Elements and their shares, such as Zr49Cu49Al2",
    },
}
_OF_CELL = {
    "provenance": {
        "type": "object",
        "description": "Where it comes from: codes, versions, job, user …; at most 100,000 bytes as JSON, 50 deep",
    },
    "checksums": _CHECKSUMS,
    "descriptor": DESCRIPTOR,
}
NEW_CELL: Spec = {
    "anyOf": [
        record(
            {
                **_CELL,
                "observations": {
                    "type": "array",
                    "items": ref("NewObservation"),
                    "minItems": 1,
                    "maxItems": LIMITS.max_points,
                },
            },
            {**_OF_CELL, "status": {"type": "string", "enum": ["labeled"]}},
            closed=True,
        ),
        record(
            {
                **_CELL,
                "status": {"type": "string", "enum": ["failed"]},
                "reason": text(LONGEST_REASON, 1, pattern=NOT_BLANK),
            },
            _OF_CELL,
            closed=True,
        ),
    ]
}

_NAMES: Spec = {
    "type": ["array", "null"],
    "items": text(200),
    "minItems": 1,
    "maxItems": 1000,
}
_SELECTION: Spec = {
    "compositions": {**_NAMES, "description": "Only cells of just these; null: of all"},
    "cells": {**_NAMES, "description": "Only cells whose name fits one of these patterns (*, ?, […]); null: all"},
    "types": {
        "type": ["object", "null"],
        "minProperties": 1,
        "maxProperties": 1000,
        "propertyNames": text(1000),
        "additionalProperties": {"type": ["integer", "null"], "minimum": 1, "maximum": 2**63 - 1},
        "description": "Only these values of the stream's segment feature, and how many of each at most (null: all)",
    },
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
}
_COUNTS = record(
    {
        "observations": COUNT,
        "types": {"type": "object", "additionalProperties": COUNT},
        "compositions": {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": COUNT},
            "description": "Type to composition to number of observations",
        },
    }
)

_ROW: dict[str, Spec] = {
    "learned": {**COUNT, "description": "Observations that the model has learned"},
    "scored": {**COUNT, "description": "Those that it had predicted before"},
    "prequential_rmse": MAYBE_NUMBER,
    "tested": {**COUNT, "description": "Observations of the database"},
    "refused": {**COUNT, "description": "Those of which the model says nothing"},
    "rmse": MAYBE_NUMBER,
    "std": {**MAYBE_NUMBER, "description": "Mean predictive standard deviation"},
    "distance": MAYBE_NUMBER,
    "farthest": MAYBE_NUMBER,
    "covered": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
}
COVERAGE = record(
    {
        "model": TEXT,
        "at": {**COUNT, "description": "The last observation that the model had learned"},
        "database": MAYBE_TEXT,
        "types": {
            "type": "object",
            "additionalProperties": record(
                {
                    **_ROW,
                    "reach": MAYBE_NUMBER,
                    "compositions": {"type": "object", "additionalProperties": record(_ROW)},
                }
            ),
        },
        "cells": {"type": "object", "additionalProperties": record(_ROW)},
    }
)
_CANDIDATE_ROW = {
    name: _ROW[name] for name in ("learned", "tested", "refused", "std", "distance", "farthest", "covered")
} | {"tested": {**COUNT, "description": "Bonds that were asked about"}}
CANDIDATE_COVERAGE = record(
    {
        "model": TEXT,
        "at": {**COUNT, "description": "The last observation that the model had learned"},
        "types": {"type": "object", "additionalProperties": record({**_CANDIDATE_ROW, "reach": MAYBE_NUMBER})},
        "all": record(_CANDIDATE_ROW),
    }
)

SCHEMAS: dict[str, Spec] = {
    "NewDescriptor": record(
        {"name": NAME, "content": {"type": "object", "description": "At most 1 MiB as canonical JSON, 50 deep"}},
        closed=True,
    ),
    "Descriptor": record({**_DESCRIPTOR, "content": {"type": "object"}}),
    "DescriptorSummary": record(_DESCRIPTOR),
    "DescriptorList": listing("descriptors", "DescriptorSummary"),
    "NewCell": NEW_CELL,
    "CellSummary": _SUMMARY,
    "Cell": _cell({"structure": TEXT, "provenance": {"type": "object"}, "checksums": _CHECKSUMS}),
    "CellReceipt": _cell({"models": RECEIPT["properties"]["models"]}),
    "NewDatabase": record(
        {"name": NAME, "stream": NAME},
        {
            **_SELECTION,
            "until": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": LARGEST,
                "description": "Not beyond the log's end; null: that",
            },
        },
        closed=True,
    ),
    "Database": record(
        {
            "name": TEXT,
            "stream": TEXT,
            "descriptor": MAYBE_TEXT,
            **_SELECTION,
            "until": {**COUNT, "description": "The last observation that was selected from"},
            "counts": _COUNTS,
            "fingerprint": {**DIGEST, "description": "SHA-256 of its observations as they are read, in hex"},
            "created_at": TIME,
            "created_by": TEXT,
        }
    ),
    "DatabaseList": listing("databases", "Database"),
    "Coverage": COVERAGE,
    "Candidate": record(
        {"xs": {"type": "array", "items": FEATURES, "minItems": 1, "maxItems": LIMITS.max_points}},
        {"descriptor": DESCRIPTOR},
        closed=True,
    ),
    "CandidateCoverage": CANDIDATE_COVERAGE,
    "CellPage": record({"stream": TEXT, "next": MAYBE_TEXT, "cells": {"type": "array", "items": ref("CellSummary")}}),
}
