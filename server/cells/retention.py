"""Observations of a log that cells need."""

from server.cells.models import Cell
from server.core.errors import Conflict
from server.streams.models import Stream


def check(stream: Stream, upto: int) -> None:
    """Check that no observation up to ``upto`` belongs to a cell. Databases of interactions contain cells and never change.

    Raises
    ------
    Conflict
        If one does.
    """
    cell = Cell.objects.filter(stream=stream, first__lte=upto).order_by("first").first()
    if cell is not None:
        raise Conflict(
            f"observations {cell.first} to {cell.last} of stream {stream.name} are bonds of cell {cell.name}, which databases "
            f"of interactions may contain: they can't be removed (only observations before {cell.first})",
            field="upto",
            code="has_cells",
        )
