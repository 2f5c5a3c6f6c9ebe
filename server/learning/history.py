"""A curve of metrics that stays cheap to plot: it never holds more than :data:`MOST` points.

Every ``stride``-th scored observation is recorded; when the curve is full, every second point goes and the stride
doubles. Which points remain depends on their number alone, so a replay leaves the same curve.
"""

from array import array
from typing import Any

MOST = 512


class History:
    """Rows of floats at marks ``n``.

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
        """Add the row at mark ``n`` and return the next mark."""
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
        """Rows ``[n, metric, …]`` in order."""
        width = len(self.columns)
        return [[n, *self.rows[index * width : (index + 1) * width]] for index, n in enumerate(self.ns)]

    def state(self) -> dict[str, Any]:
        return {"stride": self.stride, "ns": self.ns.tobytes(), "rows": self.rows.tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        self.stride = state["stride"]
        self.ns.frombytes(state["ns"])
        self.rows.frombytes(state["rows"])
