"""WSGI entry point of the bare Django project, in a process that is set up as ours is."""

import os
from pathlib import Path

from django.core.wsgi import get_wsgi_application

from server.runtime import process

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.bare.settings"
application = get_wsgi_application()
process.tune(Path(os.environ["BENCH_BARE_DIR"]), pin=True, workers=int(os.environ["BENCH_BARE_WORKERS"]))
