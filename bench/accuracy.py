"""How accurate the recipes are on real LAMMPS run times, point by point in the order of the file.

Run with ``python -m bench.accuracy``. The data are not part of the repository; see ``DATA``.
"""

import csv
import math
from pathlib import Path
from typing import Any

from server.learning.recipes import catalog

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "lammps_hns_timings.csv"
SKIP = 50
LEVELS = (0.80, 0.90, 0.95)

Runs = list[tuple[dict[str, float], float]]


def read(path: Path = DATA) -> Runs:
    """Return the runs: features ``x, y, z`` (replication counts) and the wall time in seconds."""
    with path.open(newline="", encoding="utf-8") as file:
        return [({name: int(row[name]) for name in "xyz"}, float(row["wall_seconds"])) for row in csv.DictReader(file)]


def replay(recipe: str, runs: Runs, skip: int = SKIP) -> tuple[float, dict[float, float], float]:
    """Predict, then learn, each run in order, and score those after the first ``skip``.

    Returns
    -------
    rmse, coverage, requested
        Prequential RMSE in seconds; by level, the share of runs that ended within the upper bound; and the mean
        upper bound at the highest level by the mean time. The last two are nan for a recipe without quantiles.
    """
    _, model, _ = catalog.build(recipe)
    quantile = getattr(model, "predict_quantile_one", None)
    squares = actual = requested = 0.0
    within = dict.fromkeys(LEVELS, 0)
    for number, (x, y) in enumerate(runs):
        if number >= skip:
            squares += (model.predict_one(x) - y) ** 2
            actual += y
            if quantile is not None:
                bounds = {level: quantile(x, level) for level in LEVELS}
                for level, bound in bounds.items():
                    within[level] += y <= bound
                requested += bounds[LEVELS[-1]]
        else:
            model.predict_one(x)
        model.learn_one(x, y)
    scored = len(runs) - skip
    if quantile is None:
        return math.sqrt(squares / scored), dict.fromkeys(LEVELS, math.nan), math.nan
    coverage = {level: count / scored for level, count in within.items()}
    return math.sqrt(squares / scored), coverage, requested / actual


def rows(path: Path = DATA) -> list[dict[str, Any]]:
    """Return one row a figure: ``name``, ``value``, ``unit``, ``target`` (None where it only compares) and ``ok``.

    Raises
    ------
    FileNotFoundError
        If the data are not there.
    """
    runs = read(path)
    rmse, coverage, requested = replay("runtime", runs)
    table: list[dict[str, Any]] = [_row("RMSE runtime", rmse, "s", "≤ 2.0", rmse <= 2.0)]
    table += [
        _row(f"RMSE {name}", replay(name, runs)[0], "s", None, True)
        for name in ("linear", "bayesian", "passive-aggressive", "mean")
    ]
    for level, share in coverage.items():
        target = f"{100 * level:.0f} ± 5"
        table.append(
            _row(f"{100 * level:.0f} % upper bound holds", 100 * share, "%", target, abs(share - level) <= 0.05)
        )
    table.append(_row("requested by actual time at 95 %", requested, "×", "≤ 1.35", requested <= 1.35))
    return table


def _row(name: str, value: float, unit: str, target: str | None, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "ok": ok}


def main() -> int:
    """Print the table; return 1 if a figure misses its target, 2 if there are no data."""
    if not DATA.exists():
        print(f"No data: {DATA.name} is expected in ../shared/data beside the repository.")
        return 2
    table = rows()
    print(f"Run times of LAMMPS, prequential, after the first {SKIP} points")
    for row in table:
        verdict = "" if row["target"] is None else f"{row['target']:>8}  {'ok' if row['ok'] else 'MISSED'}"
        print(f"{row['name']:36s} {row['value']:8.3f} {row['unit']:2s} {verdict}")
    return 0 if all(row["ok"] for row in table) else 1


if __name__ == "__main__":
    raise SystemExit(main())
