"""What the tests of descriptors, cells and databases share: a small stream of bonds, and cells to post to it."""

from typing import Any

from server.cells.models import Cell, Database, Descriptor
from server.streams.models import Stream
from tests.api_client import Api
from tests.api_client import everything as everything_else

DEFINITION = {"species": ["Al", "Cu", "Zr"], "r_cut": 3.75, "projection": {"kind": "gaussian", "seed": 1, "size": 2}}
STRUCTURE = (
    '2\nLattice="3.2 0 0 0 3.2 0 0 0 3.2" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\nZr 1.6 1.6 1.6\n'
)


def bond(kind: str, distance: float, y: float | None = None, **more: float) -> dict[str, Any]:
    """An observation as `bonds ingest` makes it, but shorter."""
    numbers = {"s0": distance / 10, "s1": 1.0, **more}
    return {"x": {"bond": kind, "distance": distance, **numbers}, "y": 5.0 - distance if y is None else y}


def new_cell(name: str = "CuZr-1-00", observations: list[Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A request that makes a cell of four bonds."""
    if observations is None:
        observations = [bond("Zr-Cu", 2.7), bond("Zr-Zr", 3.1), bond("Zr-Cu", 2.8), bond("Cu-Cu", 2.5)]
    return {
        "name": name,
        "structure": STRUCTURE,
        "composition": "Cu50Zr50",
        "provenance": {"code": "tblite", "method": "GFN1-xTB"},
        "checksums": {"structure.xyz": "ab" * 32},
        "descriptor": "soap",
        "observations": observations,
        **changes,
    }


class Bonds:
    """A stream of bonds with a descriptor and a segment, and what is done with it."""

    CELLS = "/api/v1/streams/bonds/cells/"
    OBSERVATIONS = "/api/v1/streams/bonds/observations/"

    def __init__(self, api: Api) -> None:
        self.api = api
        api.ok("/api/v1/descriptors/", {"name": "soap", "content": DEFINITION}, 201)
        api.stream("bonds", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")

    def tree(self, name: str = "tree", stream: str = "bonds") -> None:
        """A model that takes words as features, as the kind of bond is one."""
        estimator = {"class": "tree.HoeffdingTreeRegressor", "params": {"grace_period": 5, "leaf_prediction": "mean"}}
        self.api.ok(
            "/api/v1/models/", {"name": name, "stream": stream, "flavor": "regression", "estimator": estimator}, 201
        )

    def post(self, name: str = "CuZr-1-00", observations: list[Any] | None = None, **changes: Any) -> Any:
        return self.api.post(self.CELLS, new_cell(name, observations, **changes))

    def add(self, name: str = "CuZr-1-00", observations: list[Any] | None = None, **changes: Any) -> Any:
        return self.api.ok(self.CELLS, new_cell(name, observations, **changes), 201)


def everything(api: Api) -> Any:
    """All that a request could have changed."""
    tables = [list(table.objects.order_by("pk").values()) for table in (Descriptor, Cell, Database, Stream)]
    return tables, everything_else(api)
