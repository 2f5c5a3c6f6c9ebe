"""A server with a bug: see :mod:`tests.accounts.buggy_urls`."""

from server.settings import *  # noqa: F403

ROOT_URLCONF = "tests.accounts.buggy_urls"
