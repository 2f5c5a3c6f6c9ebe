"""Where artifacts are, as MLflow's clients write it: ``mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH``.

Only places of this server are accepted. An address of another machine, a path of this one or a path that leads out of a run could
make a client or a server read what it must not (CVE-2026-2033 and its kin).
"""

import re
from typing import NamedTuple

from server.core.errors import Invalid
from server.core.validation import check_text, format_value
from server.tracking import artifacts
from server.tracking.models import LoggedModel, Run

SCHEME = "mlflow-artifacts:/"
LONGEST = 2_000

_OF_RUN = re.compile(r"(?P<experiment>[0-9]{1,18})/(?P<run>[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?\Z", re.DOTALL)
_OF_MODEL = re.compile(
    r"(?P<experiment>[0-9]{1,18})/models/(?P<model>m-[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?\Z", re.DOTALL
)
_RUNS = re.compile(r"runs:/(?P<run>[0-9a-f]{32})(?:/(?P<path>.*))?\Z", re.DOTALL)
_LOGGED_MODEL = re.compile(r"models:/(?P<model>m-[0-9a-f]{32})\Z")
_VERSION = re.compile(r"models:/(?P<name>[^/@:]+)/(?P<version>[0-9]{1,9})\Z")


class Place(NamedTuple):
    """A place of artifacts: of a run or of a logged model, and the path below it; "" for all of them.

    ``experiment`` is None if the place doesn't name one.
    """

    run: str
    model: str
    path: str
    experiment: int | None = None


def of_run(run: Run) -> str:
    """Return where the artifacts of a run are."""
    return f"{SCHEME}{run.experiment_id}/{run.uid}/artifacts"


def of_logged_model(model: LoggedModel) -> str:
    """Return where the files of a logged model are."""
    return f"{SCHEME}{model.experiment_id}/models/{model.uid}/artifacts"


def parse(path: str, field: str = "path") -> Place:
    """Return what a path below the root of all artifacts names.

    Raises
    ------
    Invalid
        If it is not a path of a run or a logged model of this server.
    """
    text = path.strip("/")
    for pattern in (_OF_RUN, _OF_MODEL):
        found = pattern.match(text)
        if found:
            below = found["path"] or ""
            if below:
                artifacts.check_path(below, field)
            groups = found.groupdict()
            return Place(groups.get("run") or "", groups.get("model") or "", below, int(found["experiment"]))
    raise Invalid(
        f"{field} is {format_value(path)}: expected EXPERIMENT/RUN/artifacts/… or EXPERIMENT/models/MODEL/artifacts/…, as "
        "artifact_uri of a run says",
        field=field,
    )


def check_source(source: str, field: str = "source") -> Place | tuple[str, int]:
    """Return where the files of a new version are: a place, or name and number of another version.

    Raises
    ------
    Invalid
        If they are not on this server.
    """
    check_text(source, field, LONGEST)
    if not any(sign in source for sign in "%?#\\"):
        version = _VERSION.match(source)
        if version:
            return version["name"], int(version["version"])
        model = _LOGGED_MODEL.match(source)
        if model:
            return Place("", model["model"], "")
        run = _RUNS.match(source)
        if run:
            return Place(run["run"], "", artifacts.check_path(run["path"], field) if run["path"] else "")
        if source.startswith(SCHEME) and not source.startswith(f"{SCHEME}/"):
            return parse(source.removeprefix(SCHEME), field)
    raise Invalid(
        f"Invalid model version source: {format_value(source)}. Expected files of this server: runs:/RUN/PATH, "
        f"models:/MODEL or {SCHEME}EXPERIMENT/RUN/artifacts/PATH. Other places, file paths, .. and encoded signs are refused",
        field=field,
    )


def check_location(location: str, field: str = "artifact_location") -> None:
    """Check the place that a client wants for the artifacts of an experiment: it can't choose one.

    Raises
    ------
    Invalid
        If it does.
    """
    if location:
        raise Invalid(
            f"{field} is {format_value(location)}: artifacts are kept by this server, so leave {field} out", field=field
        )
