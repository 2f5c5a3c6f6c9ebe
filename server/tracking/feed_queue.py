"""The queue of feeds: runs that have ended and are to be posted. Rows are added in the transaction of the change of the run.

It is cheap for an experiment without feeds, and for a run that has not ended. :mod:`server.tracking.feeding` posts the runs.
"""

from django.db import connection

from server.core.db.locks import is_sqlite
from server.tracking.models import Feed, FeedPoint, Run
from server.tracking.models.names import ACTIVE

_ADD = (
    "INSERT INTO tracking_feedpoint (feed_id, run_id, state, asked, reason)"
    " SELECT id, %s, 'due', 0, '' FROM tracking_feed WHERE experiment_id = %s"
)
_ADD_EARLIER = (
    "INSERT INTO tracking_feedpoint (feed_id, run_id, state, asked, reason)"
    " SELECT %s, r.id, 'due', 0, '' FROM tracking_run r"
    " WHERE r.experiment_id = %s AND r.status = %s AND r.lifecycle = %s ORDER BY r.ended_ms, r.id"
)
_OR_AGAIN = (
    " ON CONFLICT (feed_id, run_id) DO UPDATE SET state = 'due', asked = tracking_feedpoint.asked + 1"
    " WHERE tracking_feedpoint.state <> 'posted'"
)
_OR_LEFT_OUT = _OR_AGAIN.replace("<> 'posted'", "= 'left_out'")
_AGAIN = "UPDATE tracking_feedpoint SET state = 'due', asked = asked + 1 WHERE state <> 'posted' AND "


def add(run_id: int, experiment_id: int) -> None:
    """Queue a run that has just finished for each feed of its experiment. One that was posted stays posted."""
    # A feed that is being deleted is waited for, since its row may not be referred to any more.
    lock = "" if is_sqlite() else " FOR KEY SHARE"
    with connection.cursor() as cursor:
        cursor.execute(_ADD + lock + _OR_AGAIN, (run_id, experiment_id))


def again(run_id: int) -> None:
    """Have a finished run looked at again, since it has changed: what it lacked may be there now."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_AGAIN}run_id = %s", (run_id,))


def again_for(experiment_id: int) -> None:
    """Have all runs of an experiment looked at again that were left out."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_AGAIN}feed_id IN (SELECT id FROM tracking_feed WHERE experiment_id = %s)", (experiment_id,))


def add_earlier(feed: Feed) -> int:
    """Queue the runs that have finished and were not posted, by their end. Return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_EARLIER + _OR_LEFT_OUT, (feed.pk, feed.experiment_id, Run.FINISHED, ACTIVE))
        return max(0, cursor.rowcount)


def counts(feeds: list[int]) -> dict[int, dict[str, int]]:
    """Return how many runs are in each state, by feed."""
    found = {number: dict.fromkeys(FeedPoint.STATES, 0) for number in feeds}
    if not feeds:
        return found
    marks = ", ".join(["%s"] * len(feeds))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT feed_id, state, COUNT(*) FROM tracking_feedpoint WHERE feed_id IN ({marks}) GROUP BY feed_id, state",
            feeds,
        )
        for feed, state, count in cursor.fetchall():
            found[feed][state] = count
    return found
