"""The WSGI application, for gunicorn and granian."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from whitenoise import WhiteNoise

django.setup(set_prefix=False)

from server.accounts import last_used  # noqa: E402 - the models need a configured Django
from server.calculations.watching import watch_if_due  # noqa: E402
from server.campaigns import driver  # noqa: E402
from server.campaigns.evaluations import worker as evaluations  # noqa: E402
from server.core.metrics import declarations  # noqa: E402
from server.learning import quarantine  # noqa: E402
from server.learning.background import maintenance, model_status  # noqa: E402
from server.learning.budgets import call_marks  # noqa: E402
from server.learning.quota_counts import PREDICTIONS  # noqa: E402
from server.notifications import delivering  # noqa: E402
from server.operations import health, liveness, process_gauges, watched_events  # noqa: E402
from server.runtime import process  # noqa: E402
from server.runtime.handler import Handler  # noqa: E402
from server.streams.quotas import reserves  # noqa: E402
from server.tracking import feeding  # noqa: E402
from server.tracking import watching as tracking  # noqa: E402
from server.tracking.run_quotas import POINTS  # noqa: E402


class Application(WhiteNoise):  # type: ignore[misc]
    """Static files and the Django application.

    Both servers pass an empty Host header if a request has none. Django refuses such requests, also for static files.
    """

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_HOST") == "":
            return self.application(environ, start_response)
        return super().__call__(environ, start_response)


application = Application(Handler(), prefix=settings.STATIC_URL)
for finder in get_finders():
    for path, storage in finder.list(None):
        prefix = getattr(storage, "prefix", None) or ""
        url = settings.STATIC_URL + (f"{prefix}/{path}" if prefix else path)
        application.add_file_to_dictionary(url, storage.path(path))

# Database connections last as long as their threads. A connection that PostgreSQL has closed is detected at the start of a
# request, and a failed one is closed where it fails (server.core.db.locks). Django's own checks before and after every
# request take as long as a prediction. There are no cache connections to close and no per-thread URL configuration to reset.
for signal in (request_started, request_finished):
    signal.disconnect(close_old_connections)
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
request_finished.disconnect(reset_urlconf)

call_marks.begin(quarantine.directory())
process.drop_dead_clients(settings.TAILRACE.request_seconds)
process.tune(settings.TAILRACE.var_dir, pin=settings.TAILRACE.pin_workers, workers=settings.TAILRACE.workers)
tasks = [
    last_used.flush_if_due,
    PREDICTIONS.give_back,
    POINTS.give_back,
    model_status.write_due,
    watch_if_due,
    tracking.watch_if_due,
]
if settings.TAILRACE.metrics != "off":
    declarations.use_directory(settings.TAILRACE.var_dir / "metrics")
    tasks.append(process_gauges.update_if_due)
maintenance.start(
    *tasks,
    notifications=(watched_events.look_when_due, delivering.deliver_when_due),
    campaigns=(driver.drive_if_due,),
    evaluations=(evaluations.work_if_due,),
    feeds=(feeding.feed_if_due,),
)
liveness.start(settings.TAILRACE.stuck_seconds, health.database_answers)
reserves.give_back_at_end(PREDICTIONS)
reserves.give_back_at_end(POINTS)
