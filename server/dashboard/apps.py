"""Django's configuration of the app."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class Dashboard(AppConfig):
    name = "server.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        from server.accounts import sessions

        user_logged_in.connect(sessions.begin)
