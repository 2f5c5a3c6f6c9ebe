"""The events that people can be notified of, and the level of each."""

from dataclasses import dataclass

INFO, ERROR = "INFO", "ERROR"
LEVELS = (INFO, ERROR)


@dataclass(frozen=True)
class Event:
    """A kind of event.

    Attributes
    ----------
    name
        Its name in preferences, webhooks and listings.
    level
        ``INFO`` or ``ERROR``. Admins are notified of all events of level ``ERROR``.
    title
        What it is called on pages.
    """

    name: str
    level: str
    title: str


EVENTS: dict[str, Event] = {
    event.name: event
    for event in (
        Event("calculation.done", INFO, "A calculation is done"),
        Event("calculation.unconverged", ERROR, "A calculation did not converge"),
        Event("calculation.failed", ERROR, "A calculation failed"),
        Event("calculation.undecided", ERROR, "Nobody knows whether a step still runs: a person must decide"),
        Event("calculation.needs_approval", INFO, "A calculation needs approval"),
        Event("campaign.needs_approval", INFO, "A campaign proposes calculations"),
        Event("campaign.paused", ERROR, "A campaign is paused"),
        Event("campaign.stopped", INFO, "A campaign has stopped"),
        Event("campaign.finished", INFO, "A campaign has reached its targets"),
        Event("cluster.silent", ERROR, "The agent of a cluster is silent"),
        Event("cluster.back", INFO, "The agent of a cluster is back"),
        Event("model.drifted", INFO, "A model drifts"),
        Event("model.quarantined", ERROR, "A model is quarantined"),
        Event("backup.failed", ERROR, "A backup failed"),
        Event("test", INFO, "A test message"),
    )
}

CHOSEN = tuple(name for name in EVENTS if name != "test")
"""Events that people can turn off. A test message always arrives."""
