"""A server with a bug (see :mod:`tests.accounts.buggy_urls`) that hashes passwords quickly."""

from server.settings import *  # noqa: F403

ROOT_URLCONF = "tests.accounts.buggy_urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
