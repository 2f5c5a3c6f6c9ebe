"""Django's settings, derived from :mod:`server.config`."""

import sys

import dj_database_url

from server import config

try:
    TAILRACE = config.load()
    SECRET_KEY = TAILRACE.secret
except config.ConfigError as exc:
    sys.exit(f"tailrace: {exc}")

DEBUG = False
ALLOWED_HOSTS = [host.strip() for host in TAILRACE.allowed_hosts.split(",")]
ROOT_URLCONF = "server.urls"
WSGI_APPLICATION = "server.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True
STATIC_URL = "static/"
STATIC_ROOT = TAILRACE.var_dir / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "server.accounts.apps.Accounts",
    "server.streams",
    "server.learning",
    "server.api",
]

MIDDLEWARE = [
    "server.api.middleware.Envelope",
    # For pages alone: calls of the API go from the envelope straight to the guard.
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "server.api.auth.Guard",
]

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

_url = TAILRACE.database_url or f"sqlite:///{TAILRACE.var_dir / 'tailrace.sqlite3'}"
try:
    # Connections are kept for the life of their thread: a dead one is noticed and replaced when it fails.
    DATABASES = {"default": dj_database_url.parse(_url, conn_max_age=None)}
except (ValueError, KeyError) as exc:
    sys.exit(
        f"tailrace: TAILRACE_DATABASE_URL: {exc}; expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
    )
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    TAILRACE.var_dir.mkdir(parents=True, exist_ok=True)
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: a commit is on disk before it is acknowledged. A large cache and mmap keep reads off the disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-65536;",
    }
elif DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    sys.exit(f"tailrace: TAILRACE_DATABASE_URL: expected sqlite or postgresql, got {_url.partition(':')[0]}")

DATA_UPLOAD_MAX_MEMORY_SIZE = TAILRACE.max_body_bytes

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["server.api.codec.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["server.api.codec.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "server.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tailrace",
    "DESCRIPTION": "Models that learn from every job: streams, observations, models and predictions.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["server.api.v1.openapi.complete"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SCHEMA_PATH_PREFIX_TRIM": False,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": TAILRACE.log_level},
    "loggers": {"django.request": {"level": "ERROR"}},
}
