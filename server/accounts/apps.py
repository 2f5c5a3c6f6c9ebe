"""Django's configuration of the app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class Accounts(AppConfig):
    name = "server.accounts"

    def ready(self) -> None:
        from server.accounts import audit, roles
        from server.core import audit_signals

        audit_signals.changed.connect(audit.record)
        post_migrate.connect(roles.make_groups, sender=self)
