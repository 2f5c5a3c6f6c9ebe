"""Observations in a file, for `tailrace post --file`: CSV with a line of names, or one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tailrace.bulk import Cells
from tailrace.cli.points import rows_in
from tailrace.errors import Unusable
from tailrace.exported import features_of, is_exported
from tailrace.written import Given

__all__ = ["observations_in"]


def observations_in(name: str, target: str, key: str | None) -> Iterator[Cells]:
    """What each holds; what an export marks as retracted is left out.

    Features, and a target, that were read from text keep it (`tailrace.written.Given`).

    Parameters
    ----------
    target, key
        Names of the column (or member) with the target and, if there is one, with the key. In an exported log they are
        known.

    Raises
    ------
    Unusable
        If the file can't be read, or a line has no target; the message names the line.
    """
    for number, row in rows_in(name):
        place = f"{name}, line {number}"
        texts: Mapping[str, str] = getattr(row, "written", {})
        if is_exported(row) or isinstance(row.get("x"), dict):
            x, of_y, of_key = features_of(row) if is_exported(row) else row["x"], "y", "key"
        else:
            x = Given({feature: value for feature, value in row.items() if feature not in (target, key)})
            x.written = {feature: text for feature, text in texts.items() if feature in x}
            of_y, of_key = target, key or ""
        y, own = row.get(of_y), texts.get(of_key, row.get(of_key))
        if row.get("retracted") and (is_exported(row) or isinstance(row.get("x"), dict)):
            continue
        if y is None:
            raise Unusable(f"{place}: it has no {target!r}, which is the target: name its column by --y")
        yield Cells(place, x, y, own, texts.get(of_y))
