"""`Campaign`: a handle on one campaign: its proposals, its decisions, and what they brought."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tailrace.display.progress_bar import ProgressBar
from tailrace.errors import TailraceError, Unusable
from tailrace.results.campaign_tables import (
    campaign_facts,
    decision_facts,
    decision_table,
    evaluation_facts,
    evaluation_table,
    history_table,
    run_table,
)
from tailrace.results.facts import Facts, Listing

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.handles.session import Session

__all__ = ["Campaign", "CampaignNeedsAPerson", "CampaignStillActive"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class CampaignNeedsAPerson(TailraceError):
    """A campaign waits for an approval, or is paused."""


class CampaignStillActive(TailraceError, TimeoutError):
    """A campaign has not ended after the time that the caller would wait."""


class Campaign:
    """A handle on one campaign. Creating it sends no request.

    Attributes
    ----------
    name
        Name of the campaign.
    """

    def __init__(self, session: Session, name: str) -> None:
        if not isinstance(name, str):
            raise Unusable(f"{name!r} is not the name of a campaign: expected text")
        self._session = session
        self.name = name

    def info(self) -> Facts:
        """Returns the server's description: state, targets, error and coverage by bond type, what was spent."""
        return campaign_facts(self._fetch())

    @property
    def state(self) -> str:
        """The state now: ``active``, ``paused``, ``stopped`` or ``finished``."""
        return str(self._fetch()["state"])

    @property
    def page_url(self) -> str:
        """Address of the campaign's page on the server."""
        return self._session.page("campaigns", self.name)

    @property
    def proposal(self) -> Facts | None:
        """The decision that waits for a person; None if there is none."""
        found = self._fetch()["proposal"]
        return None if found is None else decision_facts(self.name, found)

    def propose(self) -> Facts:
        """Decide now what to calculate next. Returns the decision; if one is open already, that one."""
        return decision_facts(self.name, self._post("propose"))

    def approve(
        self, picks: Iterable[int | Mapping[str, Any]] | None = None, *, comment: str = "", round: int | None = None
    ) -> Facts:
        """Approve a proposal, whole or in part. Needs the right to approve.

        Parameters
        ----------
        picks
            Numbers of the calculations to make, as the proposal shows them, or their descriptions, changed. None: all.
        comment
            For the audit trail and the campaign's page.
        round
            Number of the decision. None: the open one.

        Raises
        ------
        Refused
            If no proposal is open, or somebody has decided already. The message says who and when.
        """
        body: dict[str, Any] = {"comment": comment}
        if picks is not None:
            body["picks"] = [pick if isinstance(pick, int) else dict(pick) for pick in picks]
        return self._decide("approve", round, body)

    def reject(self, reason: str, *, round: int | None = None) -> Facts:
        """Reject a proposal, with a reason. Nothing of it is calculated."""
        return self._decide("reject", round, {"reason": reason})

    def pause(self, reason: str = "") -> Campaign:
        """Start nothing new until it is resumed. What runs goes on."""
        return self._do("pause", reason)

    def resume(self, reason: str = "") -> Campaign:
        """Go on after a pause."""
        return self._do("resume", reason)

    def stop(self, reason: str = "") -> Campaign:
        """End the campaign. What it learned stays."""
        return self._do("stop", reason)

    def decisions(self) -> Listing:
        """Returns all decisions, the oldest first, each with its reason and who approved it."""
        found = self._session.send("GET", self._path("decisions"))["decisions"]
        return Listing(found, decision_table(found, f"decisions of campaign {self.name}"))

    def decision(self, round: int) -> Facts:
        """Returns one decision, with the numbers that it was made from."""
        return decision_facts(self.name, self._session.send("GET", self._path("decisions", str(round))))

    def history(self) -> Listing:
        """Returns the rounds, the oldest first: action, cost, and the error of each bond type after it."""
        found = self._session.send("GET", self._path("history"))["rounds"]
        return Listing(found, history_table(found, f"history of campaign {self.name}"))

    def to_frame(self) -> DataFrame:
        """Returns the history as a pandas DataFrame with a row for each round and bond type.

        The columns ``rmse``, ``low`` and ``high`` are in the target's unit.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        from tailrace.optional_dependencies import require

        rows = [
            {**{name: value for name, value in one.items() if name != "types"}, **status}
            for one in self.history()
            for status in one["types"]
        ]
        return require("pandas").DataFrame(rows)

    def runs(self) -> Listing:
        """Returns the calculations of the campaign, with their stages, states and the cells that they gave."""
        found = self._session.send("GET", self._path("runs"))["runs"]
        return Listing(found, run_table(found, f"runs of campaign {self.name}"))

    def restart(self, run: int, stage: str | None = None) -> Campaign:
        """Run a failed run again.

        Parameters
        ----------
        run
            Number of the run.
        stage
            ``explore``, ``augment`` or ``label``: from this stage on. None: from the stage that failed.
        """
        body = {} if stage is None else {"stage": stage}
        self._session.send("POST", self._path("runs", str(run), "restart"), body)
        return self

    def evaluations(self) -> Listing:
        """Returns the evaluations that are kept, the newest first."""
        found = self._session.send("GET", self._path("evaluations"))["evaluations"]
        return Listing(found, evaluation_table(found, f"evaluations of campaign {self.name}"))

    def evaluate(self, kind: str, /, **options: Any) -> Facts:
        """Evaluate the campaign's model, and keep the result.

        Parameters
        ----------
        kind
            ``cross_validation``, ``single_cell``, ``across_compositions``, ``calibration``, ``coverage`` or
            ``learning_curve``. It is computed in the background: `evaluations` shows how far it is.
        options
            Options of that kind.
        """
        return evaluation_facts(self._session.send("POST", self._path("evaluations"), {"kind": kind, **options}))

    def wait(self, timeout: float | None = None) -> Campaign:
        """Wait until the campaign has ended. A terminal shows the calculations that are done.

        Parameters
        ----------
        timeout
            Seconds to wait at most. None: no limit.

        Raises
        ------
        CampaignNeedsAPerson
            If it is paused, or a proposal waits for approval.
        CampaignStillActive
            If it has not ended after `timeout` seconds. This is also a TimeoutError.
        """
        with closing(self._pauses(timeout)) as pauses:
            for pause in pauses:
                time.sleep(pause)
        return self

    def _pauses(self, timeout: float | None) -> Generator[float, None, None]:
        """Yields the seconds to wait before each next request; ends when the campaign has ended. Raises like `wait`."""
        ends = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        bar = ProgressBar(None)
        try:
            while True:
                data = self._fetch()
                bar.total = data["budget"].get("calculations")
                bar.show(data["used"]["calculations"])
                if data["state"] in ("finished", "stopped"):
                    return
                if data["state"] == "paused":
                    raise CampaignNeedsAPerson(f"campaign {self.name} is paused: {data['reason']}")
                if data["proposal"] is not None:
                    raise CampaignNeedsAPerson(
                        f"campaign {self.name}: round {data['proposal']['round']} waits for approval: "
                        "look at .proposal, then .approve() or .reject(reason)"
                    )
                if ends is not None and time.monotonic() + pause > ends:
                    raise CampaignStillActive(f"campaign {self.name} is still active, in round {data['round']}")
                yield pause
                pause = min(1.5 * pause, LONGEST_PAUSE)
        finally:
            bar.clear()

    def _decide(self, what: str, round: int | None, body: Mapping[str, Any]) -> Facts:
        if round is None:
            found = self._fetch()["proposal"]
            if found is None:
                raise Unusable(
                    f"no proposal of campaign {self.name} is open: .propose() makes one, .decisions() shows the past"
                )
            round = found["round"]
        path = self._path("decisions", str(round), what)
        return decision_facts(self.name, self._session.send("POST", path, body))

    def _do(self, what: str, reason: str) -> Campaign:
        self._post(what, {"reason": reason})
        return self

    def _post(self, what: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._session.send("POST", self._path(what), {} if body is None else body)
        return found

    def _fetch(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._session.send("GET", self._path())
        return found

    def _path(self, *parts: str) -> str:
        return self._session.path("campaigns", self.name, *parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Campaign, (self._session, self.name)

    def __repr__(self) -> str:
        return self._session.shown(self.info, f"campaign {self.name}")

    def _repr_html_(self) -> str:
        return self._session.shown_html(self.info, f"campaign {self.name}", self.page_url)
