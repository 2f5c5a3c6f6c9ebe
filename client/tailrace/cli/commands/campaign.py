"""Create campaigns, look at what they propose, and decide.

A campaign proposes which cells to calculate next, until the model is good enough for every bond type.

examples:
  tailrace campaign create glass --stream bonds --model gpr --composition Zr49Cu49Al2 --target Zr-Cu=0.12 --calculations 40
  tailrace campaign list
  tailrace campaign status glass
  tailrace campaign propose glass               decide now what to calculate next
  tailrace campaign approve glass               all of the open proposal
  tailrace campaign approve glass --pick 1 --pick 3 --comment "the others are too alike"
  tailrace campaign reject glass --reason "the potential does not hold for Al"
  tailrace campaign history glass               rounds, cost, and the error of each bond type
  tailrace campaign runs glass
  tailrace campaign run glass                   approve every round until the campaign ends, as you watch
  tailrace campaign pause glass                 and: resume, stop

status ends with exit code 0, also of a campaign that waits. run ends with 1 if the campaign is paused or stopped.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tailrace.cli.messages import OK, say
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.campaign import Campaign
    from tailrace.handles.client import Client

ACTIONS = (
    "create", "list", "status", "propose", "approve", "reject", "history", "decisions", "runs", "run", "pause", "resume",
    "stop",
)  # fmt: skip
APPROVALS = ("every", "new", "none")
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("name", nargs="?", help="name of the campaign")
    parser.add_argument("--stream", metavar="NAME", help="create: the stream that labels go to")
    parser.add_argument("--model", action="append", metavar="NAME", help="create: a model of it; the first one decides")
    parser.add_argument(
        "--composition", action="append", metavar="FORMULA", help="create: a composition; may be repeated"
    )
    parser.add_argument("--target", action="append", metavar="TYPE=RMSE", help="create: largest RMSE of a bond type")
    parser.add_argument("--calculations", type=int, metavar="N", help="create: most calculations")
    parser.add_argument("--node-hours", type=float, metavar="H", help="create: most node-hours")
    parser.add_argument("--approval", choices=APPROVALS, help="create: which rounds a person approves (default: every)")
    parser.add_argument("--policy", metavar="NAME", help="create: the policy (default: families)")
    parser.add_argument("--cluster", action="append", metavar="NAME", help="create: a cluster to use; may be repeated")
    parser.add_argument("--seed", type=int, metavar="N", help="create: seed of everything that is drawn")
    parser.add_argument(
        "--pick", action="append", type=int, metavar="N", help="approve: only this calculation; may be repeated"
    )
    parser.add_argument("--round", type=int, metavar="N", help="approve, reject: the round (default: the open one)")
    parser.add_argument("--comment", metavar="TEXT", default="", help="approve: a comment for the campaign's page")
    parser.add_argument("--reason", metavar="TEXT", default="", help="reject, pause, resume, stop: why")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.action == "list":
        if options.name is not None:
            raise Unusable(
                f"list takes no {options.name!r}: `tailrace campaign status {options.name}` shows one campaign"
            )
        return _table(client.campaigns(), options)
    if options.name is None:
        raise Unusable(f"{options.action} needs the name of a campaign: tailrace campaign {options.action} NAME")
    if options.action == "create":
        return _create(client, options)
    campaign = client.campaign(options.name)
    if options.action in ("history", "decisions", "runs"):
        return _table(getattr(campaign, options.action)(), options)
    if options.action in ("pause", "resume", "stop"):
        getattr(campaign, options.action)(options.reason)
        print(f"tailrace: campaign {campaign.name} is {campaign.state}")
        return OK
    if options.action == "run":
        return _run(campaign)
    return _facts(_decided(campaign, options), options)


def _decided(campaign: Campaign, options: argparse.Namespace) -> Any:
    if options.action == "status":
        return campaign.info()
    if options.action == "propose":
        return campaign.propose()
    if options.action == "approve":
        return campaign.approve(options.pick, comment=options.comment, round=options.round)
    if not options.reason:
        raise Unusable("reject needs --reason: the campaign's page shows it to all")
    return campaign.reject(options.reason, round=options.round)


def _create(client: Client, options: argparse.Namespace) -> int:
    needed = {
        "--stream": options.stream,
        "--model": options.model,
        "--composition": options.composition,
        "--target": options.target,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise Unusable(f"create needs {' and '.join(missing)}: tailrace campaign --help shows an example")
    made = client.create_campaign(
        options.name, options.stream, options.model, options.composition, dict(map(_target, options.target)),
        calculations=options.calculations, node_hours=options.node_hours, approval=options.approval,
        policy=options.policy, clusters=options.cluster, seed=options.seed,
    )  # fmt: skip
    return _facts(made.info(), options)


def _target(word: str) -> tuple[str, float]:
    kind, equals, text = word.rpartition("=")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not kind or not equals or not 0 < value < float("inf"):
        raise Unusable(f"--target is {word!r}: expected a bond type and its largest RMSE, such as Zr-Cu=0.12")
    return kind, value


def _run(campaign: Campaign) -> int:
    """Approve each round as it is proposed, until the campaign has ended."""
    from tailrace.handles.campaign import CampaignNeedsAPerson

    while True:
        try:
            campaign.wait()
        except CampaignNeedsAPerson as error:
            proposal = campaign.proposal
            if proposal is None:
                say(str(error))
                return FAILED
            print(proposal)
            campaign.approve(round=proposal["round"], comment="approved by `tailrace campaign run`")
            continue
        info = campaign.info()
        print(info)
        return OK if info["state"] == "finished" else FAILED


def _table(found: Any, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables

    print_json(list(found)) if options.json else print_tables([found.table])
    return OK


def _facts(facts: Any, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json

    print_json(facts.data) if options.json else print_facts(facts)
    return OK
