"""`CampaignStageOperator`: starts one stage of a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from tailrace import Client

from tailrace_airflow.connection import DEFAULT, client

__all__ = ["STAGES", "CampaignStageOperator"]

STAGES = ("round", "explore", "augment", "evaluate")


class CampaignStageOperator(BaseOperator):
    """Starts a stage of a campaign, and returns at once. :class:`CampaignStageSensor` waits for its end.

    Its XCom is ``{"round": 3}``, or ``{"evaluation": 5}`` for the stage ``evaluate``.

    Parameters
    ----------
    campaign
        Name of the campaign.
    stage
        ``round``: approve what the policy proposes. ``explore``: new cells of a composition. ``augment``: deformed copies of a
        cell. ``evaluate``: an evaluation by families.
    composition
        For ``explore``.
    cell
        For ``augment``; for ``evaluate`` the cell to test on.
    kind
        Kind of evaluation; None: ``cross_validation``, or ``single_cell`` if there is a cell.
    comment
        For the audit trail, with ``round``.
    conn_id
        The Airflow connection: the server's address as host, a token as password. Approving needs the role for it.

    Raises
    ------
    ValueError
        If the stage is unknown, or lacks its composition or cell.
    tailrace.errors.Refused
        If the campaign can't start it now, such as while a round is being calculated. The message says why.
    """

    template_fields: Sequence[str] = ("campaign", "stage", "composition", "cell", "comment")

    def __init__(
        self, *, campaign: str, stage: str, composition: str | None = None, cell: str | None = None,
        kind: str | None = None, comment: str = "approved by Airflow", conn_id: str = DEFAULT, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.campaign, self.stage, self.composition, self.cell = campaign, stage, composition, cell
        self.kind, self.comment, self.conn_id = kind, comment, conn_id

    def execute(self, context: Any) -> dict[str, int]:
        """Start the stage. Airflow calls it."""
        asked = {"explore": ("composition", self.composition), "augment": ("cell", self.cell)}
        if self.stage not in STAGES:
            raise ValueError(f"stage is {self.stage!r}: expected one of {', '.join(STAGES)}")
        name, value = asked.get(self.stage, ("", "-"))
        if not value:
            raise ValueError(f"stage {self.stage} of campaign {self.campaign} has no {name}: expected one")
        server = client(self.conn_id)
        if self.stage == "evaluate":
            return self._evaluate(server)
        number = int(self._round(server)["round"])
        self.log.info("round %d of campaign %s has begun", number, self.campaign)
        return {"round": number}

    def _round(self, server: Client) -> Any:
        body = {"campaign": self.campaign}
        if self.stage == "explore":
            assert self.composition is not None
            path = server.path("x", self.composition).split("/x/")[1].rstrip("/")
            return server.send("POST", f"/api/seed/generate/{path}", body)
        if self.stage == "augment":
            return server.send("POST", "/api/seed/augment", {**body, "cell": self.cell})
        campaign = server.campaign(self.campaign)
        return campaign.approve(round=campaign.propose()["round"], comment=self.comment)

    def _evaluate(self, server: Client) -> dict[str, int]:
        kind = self.kind or ("cross_validation" if self.cell is None else "single_cell")
        options = {} if self.cell is None else {"cell": self.cell}
        return {"evaluation": int(server.campaign(self.campaign).evaluate(kind, **options)["number"])}
