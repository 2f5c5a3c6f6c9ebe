"""``manage.py verify_campaign NAME …``: makes every decision again, and compares it with the one that was stored."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from server.campaigns import campaigns, deciding
from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import kept
from server.campaigns.models import Campaign, Decision
from server.core.command_errors import as_command_errors
from server.core.errors import TailraceError


class Command(BaseCommand):
    help = (
        "Computes the situation of each decision of a campaign again, from the log and the tables up to the positions that the "
        "decision names, and lets its policy choose again. With --evaluations, it computes each kept evaluation again, too. "
        "Exits with 1 if one differs from what was stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaigns", nargs="+", metavar="NAME", help="campaign to verify")
        parser.add_argument(
            "--evaluations",
            action="store_true",
            help="also compute the kept evaluations again, which takes as long as they took",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        differ = 0
        for name in options["campaigns"]:
            with as_command_errors():
                campaign = campaigns.find(name)
                rows = Decision.objects.filter(campaign=campaign).select_related("campaign__stream").order_by("number")
                found = [deciding.recompute(one) for one in rows]
            for one in found:
                if one.agrees:
                    self.stdout.write(f"{name}, round {one.number}: verified")
                else:
                    self.stdout.write(f"{name}, round {one.number}: DIFFERS: {one.why}")
            wrong = sum(not one.agrees for one in found)
            self.stdout.write(f"{name}: {len(found)} decisions, {wrong} differ")
            differ += wrong
            if options["evaluations"]:
                differ += self._evaluations(campaign)
        if differ:
            sys.exit(1)

    def _evaluations(self, campaign: Campaign) -> int:
        """Compute the evaluations that are done again. Return how many differ."""
        rows = Evaluation.objects.filter(campaign=campaign, state=Evaluation.DONE).select_related("campaign")
        wrong = 0
        for one in rows.order_by("number"):
            try:
                why = "" if kept.agrees(one) else "its result differs now"
            except TailraceError as exc:
                why = exc.message
            said = f"DIFFERS: {why}" if why else "verified"
            self.stdout.write(f"{campaign.name}, evaluation {one.number}: {said}")
            wrong += bool(why)
        self.stdout.write(f"{campaign.name}: {len(rows)} evaluations, {wrong} differ")
        return wrong
