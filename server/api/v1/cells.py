"""Cells over the native API: a calculation's structure and its bonds, stored and learned in one go."""

from time import perf_counter_ns
from typing import Any
from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.codec import only
from server.api.v1 import hot, query
from server.api.v1.openapi import documented, in_query, one_of_path
from server.api.v1.view import View, created
from server.cells import catalog, posting
from server.cells.models import Cell
from server.learning import stats, writing
from server.learning.companions import other_descriptor
from server.learning.replicaset import SETS
from server.streams.models import Stream
from server.streams.validation import Checker

PAGE, LARGEST_PAGE = 100, 1000
STREAM = one_of_path("name", "The stream")


class Cells(View):
    """The cells of one stream."""

    query = ("composition", "status", "after", "limit")

    @documented(
        "listCells",
        "List a stream's cells by name, a page at a time",
        "`next` is the `after` of the next page, or null at the end.",
        parameters=[
            STREAM,
            in_query("composition", "Only those of just this composition"),
            in_query("status", "Only those", {"type": "string", "enum": [Cell.LABELED, Cell.FAILED]}),
            in_query("after", "Only cells whose name comes after this one"),
            in_query(
                "limit",
                "At most so many",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
            ),
        ],
        answers={200: "CellPage"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        asked = request._request
        chosen = {
            "composition": query.text(asked, "composition"),
            "status": query.choice(asked, "status", (Cell.LABELED, Cell.FAILED)),
            "after": query.text(asked, "after"),
        }
        limit = query.integer(asked, "limit", 1, LARGEST_PAGE) or PAGE
        stream = caller.stream(asked, name)
        cells, more = catalog.page(stream, limit=limit, **chosen)
        return Response({"stream": stream.name, "next": more, "cells": cells})

    @documented(
        "addCell",
        "Post a cell: its structure and its bonds, which every model on the stream predicts, is scored on and learns",
        "All of it or nothing is stored, in one transaction. The same cell posted again is answered with 200 as it was "
        "at first, and changes nothing; another one under its name is refused. A calculation that failed can be "
        "recorded with the status `failed` and a reason, and gives way to a later one of its name.",
        parameters=[STREAM],
        body="NewCell",
        answers={200: "CellReceipt", 201: "CellReceipt"},
        errors=(404, 409),
    )
    def post(self, request: Request, name: str) -> Response:
        started = perf_counter_ns()
        asked = request._request
        query.only(asked, ())
        payload = self.payload(request)
        only(payload, *posting.FIELDS, required=("name", "structure", "composition"))
        stream = caller.stream(asked, name)
        descriptor = hot.named_descriptor(payload)
        cell = posting.checked(payload)
        cell.stream, cell.created_by = stream, caller.name(asked)
        payload["descriptor"] = descriptor
        if cell.status == Cell.FAILED:
            if descriptor is not None and descriptor != stream.descriptor:
                raise other_descriptor(stream.descriptor, descriptor)
            cell.fingerprint = posting.fingerprint(payload)
            keeper = posting.record_failure(cell, caller.owner(asked))
            return _answered(keeper, stream, {})
        points = hot.checked_points(payload["observations"], Checker(stream.features, stream.target_kind))
        cell.fingerprint = posting.fingerprint(payload)
        cell.types = posting.types_of(points.xs, stream.segment)
        keeper = posting.Keeper(cell, caller.owner(asked))
        receipt = writing.learn(stream.pk, points, descriptor=descriptor, companion=keeper)
        if keeper.is_new:
            duration = perf_counter_ns() - started
            for model_id in list(SETS.of(stream.pk).models):
                stats.learned(model_id, duration)
        return _answered(keeper, stream, hot.told_of_models(receipt, told=caller.may(asked, "predict")))


def _answered(keeper: posting.Keeper, stream: Stream, models: dict[str, Any]) -> Response:
    data = catalog.summary(keeper.cell, stream) | {"models": models}
    if not keeper.is_new:
        return Response(data)
    return created(data, f"/api/v1/streams/{quote(stream.name)}/cells/{quote(keeper.cell.name)}/")


class OneCell(View):
    """One cell."""

    @documented(
        "getCell",
        "Look at a cell: its structure, where it comes from, and which observations are its bonds",
        parameters=[STREAM, one_of_path("cell", "The cell")],
        answers={200: "Cell"},
        errors=(404,),
    )
    def get(self, request: Request, name: str, cell: str) -> Response:
        stream = caller.stream(request._request, name)
        return Response(catalog.described(catalog.find(stream, cell), stream))
