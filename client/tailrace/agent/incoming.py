"""Work that a server sends, checked before anything of it is used: a hostile server must not reach beyond the root."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tailrace.agent.root import check_step
from tailrace.agent.site_file import ProgramTable
from tailrace.errors import Unusable
from tailrace.similar_names import join_names

__all__ = ["RefusedWork", "check_work"]

MOST = 1_000_000
LONGEST = 400 * 24 * 3600


class RefusedWork(Unusable):
    """A step that can't be run here. It ends as failed, with this message."""


def check_work(work: Mapping[str, Any], programs: Mapping[str, ProgramTable]) -> None:
    """Raise an error unless a step can be run here.

    The step's identifier and fence were checked before (`tailrace.agent.root.check_step`). Its parameters are checked
    against the program's schema when it is prepared.

    Raises
    ------
    RefusedWork
        If the site does not name its program, or a field is missing or of another kind than expected.
    """
    try:
        json.dumps(work, allow_nan=False)
    except (ValueError, RecursionError):
        raise RefusedWork("the step holds a number that is not finite, or is nested too deeply") from None
    program = work.get("program")
    if not isinstance(program, str) or program not in programs:
        raise RefusedWork(
            f"the site's file names no program {str(program)[:100]!r}: it has {join_names(programs)}, and nothing else is run"
        )
    for name, kind in (("name", str), ("calculation", str), ("parameters", dict)):
        if not isinstance(work.get(name), kind):
            raise RefusedWork(f"{name} of the step is {str(work.get(name))[:100]!r}: expected a {kind.__name__}")
    if not isinstance(work.get("structure"), (str, type(None))):
        raise RefusedWork("the step's structure is not a text")
    if not _is_number(work.get("attempt"), MOST):
        raise RefusedWork(f"attempt of the step is {str(work.get('attempt'))[:100]!r}: expected a whole number from 1")
    for name in ("resources", "corrections"):
        if not isinstance(work.get(name), (dict, type(None))):
            raise RefusedWork(f"{name} of the step is {str(work.get(name))[:100]!r}: expected an object")
    for name, most in (("nodes", MOST), ("processes", MOST), ("seconds", LONGEST)):
        given = (work.get("resources") or {}).get(name)
        if given is not None and not _is_number(given, most):
            raise RefusedWork(f"resources.{name} is {str(given)[:100]!r}: expected a whole number from 1 to {most}")
    analyses = work.get("analyses") or []
    if not isinstance(analyses, list) or not all(isinstance(one, str) for one in analyses):
        raise RefusedWork(f"analyses of the step is {str(analyses)[:100]!r}: expected a list of names")
    _check_parents(work.get("parents") or [])


def _check_parents(parents: Any) -> None:
    if not isinstance(parents, list) or not all(isinstance(one, dict) for one in parents):
        raise RefusedWork(f"parents of the step is {str(parents)[:100]!r}: expected a list of objects")
    for one in parents:
        try:
            check_step(one.get("step"), one.get("fence"))
        except Unusable as error:
            raise RefusedWork(f"a parent: {error}") from None
        for name, kind in (("name", str), ("parameters", dict), ("results", dict)):
            if not isinstance(one.get(name), kind):
                raise RefusedWork(f"{name} of a parent is {str(one.get(name))[:100]!r}: expected a {kind.__name__}")


def _is_number(given: object, most: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= most
