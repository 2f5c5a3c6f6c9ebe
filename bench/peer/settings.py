"""A minimal project around django-river-ml, configured as its documentation does it, with shelve storage."""

import os

BASE_DIR = os.environ["BENCH_PEER_DIR"]
SECRET_KEY = "bench only: this project signs nothing"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "peer.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_river_ml",
]
# It means to add its timer to these itself, but does so after gunicorn has built the chain, and its stats stay 0.
# Nothing else: the leanest project that keeps what it promises.
MIDDLEWARE = ["django_river_ml.middleware.timer_middleware"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(BASE_DIR, "db.sqlite3")}}
LOGGING_CONFIG = None
USE_TZ = True

DJANGO_RIVER_ML = {
    "STORAGE_BACKEND": "shelve",
    "SHELVE_PATH": os.path.join(BASE_DIR, "shelve.db"),
    "CACHE_DIR": os.path.join(BASE_DIR, "cache"),
    # Else every predict stores itself, and the comparison would be unfair to it.
    "GENERATE_IDENTIFIERS": False,
    "DISABLE_AUTHENTICATION": True,
    "SHELVE_SECRET_KEY": SECRET_KEY,
    "JWT_SERVER_SECRET": SECRET_KEY,
}
