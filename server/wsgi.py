"""The WSGI application, whichever server runs it."""

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

from server import process  # noqa: E402
from server.accounts import uses  # noqa: E402 - the models need a configured Django
from server.handler import Handler  # noqa: E402
from server.learning import call_marks, maintenance, quarantine, standings  # noqa: E402
from server.learning.usage import PREDICTIONS  # noqa: E402
from server.operations import health, levels, liveness  # noqa: E402
from server.streams import instruments, quota_reserves  # noqa: E402


class Application(WhiteNoise):  # type: ignore[misc]
    """Static files, and everything else. Both servers give a request that has no Host header an empty one; Django refuses it."""

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

# Connections last as long as their threads; one that PostgreSQL ended is noticed as a request begins, and whoever sees
# one fail gives it up (server.streams.locks). Django's own look at them before and after every request costs as much
# as a prediction; caches that hold no connection need no closing either, and a URL configuration that no thread has no reset.
for signal in (request_started, request_finished):
    signal.disconnect(close_old_connections)
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
request_finished.disconnect(reset_urlconf)

call_marks.begin(quarantine.directory())
process.drop_dead_clients(settings.TAILRACE.request_seconds)
process.settle(settings.TAILRACE.var_dir, pin=settings.TAILRACE.pin_workers, workers=settings.TAILRACE.workers)
if settings.TAILRACE.metrics == "off":
    maintenance.start(uses.write_due, PREDICTIONS.give_back)
else:
    instruments.begin(settings.TAILRACE.var_dir / "metrics")
    maintenance.start(uses.write_due, PREDICTIONS.give_back, levels.say_due, standings.write_due)
liveness.start(settings.TAILRACE.stuck_seconds, health.database_answers)
quota_reserves.give_back_at_end(PREDICTIONS)
