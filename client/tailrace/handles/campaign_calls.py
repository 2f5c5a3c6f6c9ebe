"""The client's calls for campaigns and compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.handles.campaign import Campaign
from tailrace.handles.session import Session
from tailrace.results.campaign_tables import campaign_table, composition_table
from tailrace.results.facts import Facts, Listing

__all__ = ["CampaignCalls"]


class CampaignCalls(Session):
    """A session with the calls for campaigns and compositions. `Client` inherits from it."""

    def campaign(self, name: str) -> Campaign:
        """Returns a handle on the campaign `name`. Sends no request."""
        return Campaign(self, name)

    def campaigns(self) -> Listing:
        """Returns the campaigns, as a list that shows itself as a table."""
        found = self._list("campaigns")
        return Listing(found, campaign_table(found, f"campaigns on {self.server.url}"))

    def create_campaign(
        self,
        name: str,
        stream: str,
        models: Sequence[str] | str,
        compositions: Sequence[str],
        targets: Mapping[str, float],
        *,
        calculations: int | None = None,
        node_hours: float | None = None,
        approval: str | None = None,
        policy: str | None = None,
        thresholds: Mapping[str, float] | None = None,
        clusters: Sequence[str] | None = None,
        programs: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Campaign:
        """Create a campaign. It proposes calculations until its targets are reached or its budget is used up.

        Parameters
        ----------
        name, stream
            Name of the campaign, and of the stream that its labels go to.
        models
            Names of models of that stream. The first one decides.
        compositions
            Nominal compositions, such as ``Zr49Cu49Al2``, in the order in which new ones are taken.
        targets
            Largest RMSE of each bond type, in the stream's unit, such as ``{"Zr-Cu": 0.12}``.
        calculations, node_hours
            The budget. None: no limit.
        approval
            ``every``: a person approves every round. ``new``: only rounds with a new composition. ``none``: nobody has
            to, within the budget. None: ``every``.
        policy
            Name of the policy. None: ``families``.
        thresholds
            Thresholds that differ from the policy's own.
        clusters
            Names of clusters to use. None: any that offers the programs.
        programs
            Programs of the stages ``explore``, ``augment`` and ``label``, with their parameters. None: ``glass``,
            ``deform`` and ``bond-labels``.
        seed
            Seed of everything that is drawn. None: 0.

        Raises
        ------
        Refused
            If the name is taken (status 409), or something cannot be. The message names the field and what was expected.
        """
        body: dict[str, Any] = {
            "name": name, "stream": stream, "models": [models] if isinstance(models, str) else list(models),
            "compositions": list(compositions), "targets": dict(targets),
            "budget": {"calculations": calculations, "node_hours": node_hours},
        }  # fmt: skip
        options: dict[str, Any] = {
            "approval": approval, "policy": policy, "thresholds": thresholds, "clusters": clusters, "programs": programs,
            "seed": seed,
        }  # fmt: skip
        body.update({option: value for option, value in options.items() if value is not None})
        self.send("POST", self.path("campaigns"), body)
        return self.campaign(name)

    def compositions(self) -> Listing:
        """Returns the compositions, and what there is of each: cells, deformed copies, labels and failures."""
        found = self._list("compositions")
        return Listing(found, composition_table(found, f"compositions on {self.server.url}"))

    def create_composition(self, formula: str, *, aliases: Sequence[str] = (), notes: str = "") -> Facts:
        """Register a nominal composition.

        Parameters
        ----------
        formula
            Elements and amounts on any scale, such as ``Zr49Cu49Al2`` or ``Zr0.5Cu0.5``.
        aliases
            Other ways to write it. The order of the elements and the scale need none.
        notes
            For people.
        """
        body = {"name": formula, "aliases": list(aliases), "notes": notes}
        data = self.send("POST", self.path("compositions"), body)
        return Facts(
            f"composition {data['name']}", data, [(name, data[name]) for name in ("aliases", "notes", "counts")]
        )
