"""Django's settings, derived from :mod:`server.config`."""

import sys
from datetime import timedelta

import dj_database_url

from server import config
from server.core.probe_paths import PROBE_PATHS

try:
    TAILRACE = config.load()
    SECRET_KEY = TAILRACE.secret
    _ = TAILRACE.oidc_client_secret  # a file that can't be read is noticed now, not at somebody's sign-in
    _ = TAILRACE.files_secret
    EMAIL_HOST_PASSWORD = TAILRACE.mail_password or ""
    ALLOWED_HOSTS = TAILRACE.hosts
    TAILRACE.var_dir.mkdir(parents=True, exist_ok=True)
except config.ConfigError as exc:
    sys.exit(f"tailrace: {exc}")
except OSError as exc:
    sys.exit(f"tailrace: {exc.filename}: {exc.strerror}; set TAILRACE_VAR_DIR to a directory that can be written")

DEBUG = False
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
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "server.accounts.apps.Accounts",
    "server.streams",
    "server.learning",
    "server.cells",
    "server.notifications",
    "server.calculations",
    "server.campaigns",
    "server.tracking.apps.Tracking",
    "server.services",
    "server.api",
    "server.dashboard.apps.Dashboard",
    "server.operations",
]

MIDDLEWARE = [
    # These watch; each is there only where it is asked for.
    "server.operations.traces.Tracing",
    "server.operations.request_metrics.Counting",
    "server.operations.access_log.AccessLog",
    "server.api.middleware.Envelope",
    # For pages alone: calls of the API go from the envelope straight to the guard.
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "server.dashboard.headers.PageHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "server.api.auth.Guard",
    # After the guard, which sets request.caller; calls of the API just pass.
    "server.dashboard.page_access.PageAccess",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.contrib.messages.context_processors.messages",
                "server.dashboard.context.page_context",
            ]
        },
    }
]

_url = TAILRACE.database_url or f"sqlite:///{TAILRACE.var_dir / 'tailrace.sqlite3'}"
try:
    # Connections are kept for the life of their thread: a dead one is noticed and replaced when it fails.
    DATABASES = {"default": dj_database_url.parse(_url, conn_max_age=None)}
except (ValueError, KeyError) as exc:
    sys.exit(
        f"tailrace: TAILRACE_DATABASE_URL: {exc}; expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
    )
if DATABASES["default"]["NAME"] in ("", ":memory:"):
    sys.exit(
        "tailrace: TAILRACE_DATABASE_URL names no database; expected sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST:PORT/NAME"
    )
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: a commit is on disk before it is acknowledged. A large cache and mmap keep reads off the disk. FAST: what is deleted isn't
        # overwritten where that takes more than it takes anyway; where it is on, deleting holds the only writer seven times as long.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=FAST; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-65536;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # Neither side waits for ever for the other where the network or a machine between them is gone, as their kernels would
    # for hours; meanwhile a dead pod's transaction would keep its stream from all others. `?options=…` in the address takes
    # the place of the server's part; a blank, for a pooler that takes none.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
        " -c tcp_user_timeout=20s -c lock_timeout=60s",
        **DATABASES["default"].get("OPTIONS", {}),
    }
    if not DATABASES["default"]["OPTIONS"]["options"].strip():
        del DATABASES["default"]["OPTIONS"]["options"]
else:
    sys.exit(f"tailrace: TAILRACE_DATABASE_URL: expected sqlite or postgresql, got {_url.partition(':')[0]}")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

AUTHENTICATION_BACKENDS = ["server.accounts.lockout.Passwords"]
if TAILRACE.oidc_issuer:
    AUTHENTICATION_BACKENDS.append("server.accounts.oidc.Backend")
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/account/"
SESSION_COOKIE_AGE = round(TAILRACE.session_hours * 3600)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TAILRACE.secure_cookies
_prefix = "__Host-" if TAILRACE.secure_cookies else ""  # then browsers take it from no other host of the domain
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_prefix}tailrace-session", f"{_prefix}tailrace-csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "server.dashboard.errors.csrf_failed"

AXES_HANDLER = "server.accounts.lockout.Handler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "server.accounts.lockout.address_of"
AXES_FAILURE_LIMIT = TAILRACE.login_failures
AXES_COOLOFF_TIME = timedelta(minutes=TAILRACE.login_cooloff_minutes)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # the audit trail has it
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "next"]
# The pages and the API answer lock-outs themselves, so the middleware that would has nothing to do.
# Whether other hosts of this domain are served over HTTPS alone isn't for this server to say (W005, W021).
SILENCED_SYSTEM_CHECKS = ["axes.W002", "security.W005", "security.W021"]

# Pages load scripts, style sheets and pictures of this server and nothing else; nothing inline runs, and nothing is evaluated.
# The page of the API's documentation has a policy of its own (server.api.v1.documents).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}
SECURE_SSL_REDIRECT = TAILRACE.behind_tls
SECURE_REDIRECT_EXEMPT = [rf"^{path[1:]}$" for path in PROBE_PATHS]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if TAILRACE.behind_tls else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER = TAILRACE.mail_host, TAILRACE.mail_port, TAILRACE.mail_user
EMAIL_USE_TLS, EMAIL_USE_SSL = TAILRACE.mail_security == "starttls", TAILRACE.mail_security == "tls"
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = TAILRACE.mail_from

DATA_UPLOAD_MAX_MEMORY_SIZE = TAILRACE.max_body_bytes

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["server.api.codec.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["server.api.codec.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "server.api.v1.openapi.Description",
    "EXCEPTION_HANDLER": "server.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tailrace",
    "DESCRIPTION": "Models that learn from every job: streams, observations, models and predictions.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["server.api.v1.openapi.complete"],
    "COMPONENT_SPLIT_PATCH": False,
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
    "filters": {
        "of_request": {"()": "server.runtime.logs.RequestIdFilter"},
        "limited": {"()": "server.runtime.log_limits.LimitedLines"},
    },
    "formatters": {
        "line": {"()": "server.runtime.logs.formatter", "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["of_request"]}},
    "root": {"handlers": ["stderr"], "level": TAILRACE.log_level},
    "loggers": {
        "django.request": {"level": "CRITICAL"},  # server.api.errors says the same, with the request's id
        "server.api.errors": {"filters": ["limited"]},
        # Their finer lines have signatures and addresses of requests.
        **{name: {"level": "WARNING"} for name in ("boto3", "botocore", "s3transfer", "urllib3")},
        "axes": {"level": "ERROR"},  # server.accounts.lockout says the same once, and with the address
    },
}
