"""`CampaignStageSensor`: waits until a stage of a campaign has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException
from tailrace import Client
from tailrace.errors import Unreachable

from tailrace_airflow.connection import DEFAULT, client

__all__ = ["CampaignStageSensor"]

ENDED = ("DONE", "FAILED")
MOST_FAILED = 0.3


class CampaignStageSensor(BaseSensorOperator):
    """Waits for what :class:`CampaignStageOperator` started: until each run of the round is learned or failed, or the evaluation done.

    A server that can't be reached is asked again. The XCom is, for a round, how many runs are done and failed, and the cells;
    for an evaluation, its result.

    Parameters
    ----------
    campaign
        Name of the campaign.
    started
        What the operator returned, such as ``operator.output``.
    most_failed
        Share of failed runs above which the task fails.
    conn_id
        As that of the operator.

    Raises
    ------
    AirflowFailException
        If too many runs failed, or the evaluation did. The message has their reasons.
    """

    template_fields: Sequence[str] = ("campaign", "started")

    def __init__(
        self, *, campaign: str, started: Any, most_failed: float = MOST_FAILED, conn_id: str = DEFAULT,
        mode: str = "reschedule", poke_interval: float = 30.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(mode=mode, poke_interval=poke_interval, **kwargs)
        self.campaign, self.started, self.most_failed, self.conn_id = campaign, started, most_failed, conn_id

    def poke(self, context: Any) -> PokeReturnValue | bool:
        """Return whether it has ended. Airflow calls it."""
        started = self.started
        if not isinstance(started, Mapping) or not {"round", "evaluation"} & set(started):
            raise ValueError(f"started is {started!r}: expected what CampaignStageOperator returned")
        server = client(self.conn_id)
        try:
            if "evaluation" in started:
                return self._evaluation(server, int(started["evaluation"]))
            return self._round(server, int(started["round"]))
        except Unreachable as error:
            self.log.warning("asked again later: %s", error)
            return False

    def _round(self, server: Client, number: int) -> PokeReturnValue | bool:
        runs = [one for one in server.campaign(self.campaign).runs() if one["round"] == number]
        if not runs:
            raise AirflowFailException(f"round {number} of campaign {self.campaign} has no runs: was it approved?")
        for one in runs:
            self.log.info("run %s, %s: %s %s", one["number"], one["cell"], one["state"], one["reason"])
        if any(one["state"] not in ENDED for one in runs):
            return False
        failed = [one for one in runs if one["state"] == "FAILED"]
        if len(failed) > self.most_failed * len(runs):
            reasons = "; ".join(f"{one['cell']}: {one['reason']}" for one in failed[:5])
            raise AirflowFailException(f"{len(failed)} of {len(runs)} runs of round {number} failed: {reasons}")
        cells = [one["cell"] for one in runs if one["state"] == "DONE"]
        return PokeReturnValue(True, {"done": len(cells), "failed": len(failed), "cells": cells})

    def _evaluation(self, server: Client, number: int) -> PokeReturnValue | bool:
        found = server.send("GET", server.path("campaigns", self.campaign, "evaluations", str(number)))
        if found["state"] == "failed":
            raise AirflowFailException(f"evaluation {number} of campaign {self.campaign} failed: {found['reason']}")
        self.log.info("evaluation %d: %s, %.0f %%", number, found["state"], 100 * found["progress"])
        return PokeReturnValue(True, found["result"]) if found["state"] == "done" else False
