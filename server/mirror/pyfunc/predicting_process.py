"""``python loader.zip MODEL ABOUT``: reads points from standard input, a line of JSON at a time, and writes predictions.

It is ``__main__.py`` of the ``loader.zip`` of a mirrored model. The other files there are those of the server that wrote the model.
"""

import hashlib
import json
import os
import sys
from typing import Any, TextIO

OLDEST = (3, 11)


def main() -> None:
    """Load the model, and answer until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what an estimator prints is no answer
    with open(sys.argv[2], encoding="utf-8") as file:
        about = json.load(file)
    try:
        estimator, warnings = _load(sys.argv[1], about)
    except Exception as error:
        _tell(out, {"error": str(error), "kind": "RuntimeError"})
        return
    _tell(out, {"warnings": warnings})
    for line in sys.stdin:
        _tell(out, _answer(estimator, about, json.loads(line)["points"]))


def _tell(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def _load(path: str, about: dict[str, Any]) -> tuple[Any, list[str]]:
    wanted = " ".join(f"'{name}=={version}'" for name, version in about["requires"].items())
    install = f"install what the model was made with: pip install {wanted}"
    if sys.version_info < OLDEST:
        raise RuntimeError(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}, and the model needs Python 3.11 or later, best {about['python']}"
        )
    try:
        from tailrace.estimators import arithmetic

        from server.learning.pickles import loader  # pins the arithmetic first
    except ModuleNotFoundError as error:
        raise RuntimeError(f"the package {error.name} is not installed for {sys.executable}: {install}") from error
    warnings = [
        f"{name} is {found or 'not installed'} here, and the model was made with {version}: predictions may differ in the last bits, "
        f"or not be possible. To be sure, {install}"
        for name, version in about["requires"].items()
        if (found := _version(name)) != version
    ]
    if arithmetic.architecture() != about["architecture"] or arithmetic.lacking():
        warnings.append(
            f"the model was made on {about['architecture']}, and this machine is another: predictions may differ in the last bits"
        )
    with open(path, "rb") as file:
        header, rest = json.loads(file.readline()), file.read()
    state = loader.load_state(_part(header, rest), trusted_modules=tuple(about["trusted"]))
    return state["estimator"], warnings


def _part(header: dict[str, Any], rest: bytes) -> bytes:
    """Return the state in a frozen copy (:mod:`server.learning.frozen_copies`)."""
    offset = 0
    for part, length, digest in header["parts"]:
        if part == "state":
            found = rest[offset : offset + length]
            if hashlib.sha256(found).hexdigest() == digest:
                return found
        offset += length
    raise RuntimeError("model.tailrace is truncated or changed: download the version again")


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    if name == "tailrace":
        from tailrace.version import __version__

        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _answer(estimator: Any, about: dict[str, Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    import copy

    from server.learning.river_adapters import determinism
    from server.learning.river_adapters.plain_predictions import plain
    from server.learning.river_adapters.predicting import predictor_of

    changes_state = determinism.predicting_changes_state(estimator)
    predict = predictor_of(estimator, about["predicts"])
    found = []
    for number, x in enumerate(points):
        try:
            own = predictor_of(copy.deepcopy(estimator), about["predicts"]) if changes_state else predict
            assert own is not None
            found.append(plain(own(dict(x))))
        except Exception as error:  # whatever an estimator may raise
            return {
                "error": f"the model can't predict point {number}: {type(error).__name__}: {error}",
                "kind": "ValueError",
            }
    return {"predictions": found}


if __name__ == "__main__":
    main()
