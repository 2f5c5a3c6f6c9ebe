"""Settings of the bare Django project: nothing that a request has to pass through."""

SECRET_KEY = "bench only: this project signs nothing"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.bare.urls"
MIDDLEWARE: list[str] = []
INSTALLED_APPS: list[str] = []
USE_TZ = True
LOGGING_CONFIG = None
