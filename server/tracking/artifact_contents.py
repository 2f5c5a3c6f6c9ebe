"""Which contents artifacts need, for the clean-up of contents and for backups."""

from collections.abc import Sequence

from server.tracking.models import Artifact


def named(names: Sequence[str]) -> set[str]:
    """Return those of these SHA-256 that artifacts name."""
    return set(Artifact.objects.filter(sha256__in=names).values_list("sha256", flat=True))
