"""The WSGI application, whichever server runs it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, reset_queries
from whitenoise import WhiteNoise

django_application = get_wsgi_application()

from server import process  # noqa: E402
from server.accounts import uses  # noqa: E402 - the models need a configured Django
from server.learning import maintenance, standings  # noqa: E402
from server.operations import health, levels, liveness  # noqa: E402
from server.streams import instruments  # noqa: E402

application = WhiteNoise(django_application, prefix=settings.STATIC_URL)
for finder in get_finders():
    for path, storage in finder.list(None):
        prefix = getattr(storage, "prefix", None) or ""
        url = settings.STATIC_URL + (f"{prefix}/{path}" if prefix else path)
        application.add_file_to_dictionary(url, storage.path(path))

# Connections last as long as their threads; one that PostgreSQL ended is noticed as a request begins, and whoever sees
# one fail gives it up (server.streams.locks). Django's own look at them before and after every request costs as much
# as a prediction; caches that hold no connection need no closing either.
for signal in (request_started, request_finished):
    signal.disconnect(close_old_connections)
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)

process.drop_dead_clients(settings.TAILRACE.request_seconds)
process.settle(settings.TAILRACE.var_dir, pin=settings.TAILRACE.pin_workers, workers=settings.TAILRACE.workers)
if settings.TAILRACE.metrics == "off":
    maintenance.start(uses.write_due)
else:
    instruments.begin(settings.TAILRACE.var_dir / "metrics")
    maintenance.start(uses.write_due, levels.say_due, standings.write_due)
liveness.start(settings.TAILRACE.stuck_seconds, health.database_answers)
