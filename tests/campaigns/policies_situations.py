"""Situations that Hypothesis makes for tests of policies, and a small one to start from."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from server.campaigns.policies.situation import (
    ACTIONS,
    CandidateCell,
    PastRound,
    Situation,
    Thresholds,
    TypeStatus,
)

TYPES = ("Cu-Cu", "Zr-Cu", "Zr-Zr")
COMPOSITIONS = ("Cu50Zr50", "Cu64Zr36", "Zr49Cu49Al2")
energies = st.floats(1e-3, 2.0)
shares = st.floats(0.0, 1.0)


@st.composite
def statuses(draw: Any, kind: str, composition: str) -> TypeStatus:
    rmse = draw(st.none() | energies)
    low, high = (None, None) if rmse is None or draw(st.booleans()) else (rmse * 0.8, rmse * 1.3)
    return TypeStatus(
        kind, composition, draw(energies), draw(st.integers(0, 6)), draw(st.integers(0, 500)), rmse, low, high,
        draw(st.none() | shares), draw(st.none() | energies),
    )  # fmt: skip


@st.composite
def candidates(draw: Any, number: int) -> CandidateCell:
    kind = draw(st.sampled_from(("explore", "augment", "label")))
    composition = draw(st.sampled_from(COMPOSITIONS))
    return CandidateCell(
        kind,
        f"{composition}-{number}",
        composition,
        None if kind == "explore" else f"{composition}-{draw(st.integers(1, 3))}",
        draw(st.integers(1, 14)) if kind == "augment" else None,
        draw(st.none() | energies),
        draw(st.none() | shares),
        draw(st.floats(0.0, 2.0)),
        draw(st.dictionaries(st.sampled_from(TYPES), energies)),
    )


@st.composite
def situations(draw: Any) -> Situation:
    compositions = draw(st.lists(st.sampled_from(COMPOSITIONS), unique=True))
    types = [draw(statuses(kind, one)) for one in compositions for kind in draw(st.sets(st.sampled_from(TYPES)))]
    cells = [draw(candidates(number)) for number in range(draw(st.integers(0, 10)))]
    history = [
        PastRound(
            number, draw(st.sampled_from(ACTIONS[:3])), 4, draw(st.integers(0, 4)), 1.0,
            draw(st.dictionaries(st.sampled_from(TYPES), st.none() | energies)),
        )
        for number in range(1, draw(st.integers(1, 6)))
    ]  # fmt: skip
    made = Situation(
        "cu-zr", len(history) + 1, draw(st.integers(0, 9)), 100, 0, tuple(types),
        tuple(draw(st.sets(st.sampled_from(COMPOSITIONS)))), tuple(compositions), tuple(cells), tuple(history),
        draw(st.none() | st.integers(0, 12)), draw(st.none() | st.floats(0.0, 5.0)), draw(st.integers(0, 12)),
        draw(st.floats(0.0, 5.0)), draw(st.none() | shares), Thresholds(batch=draw(st.integers(1, 5))),
        tuple(draw(st.sets(st.sampled_from([one.name for one in cells])) if cells else st.just(()))),
    )  # fmt: skip
    return Situation.from_json(made.to_json())


def status(kind: str = "Zr-Zr", composition: str = "Cu50Zr50", **changes: Any) -> TypeStatus:
    """A type whose error is high and whose environments are covered, unless something else is said."""
    return replace(TypeStatus(kind, composition, 0.1, 4, 800, 0.2, 0.15, 0.25, 0.95, 1.1), **changes)


def good(kind: str = "Zr-Zr", composition: str = "Cu50Zr50") -> TypeStatus:
    return status(kind, composition, rmse=0.05, low=0.04, high=0.06)


def unknown(kind: str = "Zr-Zr", composition: str = "Cu50Zr50", **changes: Any) -> TypeStatus:
    return status(kind, composition, **{"low": 0.08, "high": 0.25, **changes})


def cell(kind: Any, name: str, **changes: Any) -> CandidateCell:
    composition = name.split("-")[0]
    return replace(CandidateCell(kind, name, composition, cost=0.1), **changes)


def strain(family: str, deformation: int, sigma: float | None = None) -> CandidateCell:
    name = f"{family[:-3]}-{deformation:02d}"
    return cell("augment", name, family=family, deformation=deformation, sigma=sigma)


EVERY_ROW = (
    cell("explore", "Cu50Zr50-8-00"), cell("explore", "Cu64Zr36-1-00"),
    strain("Cu50Zr50-1-00", 1, 0.1), strain("Cu50Zr50-1-00", 8, 0.3),
)  # fmt: skip


def situation(*types: TypeStatus, **changes: Any) -> Situation:
    """A campaign of two compositions of which one was learned, with candidates of every row."""
    start = Situation(
        "cu-zr", 3, 1, 800, 0, types, ("Cu50Zr50",), ("Cu50Zr50", "Cu64Zr36"), EVERY_ROW, thresholds=Thresholds(batch=2)
    )
    return replace(start, **changes)


def rounds(*past: tuple[Any, float]) -> tuple[PastRound, ...]:
    """Rounds that ended: action and RMSE of Zr-Zr after each."""
    return tuple(
        PastRound(number, action, 2, 0, 0.2, {"Zr-Zr": rmse}) for number, (action, rmse) in enumerate(past, start=1)
    )
