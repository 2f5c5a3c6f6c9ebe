"""Quotas: how much each user may keep on the server, and how much of it by one token.

What a user creates counts for them until it is deleted, whoever uses it. With ``AUTH=open`` there are no quotas.
"""

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from server.config import PREFIX
from server.core.errors import Forbidden

STREAMS, MODELS, CELLS = "streams", "models", "cells"
ARTIFACT_BYTES, PREDICTION_BYTES, CELL_BYTES = "artifact_bytes", "prediction_bytes", "cell_bytes"
RUN_ARTIFACT_BYTES = "run_artifact_bytes"
RUNS, METRIC_POINTS = "runs", "metric_points"

OK, NEAR, REACHED = 0, 1, 2
STATES = ("ok", "near", "reached")
NEAR_SHARE = 0.8
"""Share of a limit from which the owner is warned."""

MB = 2**20


@dataclass(frozen=True)
class Quota:
    """A limited resource.

    Attributes
    ----------
    name
        Name in the API, the metrics and the database.
    setting
        Name of the setting with the limit, without its prefix.
    things
        What is counted, as messages name it.
    remedy
        What its owner can do when the limit is reached.
    """

    name: str
    setting: str
    things: str
    remedy: str = ""

    @property
    def is_of_bytes(self) -> bool:
        return self.name.endswith("_bytes")

    @property
    def title(self) -> str:
        """Name on the pages."""
        return f"{self.things[0].upper()}{self.things[1:]}{', MB' if self.is_of_bytes else ''}"

    @property
    def advice(self) -> str:
        """The remedy, with a capital letter."""
        return self.remedy[:1].upper() + self.remedy[1:]

    @property
    def variable(self) -> str:
        """Name of the environment variable with the limit."""
        return f"{PREFIX}{self.setting.upper()}"

    def limit(self, token_id: int = 0) -> int | None:
        """Return the limit of a user (0) or of one of their tokens; None for no limit, or no separate limit of a token."""
        config = settings.TAILRACE
        most: int = getattr(config, self.setting) * (MB if self.is_of_bytes else 1)
        if token_id:
            share: int = config.quota_token_percent
            most = -(-most * share // 100) if share < 100 else 0
        return most or None

    def shown(self, amount: int) -> str:
        """Return an amount as text."""
        return f"{amount / MB:,.1f} MB" if self.is_of_bytes else f"{amount:,}"


REMOVED_LATER = f"delete runs: {{}} count until they are removed for good, {PREFIX}RUN_RETENTION_DAYS later"

QUOTAS = {
    quota.name: quota
    for quota in (
        Quota(STREAMS, "quota_streams", "streams", "delete streams"),
        Quota(MODELS, "quota_models", "models", "delete models"),
        Quota(ARTIFACT_BYTES, "quota_artifact_mb", "initial estimators", "delete models"),
        Quota(
            PREDICTION_BYTES,
            "quota_prediction_mb",
            "predictions kept for their labels",
            'predict without an identifier (riverapi: "identifier": false), delete models, or wait: a prediction is '
            f"deleted twice {PREFIX}IDENTIFIER_DAYS after it was made",
        ),
        Quota(CELLS, "quota_cells", "cells"),
        Quota(CELL_BYTES, "quota_cell_mb", "cells"),
        Quota(RUNS, "quota_runs", "runs", REMOVED_LATER.format("they")),
        Quota(METRIC_POINTS, "quota_metric_points", "points of runs", REMOVED_LATER.format("their points")),
        Quota(
            RUN_ARTIFACT_BYTES,
            "quota_run_artifact_mb",
            "artifacts of runs",
            REMOVED_LATER.format("their artifacts"),
        ),
    )
}
"""All quotas by name, in display order."""


@dataclass(frozen=True)
class Use:
    """Usage of a quota by a user, or by one of their tokens (0: by the user)."""

    quota: Quota
    user_id: int
    token_id: int
    used: int
    told: int = OK

    @property
    def limit(self) -> int | None:
        return self.quota.limit(self.token_id)

    @property
    def share(self) -> float | None:
        """Used share of the limit; above 1 if the limit was lowered. None without a limit."""
        return None if self.limit is None else self.used / self.limit

    @property
    def state(self) -> int:
        """``OK``, ``NEAR`` or ``REACHED``. It stays ``REACHED`` after a refusal until the usage is below ``NEAR`` again."""
        if self.share is None or self.share < NEAR_SHARE:
            return OK
        return REACHED if self.share >= 1 or self.told == REACHED else NEAR

    @property
    def word(self) -> str:
        """Name of the state in the API and on the pages."""
        return STATES[self.state]

    @property
    def percent(self) -> str:
        """The share as text; empty without a limit."""
        return "" if self.share is None else f"{100 * self.share:.0f} %"

    @property
    def meter(self) -> int:
        """The share in percent, at most 100."""
        return min(100, round(100 * (self.share or 0)))

    @property
    def shown_used(self) -> str:
        return self.quota.shown(self.used)

    @property
    def shown_limit(self) -> str:
        return "no limit" if self.limit is None else self.quota.shown(self.limit)

    def described(self) -> dict[str, Any]:
        """Return the usage as the API shows it."""
        return {
            "name": self.quota.name,
            "of": "token" if self.token_id else "user",
            "used": self.used,
            "limit": self.limit,
            "share": self.share,
            "state": self.word,
        }

    def sentence(self, username: str) -> str:
        """Return the usage as a sentence, for messages and logs."""
        whose = f"token {self.token_id} of user {username}" if self.token_id else f"user {username}"
        share = f" ({self.percent})" if self.percent else ""
        return f"{whose} uses {self.shown_used} of {self.shown_limit}{share} for {self.quota.things}"


@dataclass(slots=True)
class Owner:
    """The user and token whose quotas a request uses.

    Attributes
    ----------
    user_id, username, token_id
        The caller; token 0: a person who signed in.
    warnings
        Quotas that are near their limit or have reached it. Filled in while objects are created.
    """

    user_id: int
    username: str
    token_id: int = 0
    warnings: list[Use] = field(default_factory=list)

    @property
    def keys(self) -> tuple[int, ...]:
        """Token numbers that it counts for, where 0 is the user."""
        return (0, self.token_id) if self.token_id else (0,)


class QuotaExceeded(Forbidden):
    """The request exceeds a quota of the caller. It fails until something is deleted or the limit is raised."""

    code = "quota_exceeded"

    def __init__(self, use: Use, username: str, amount: int) -> None:
        self.use, self.username = use, username
        quota, limit = use.quota, use.limit
        assert limit is not None
        names = quota.variable
        remedy = f"{quota.remedy}, or " if quota.remedy else ""
        if use.token_id:
            names = f"{PREFIX}QUOTA_TOKEN_PERCENT or {names}"
            remedy += "use another token, or "
        super().__init__(
            f"this would exceed the quota {quota.name}: {use.sentence(username)}, and this needs {quota.shown(amount)} more; "
            f"{remedy}ask an admin to raise {names}"
        )
