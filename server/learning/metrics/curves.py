"""A curve of metrics with fewer than :data:`MOST` points, so that it stays cheap to plot.

Every ``stride``-th scored observation is recorded. When the curve is full, every second point is dropped and the stride
doubles. Which points remain depends on their numbers alone, so a replay gives the same curve.
"""

from array import array
from typing import Any

MOST = 512


class History:
    """Rows of metrics, each with a number of scored observations ``n``.

    Parameters
    ----------
    columns
        Names of the metrics in a row.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.stride = 1
        self.ns = array("q")
        self.rows = array("d")

    @property
    def next_mark(self) -> int:
        return self.ns[-1] + self.stride if self.ns else self.stride

    def record(self, n: int, row: tuple[float, ...]) -> int:
        """Add the row at ``n``. Return the next ``n`` to record."""
        self.ns.append(n)
        self.rows.extend(row)
        if len(self.ns) >= MOST:
            self._thin()
        return self.next_mark

    def _thin(self) -> None:
        self.stride *= 2
        width = len(self.columns)
        kept = [index for index, n in enumerate(self.ns) if n % self.stride == 0]
        self.rows = array("d", (v for index in kept for v in self.rows[index * width : (index + 1) * width]))
        self.ns = array("q", (self.ns[index] for index in kept))

    def points(self) -> list[list[float]]:
        """Return the rows ``[n, metric, …]`` in order."""
        width = len(self.columns)
        return [[n, *self.rows[index * width : (index + 1) * width]] for index, n in enumerate(self.ns)]

    def state(self) -> dict[str, Any]:
        return {"stride": self.stride, "ns": self.ns.tobytes(), "rows": self.rows.tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        self.stride = state["stride"]
        self.ns.frombytes(state["ns"])
        self.rows.frombytes(state["rows"])
