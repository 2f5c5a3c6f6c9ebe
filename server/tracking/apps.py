"""The Django app of tracking."""

from django.apps import AppConfig


class Tracking(AppConfig):
    """Tracking of experiments. It tells the clean-up of contents which ones artifacts need."""

    name = "server.tracking"

    def ready(self) -> None:
        from server.calculations import cleaning
        from server.tracking import artifact_contents

        cleaning.NAMED_BY.append(artifact_contents.named)
