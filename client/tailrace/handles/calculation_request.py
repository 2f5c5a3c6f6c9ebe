"""Bodies of requests that submit calculations, and structures as text."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from tailrace.errors import Unusable
from tailrace.observations.json_values import json_value

__all__ = ["calculation_body", "structure_fields"]

FORMATS = {".cif": "cif", ".vasp": "vasp", ".poscar": "vasp", ".xyz": "extxyz", ".extxyz": "extxyz"}
LARGEST = 64 << 20


def calculation_body(program: str, structure: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of a request that submits a calculation. Options that are None are left out.

    Raises
    ------
    Unusable
        If the structure or a scan cannot be sent.
    """
    body = {name: value for name, value in options.items() if value is not None and name not in ("scan", "chained")}
    body.update(program=program, **structure_fields(structure))
    body.setdefault("name", program)
    body.setdefault("key", uuid.uuid4().hex)  # so that a request that is sent again submits nothing twice
    body["parameters"] = {name: _plain(value, name) for name, value in dict(options.get("parameters") or {}).items()}
    scan = options.get("scan")
    if scan is not None:
        if not isinstance(scan, Mapping) or len(scan) != 1:
            raise Unusable(f"scan is {scan!r}: expected one parameter with its values, such as {{'field': [0, 0.1]}}")
        ((parameter, values),) = scan.items()
        values = [_plain(value, f"scan.{parameter}") for value in values]
        body["scan"] = {"parameter": parameter, "values": values, "chained": bool(options.get("chained"))}
    return body


def structure_fields(structure: Any) -> dict[str, str]:
    """Returns the fields of a structure: ASE's ``Atoms``, a path, a text, or the name of a structure on the server.

    Raises
    ------
    Unusable
        If it is none of these, or its file can't be read.
    """
    if structure is None:
        return {}
    if hasattr(structure, "get_chemical_symbols"):
        from ase.io import write  # who has Atoms has ASE

        text = StringIO()
        write(text, structure, format="extxyz")
        return {"structure_content": text.getvalue(), "structure_format": "extxyz"}
    if isinstance(structure, str) and "\n" in structure:
        return {"structure_content": structure, "structure_format": "extxyz"}
    if not isinstance(structure, (str, os.PathLike)):
        raise Unusable(f"structure is a {type(structure).__name__}: expected Atoms of ASE, a file, a text or a name")
    path = Path(structure)
    if isinstance(structure, str) and not path.exists():
        if path.suffix or "/" in structure:
            raise Unusable(f"there is no file {structure} with a structure")
        return {"structure": structure}
    return {"structure_content": _content(path), "structure_format": _format(path)}


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise Unusable(f"{path} has more than {LARGEST >> 20} MB: expected the file of one structure")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None


def _format(path: Path) -> str:
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return "vasp"
    if path.suffix.lower() not in FORMATS:
        raise Unusable(f"the format of {path} is not known by its name: expected {', '.join(FORMATS)} or POSCAR")
    return FORMATS[path.suffix.lower()]


def _plain(value: Any, name: str) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()  # NumPy's
    if isinstance(value, (list, tuple)):
        return [_plain(one, name) for one in value]
    return json_value(value, name)
