"""Versions of a mirrored model in MLflow's registry: found by their tags, created once, ``live`` on the newest, tagged when stale."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.errors import Refused
from tailrace.tracking.senders.mlflow_requests import error_code

from server.core.errors import Conflict
from server.learning.models import Model
from server.mirror.targets import Requests
from server.streams.models import Retraction

ALIAS = "live"
STALE = "tailrace.stale"
PAGE = 200
MOST_REASON = 300


@dataclass(frozen=True)
class Version:
    """A version at the target.

    Attributes
    ----------
    number
        Its number, as text, as MLflow has it.
    tags
        Its tags.
    """

    number: str
    tags: Mapping[str, str]

    @property
    def at(self) -> int:
        """The last observation that it has learned."""
        return self._whole("tailrace.at")

    @property
    def retraction(self) -> int:
        """ID of the last retraction that it leaves out."""
        return self._whole("tailrace.retraction")

    def _whole(self, tag: str) -> int:
        text = self.tags.get(tag, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


class Registry:
    """The versions of one model at one target.

    Parameters
    ----------
    requests
        To the target.
    name
        Name of the registered model.
    model_uid
        Identifies the model (:class:`server.mirror.folds.Fold`).
    """

    TAG = "tailrace.model_uid"

    def __init__(self, requests: Requests, name: str, model_uid: str) -> None:
        self._requests = requests
        self.name = name
        self._model_uid = model_uid

    def claim(self, description: str) -> None:
        """Create the registered model, or check that it is this model's.

        Raises
        ------
        Conflict
            If another one has the name.
        """
        body = {"name": self.name, "description": description, "tags": _pairs({self.TAG: self._model_uid})}
        try:
            self._requests.post("registered-models/create", body)
            return
        except Refused as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self._requests.get("registered-models/get", name=self.name).get("registered_model", {})
        tags = {one.get("key"): one.get("value") for one in found.get("tags", ())}
        if tags.get(self.TAG) != self._model_uid:
            raise Conflict(
                f"{self._requests.backend.address} has a registered model {self.name} already that is not a mirror of this model: "
                "choose other names with --prefix"
            )

    def versions(self) -> list[Version]:
        """Return the versions that are mirrored from this model, in the order in which they were made."""
        found, page = [], ""
        while True:
            more = {"page_token": page} if page else {}
            answer = self._requests.get("model-versions/search", filter=f"name='{self.name}'", max_results=PAGE, **more)
            for one in answer.get("model_versions", ()):
                tags = {str(tag["key"]): str(tag.get("value", "")) for tag in one.get("tags", ())}
                if tags.get(self.TAG) == self._model_uid:
                    found.append(Version(str(one["version"]), tags))
            page = answer.get("next_page_token", "")
            if not page:
                return sorted(found, key=lambda one: int(one.number))

    def add(
        self,
        files: Mapping[str, bytes],
        tags: Mapping[str, str],
        *,
        state: Mapping[str, Any],
        path: str,
        description: str,
    ) -> str:
        """Upload the files of a version and create it. Return its number.

        Parameters
        ----------
        files
            Content by path.
        tags
            Tags of the version.
        state
            What the sender keeps of the run: ``run_id`` and ``artifact_uri``.
        path
            Folder among the artifacts of the run.
        """
        root = str(state["artifact_uri"])
        with tempfile.TemporaryDirectory(prefix="tailrace-mirror-") as folder:
            source = Path(folder) / "file"
            for name, content in files.items():
                source.write_bytes(content)
                self._requests.put_artifact(root, f"{path}/{name}", str(source), len(content))
        body = {
            "name": self.name,
            "source": f"{root.rstrip('/')}/{path}",
            "run_id": state["run_id"],
            "description": description,
            "tags": _pairs({**tags, self.TAG: self._model_uid}),
        }
        return str(self._requests.post("model-versions/create", body)["model_version"]["version"])

    def make_live(self, number: str) -> None:
        """Let the alias ``live`` name a version."""
        self._requests.post("registered-models/alias", {"name": self.name, "alias": ALIAS, "version": number})

    def mark_stale(self, version: Version, why: str) -> None:
        """Tag a version that is built on what was retracted."""
        body = {"name": self.name, "version": version.number, "key": STALE, "value": why}
        self._requests.post("model-versions/set-tag", body)


def why_stale(model: Model, at: int, retraction: int) -> str:
    """Return why a state of a model is stale: which of its observations were retracted after it was made; empty if none was.

    Parameters
    ----------
    at
        The last observation that it has learned.
    retraction
        ID of the last retraction that it leaves out.
    """
    later = Retraction.objects.filter(
        stream_id=model.stream_id, pk__gt=retraction, seq__gt=model.since, seq__lte=at
    ).order_by("pk")
    count = later.count()
    if not count:
        return ""
    first = later[0]
    more = f", and {count - 1} more" if count > 1 else ""
    reason = " ".join(first.reason.split())[:MOST_REASON]
    return f"observation {first.seq} was retracted{f' ({reason})' if reason else ''}{more}"


def newest_retraction(stream_id: int) -> int:
    """Return the ID of a stream's last retraction; 0 if there is none."""
    return Retraction.objects.filter(stream_id=stream_id).order_by("-pk").values_list("pk", flat=True).first() or 0


def version_uuid(fold_uid: str, at: int) -> str:
    """Return the identifier of a version: 32 hexadecimal digits."""
    return hashlib.sha256(f"{fold_uid}:{at}".encode()).hexdigest()[:32]


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
