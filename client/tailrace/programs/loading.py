"""Finds programs: by the entry point group ``tailrace.programs``, or by ``package.module:Class``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from typing import Any

from tailrace.programs.errors import ProgramUnavailable
from tailrace.programs.parameters import check_schema
from tailrace.programs.program import Program
from tailrace.programs.step import Site
from tailrace.similar_names import did_you_mean, join_names

__all__ = ["GROUP", "advertise", "installed_programs", "load_program"]

GROUP = "tailrace.programs"


def installed_programs() -> dict[str, str]:
    """Returns the name of each program that an installed distribution registers, and its ``package.module:Class``."""
    return {one.name: one.value for one in sorted(_entry_points(), key=lambda one: one.name)}


def load_program(name: str, site: Site, module: str = "") -> Program:
    """Returns a program, ready to be used at a site.

    Parameters
    ----------
    name
        Its name in the agent's file. Steps name it.
    site
        How the site runs it.
    module
        ``package.module:Class`` of a plug-in that no entry point registers. Empty: the entry point `name`.

    Raises
    ------
    ProgramUnavailable
        If there is no such plug-in, or it cannot be imported or set up.
    """
    if not module:
        known = installed_programs()
        if name not in known:
            raise ProgramUnavailable(
                f"there is no program {name!r}{did_you_mean(name, known)}: installed are {join_names(known)}. Install the "
                f"distribution that registers it in the entry point group {GROUP!r}, or set module = 'package.module:Class' "
                f"in [programs.{name}]"
            )
        module = known[name]
    kind = _import(name, module)
    try:
        program = kind(site)
    except ProgramUnavailable:
        raise
    except Exception as error:
        raise ProgramUnavailable(
            f"the program {name!r} ({module}) can't be set up with the options of [programs.{name}]: {error}"
        ) from error
    return program


def advertise(name: str, program: Program) -> dict[str, Any]:
    """Returns what an agent tells the server about a program: version, schema, analyses.

    Raises
    ------
    ProgramUnavailable
        If the program cannot run here, or its schema is not valid.
    """
    version = program.version()
    schema = program.schema()
    try:
        check_schema(schema)
    except ValueError as error:
        raise ProgramUnavailable(f"the program {name!r} has a schema that can't be used: {error}") from None
    analyses = [
        {"name": one.name, "title": one.title, "description": one.description, "requires": list(one.requires)}
        for one in program.analyses
    ]
    return {
        "name": name, "version": version, "title": program.title or name, "description": program.description,
        "schema": schema, "needs_structure": program.needs_structure, "analyses": analyses,
    }  # fmt: skip


def _import(name: str, module: str) -> type[Program]:
    where, _, attribute = module.partition(":")
    if not where or not attribute:
        raise ProgramUnavailable(f"module of the program {name!r} is {module!r}: expected 'package.module:Class'")
    try:
        kind = getattr(import_module(where), attribute)
    except ImportError as error:
        raise ProgramUnavailable(
            f"the program {name!r} ({module}) can't be imported: {error}. Install what is missing for {sys.executable}, or "
            "add its directory to PYTHONPATH"
        ) from error
    except Exception as error:
        raise ProgramUnavailable(f"the program {name!r} ({module}) can't be imported: {error}") from error
    if not isinstance(kind, type) or not issubclass(kind, Program):
        raise ProgramUnavailable(
            f"the program {name!r} ({module}) is not a class derived from tailrace.programs.Program"
        )
    return kind


def _entry_points() -> Iterable[metadata.EntryPoint]:
    if sys.version_info >= (3, 10):  # noqa: UP036 - the client runs on 3.9
        return metadata.entry_points(group=GROUP)
    return metadata.entry_points().get(GROUP, ())
