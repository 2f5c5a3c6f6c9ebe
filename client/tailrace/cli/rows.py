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
        place, y_text = f"{name}, line {number}", None
        texts: Mapping[str, str] = getattr(row, "written", {})
        if is_exported(row):
            x, y, own = features_of(row), row.get("y"), row.get("key")
        elif isinstance(row.get("x"), dict):
            x, y, own = row["x"], row.get("y"), row.get("key")
        else:
            x = Given({feature: value for feature, value in row.items() if feature not in (target, key)})
            x.written = {feature: text for feature, text in texts.items() if feature in x}
            y, own = row.get(target), None if key is None else row.get(key)
            y_text = texts.get(target)
            own = texts.get(key, own) if key is not None else None
        if row.get("retracted") and (is_exported(row) or isinstance(row.get("x"), dict)):
            continue
        if y is None:
            raise Unusable(f"{place}: it has no {target!r}, which is the target: name its column by --y")
        yield Cells(place, x, y, own, y_text)
