"""Trained models as files."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, is_dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["serialized"]


def serialized(model: Any, facts: Mapping[str, Any], directory: str) -> list[tuple[str, str]]:
    """Write a model into a directory.

    Returns
    -------
    The files, each with its name among the model's artifacts.

    Raises
    ------
    Exception
        If the model cannot be written.
    """
    os.makedirs(directory, exist_ok=True)
    mark = os.urandom(8).hex()
    name, how = _write(model, os.path.join(directory, mark))
    about = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "file": name,
        "format": how,
        "python": ".".join(map(str, sys.version_info[:3])),
        **{key: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value for key, value in facts.items()},
    }  # fmt: skip
    about_path = os.path.join(directory, f"{mark}-model.json")
    with open(about_path, "w", encoding="utf-8") as file:
        json.dump(about, file, default=str)
    return [(os.path.join(directory, f"{mark}-{name}"), name), (about_path, "model.json")]


def _write(model: Any, stem: str) -> tuple[str, str]:
    """Write a model to ``STEM-NAME``. Returns the name and the format."""
    if isinstance(model, (bytes, bytearray)):
        with open(f"{stem}-model.bin", "wb") as file:
            file.write(model)
        return "model.bin", "bytes"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        torch.save(model.state_dict(), f"{stem}-model.pt")
        return "model.pt", f"state of a module, torch {torch.__version__}"
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        arrays = {"array": model} if isinstance(model, numpy.ndarray) else model
        if isinstance(arrays, dict) and arrays and all(isinstance(one, numpy.ndarray) for one in arrays.values()):
            with open(f"{stem}-model.npz", "wb") as file:
                numpy.savez(file, **{str(key): value for key, value in arrays.items()})
            return "model.npz", f"arrays, numpy {numpy.__version__}"
    import pickle

    with open(f"{stem}-model.pkl", "wb") as file:
        pickle.dump(model, file, protocol=4)
    return "model.pkl", "pickle, protocol 4"
