"""The WSGI application, whichever server runs it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

django_application = get_wsgi_application()

from server.learning import maintenance  # noqa: E402 - the models need a configured Django

application = WhiteNoise(django_application, prefix=settings.STATIC_URL)
for finder in get_finders():
    for path, storage in finder.list(None):
        prefix = getattr(storage, "prefix", None) or ""
        url = settings.STATIC_URL + (f"{prefix}/{path}" if prefix else path)
        application.add_file_to_dictionary(url, storage.path(path))

maintenance.start()
