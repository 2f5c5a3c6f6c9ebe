"""Views of the native API for cells: the structure of a calculation and its bonds, stored and learned together."""

from time import perf_counter_ns
from typing import Any
from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import hot
from server.api.v1.descriptors import DIGEST
from server.api.v1.observations import DESCRIPTOR, POINTS, LearnedByModelSerializer
from server.api.v1.view import View, created, operation
from server.cells import catalog, posting
from server.cells.models import Cell
from server.core.validation import Checker
from server.learning.fold.replica_set import SETS
from server.learning.metrics import call_stats
from server.learning.write_path import learn_points
from server.learning.write_path.attachments import descriptor_conflict
from server.streams.models import Stream

PAGE, LARGEST_PAGE = 100, 1000
STATUS = fields.Choice((Cell.LABELED, Cell.FAILED))
CHECKSUMS = fields.Map(fields.Text(**DIGEST), "File to SHA-256", max_length=posting.MOST_FILES)


class NewCellSerializer(RequestSerializer):
    """The fields of a cell. :mod:`server.cells.posting` checks them."""

    variants = (
        {"requires": ("observations",), "without": ("reason",), "status": {"enum": [Cell.LABELED]}},
        {"requires": ("status", "reason"), "without": ("observations",), "status": {"enum": [Cell.FAILED]}},
    )
    name = fields.Name("cell")
    structure = fields.Text(
        "One frame of extended XYZ: the number of atoms, a line with Lattice=…, and a line for each atom",
        max_length=posting.LARGEST_STRUCTURE,
        keywords={
            "examples": ['1\nLattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n']
        },
    )
    composition = fields.Text(
        "Elements and their shares, such as Zr49Cu49Al2",
        max_length=100,
        pattern="^([A-Z][a-z]?([0-9]+([.][0-9]+)?)?)+$",
    )
    provenance = fields.Field(
        "Where it comes from: codes, versions, job, user …; at most 100,000 bytes as JSON, 50 deep",
        {"type": "object"},
        required=False,
    )
    checksums = fields.Described(CHECKSUMS, required=False)
    descriptor = DESCRIPTOR
    status = fields.Field(None, {"type": "string"}, required=False)
    reason = fields.Field(
        None,
        {"type": "string", "maxLength": posting.LONGEST_REASON, "minLength": 1, "pattern": fields.NOT_BLANK},
        required=False,
    )
    observations = fields.Described(POINTS, required=False)


class CellSummarySerializer(Serializer):
    name, stream, status, composition = fields.Text(), fields.Text(), STATUS, fields.Text()
    family = fields.Text("Name of its family: a cell and its deformed copies")
    descriptor = fields.Text(allow_null=True)
    first = fields.Whole(
        "Number of its first observation; null if the calculation failed", min_value=1, allow_null=True
    )
    last = fields.Whole(min_value=1, allow_null=True)
    types = fields.Map(fields.Count(), "Observations of each type")
    fingerprint = fields.Text(**DIGEST)
    created_at, created_by = fields.Time(), fields.Text()
    reason = fields.Text(required=False)


class CellSerializer(CellSummarySerializer):
    structure, provenance, checksums = fields.Text(), fields.Map(), CHECKSUMS


class CellReceiptSerializer(CellSummarySerializer):
    models = fields.Map(LearnedByModelSerializer())


class CellPageSerializer(Serializer):
    stream, next = fields.Text(), fields.Text(allow_null=True)
    cells = fields.Items(CellSummarySerializer())


class ListCellsQuery(QuerySerializer):
    composition = fields.Text("Only cells with this composition", max_length=fields.LONGEST_IN_QUERY)
    status = fields.Choice((Cell.LABELED, Cell.FAILED), "Only those")
    after = fields.Text("Only cells whose name comes after this one", max_length=fields.LONGEST_IN_QUERY)
    limit = fields.Whole("Largest number of cells in the answer", min_value=1, max_value=LARGEST_PAGE, default=PAGE)


class Cells(View):
    """The cells of one stream."""

    @operation("listCells", answers={200: CellPageSerializer}, query=ListCellsQuery)
    def get(self, request: Request, name: str) -> Response:
        """List a stream's cells by name, a page at a time.

        `next` is the `after` of the next page, or null at the end.
        """
        stream = caller.stream(request._request, name)
        cells, more = catalog.page(stream, **self.query)
        return Response({"stream": stream.name, "next": more, "cells": cells})

    @operation(
        "addCell", NewCellSerializer, answers={200: CellReceiptSerializer, 201: CellReceiptSerializer}, errors=(409,)
    )
    def post(self, request: Request, name: str) -> Response:
        """Post a cell: its structure and its bonds. Every model on the stream predicts, is scored on and learns each bond.

        Everything is stored in one transaction, or nothing is. If the same cell is posted again, the answer is 200 with
        the content of the first answer, and nothing changes. Another cell with the same name is refused. A failed
        calculation can be recorded with the status `failed` and a reason; a later cell with its name replaces it.
        """
        started = perf_counter_ns()
        asked = request._request
        payload = self.body(request)
        stream = caller.stream(asked, name)
        descriptor = hot.named_descriptor(payload)
        cell = posting.checked(payload)
        cell.stream, cell.created_by = stream, caller.name(asked)
        payload["descriptor"] = descriptor
        if cell.status == Cell.FAILED:
            if descriptor is not None and descriptor != stream.descriptor:
                raise descriptor_conflict(stream.descriptor, descriptor)
            cell.fingerprint = posting.fingerprint(payload)
            keeper = posting.record_failure(cell, caller.owner(asked))
            return _answered(keeper, stream, {})
        points = hot.checked_points(payload["observations"], Checker(stream.features, stream.target_kind))
        cell.fingerprint = posting.fingerprint(payload)
        cell.types = posting.types_of(points.xs, stream.segment)
        keeper = posting.CellAttachment(cell, caller.owner(asked))
        receipt = learn_points.learn(stream.pk, points, descriptor=descriptor, attachment=keeper)
        if keeper.is_new:
            duration = perf_counter_ns() - started
            for model_id in list(SETS.of(stream.pk).models):
                call_stats.learned(model_id, duration)
        return _answered(keeper, stream, hot.model_outcomes(receipt, told=caller.may(asked, "predict")))


def _answered(keeper: posting.CellAttachment, stream: Stream, models: dict[str, Any]) -> Response:
    data = catalog.summary(keeper.cell, stream) | {"models": models}
    if not keeper.is_new:
        return Response(data)
    return created(data, f"/api/v1/streams/{quote(stream.name)}/cells/{quote(keeper.cell.name)}/")


class OneCell(View):
    """One cell."""

    @operation("getCell", answers={200: CellSerializer})
    def get(self, request: Request, name: str, cell: str) -> Response:
        """Show a cell: its structure, its origin, and the numbers of the observations of its bonds."""
        stream = caller.stream(request._request, name)
        return Response(catalog.described(catalog.find(stream, cell), stream))
