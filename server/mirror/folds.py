"""Identity of what is mirrored: a model, and one fold of it. The same on every machine that has the log."""

import hashlib
from dataclasses import dataclass

from server.core.json_codec import dumps
from server.learning.models import Model


@dataclass(frozen=True)
class Fold:
    """One fold of a model. A rebuild, such as after a retraction, makes another one, which is mirrored into another run.

    Attributes
    ----------
    model
        The model, with its stream loaded.
    model_uid
        Identifies the model: 32 hexadecimal digits. A model that is created anew under the same name has another.
    uid
        Identifies the fold, likewise.
    """

    model: Model
    model_uid: str
    uid: str

    @classmethod
    def of(cls, model: Model) -> "Fold":
        """Return the fold that a model has now."""
        born = _born(model)
        return cls(model, _digest("model", *born), _digest("fold", *born, model.generation))

    @property
    def earlier(self) -> list[str]:
        """Identifiers of the model's earlier folds, the latest of them first."""
        return [_digest("fold", *_born(self.model), number) for number in range(self.model.generation - 1, 0, -1)]

    @property
    def started_ms(self) -> int:
        """When the model was created, in Unix milliseconds."""
        return int(self.model.created_at.timestamp() * 1000)


def _born(model: Model) -> tuple[str, ...]:
    return model.stream.name, model.stream.created_at.isoformat(), model.name, model.created_at.isoformat()


def _digest(*parts: object) -> str:
    return hashlib.sha256(dumps(parts)).hexdigest()[:32]
