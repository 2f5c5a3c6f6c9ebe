"""`make demo-campaign`: one campaign on this machine, from no cell to a target or a stop, in at most ten minutes.

A server and an agent are started, with a database of their own. The policy proposes calculations and says why; the demo
approves each proposal, as a person would. LAMMPS makes glasses, tblite labels their bonds, a Gaussian process learns them.
Every decision is recomputed at the end.

``--kill 3`` kills the whole server three times on its way: the campaign goes on. At its end it is compared with an
undisturbed one, which runs first unless an earlier demo has left its outcome.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.errors import TailraceError
from tailrace.handles.client import Client

from lammps_jobs.campaign_demo import outcome
from lammps_jobs.demo_support.clusters import DemoFailed, add_cluster, wait_for_programs
from lammps_jobs.demo_support.command import PORT, run_demo, working_directory
from lammps_jobs.demo_support.local_agent import LocalAgent
from lammps_jobs.demo_support.local_server import LocalServer, ServerFailed
from lammps_jobs.demo_support.tokens import USER, Credentials
from lammps_jobs.runs.lammps_job import ROOT, Programs

if TYPE_CHECKING:
    from lammps_jobs.campaign_demo.screen import Screen

__all__ = ["main"]

PACKAGES = ("rich", "matplotlib", "ase", "tblite", "dscribe", "river")
SECONDS = 420.0
"""After which the campaign is stopped by a person, so that the demo ends within ten minutes on a slow machine, too."""
SHOWN = 5
"""Differences between two campaigns that are shown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: see `run_demo`."""
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.campaign_demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--calculations", type=int, default=18, help="the campaign's budget (default: 18)")
    parser.add_argument(
        "--target", type=float, help="RMSE to reach for each bond type, eV (default: 0.21 to 0.25 by type)"
    )
    parser.add_argument("--kill", type=int, default=0, help="kill the server so many times on its way (default: 0)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"stop the campaign after so many s (default: {SECONDS:.0f})"
    )
    parser.add_argument("--keep", action="store_true", help="leave server and agent running until Ctrl-C")
    options = parser.parse_args(argv)

    def make_screen() -> Screen:
        from lammps_jobs.campaign_demo.screen import Screen

        return Screen(ROOT)

    def work(screen: Screen, programs: Programs) -> None:
        from lammps_jobs.campaign_demo.campaign import settings

        folder, asked = working_directory("demo-campaign"), settings(options.target, options.calculations)
        if not options.kill:
            _demo(screen, folder, asked, options, kills=0)
            return
        before = outcome.find_undisturbed(folder, asked)
        if before is None:
            screen.note("First an undisturbed campaign, to compare with.")
            _demo(screen, folder, asked, options, kills=0)
            before = outcome.find_undisturbed(folder, asked)
        assert before is not None, "it was just made"
        found = _demo(screen, folder, asked, options, kills=options.kill)
        _compare(screen, before, found)

    return run_demo(
        "demo-campaign", PACKAGES, make_screen, work, (DemoFailed, ServerFailed, TailraceError), resumes=False
    )


def _demo(screen: Screen, folder: Path, asked: dict[str, Any], options: argparse.Namespace, kills: int) -> Any:
    """Run one campaign to its end, and return its outcome."""
    from lammps_jobs.campaign_demo.campaign import PROGRAMS, DemoCampaign
    from lammps_jobs.campaign_demo.picture import draw

    started, place = time.monotonic(), _free_folder(folder)
    with ExitStack() as stack:
        screen.note(f"Starting a server (its output: {screen.path(place / 'server.log')}) …")
        server = stack.enter_context(LocalServer(ROOT, PORT, place / "server.log", place / "server"))
        screen.serving(server.url, None if server.port == PORT else PORT)
        credentials = Credentials(place / "tokens.json", server)
        owner, admin = Client(server.url, credentials.owner()), Client(server.url, credentials.admin())
        cluster, token = add_cluster(admin, "demo-campaign", "This machine", ())
        agent = stack.enter_context(
            LocalAgent(place / "agent", server.url, token, "local", at_once=2, programs=PROGRAMS, sync_seconds=2)
        )
        wait_for_programs(owner, cluster, PROGRAMS, lambda: agent.last_words() if agent.ended else None)
        campaign = DemoCampaign.create(owner, admin, cluster, asked)
        page = f"{server.url}/campaigns/{campaign.name}/"
        screen.note(f"Campaign {campaign.name}: {page} (sign in as {USER} with {credentials.password()})")
        when = [(number + 1) * options.calculations // (kills + 1) for number in range(kills)]
        done: list[int] = []

        def check(ended: int) -> None:
            if agent.ended:
                raise DemoFailed(f"the agent has ended. The end of {agent.log}:\n  {agent.last_words()}")
            if len(done) < len(when) and ended >= min(when[len(done)], 2 * (len(done) + 1)):
                done.append(ended)
                screen.killed(len(done), len(when))
                server.kill()
                server.start()

        info = campaign.follow(screen, options.seconds, check)
        rounds = campaign.listed("rounds")
        screen.note(f"\nThe campaign is {info['state']}: {info['reason']}")
        screen.rounds(rounds, info["targets"])
        draw(place / "campaign.png", f"{campaign.name}: {info['state']}", rounds, info["targets"])
        screen.note(server.manage("verify_campaign", campaign.name).strip())
        used, seconds = info["used"], time.monotonic() - started
        found = outcome.of_campaign(owner, campaign.name)
        outcome.store(place, asked, len(done), found, seconds)
        screen.note(
            f"{used['calculations']} calculations, {60 * used['node_hours']:.1f} node-minutes, {seconds:.0f} s. "
            f"Picture: {screen.path(place / 'campaign.png')}; logs and tokens: {screen.path(place)}/"
        )
        if options.keep:
            screen.note(f"Server and agent run until you press Ctrl-C: {page}")
            while True:
                time.sleep(60)
        bind = "" if server.port == PORT else f"TAILRACE_BIND=127.0.0.1:{server.port} "
        screen.note(
            f"To look at it: `TAILRACE_VAR_DIR={screen.path(place / 'server')} {bind}make serve`, then open {page} (or start the "
            "demo with ARGS=--keep)."
        )
    return found


def _compare(screen: Screen, before: tuple[Path, Any], found: Any) -> None:
    """Say whether the campaign that was killed ended as the undisturbed one did.

    Raises
    ------
    DemoFailed
        If it did not.
    """
    path, undisturbed = before
    differ = list(outcome.differences(undisturbed, found))
    if differ:
        shown = "".join(f"\n  {one}" for one in differ[:SHOWN])
        more = f"\n  and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        raise DemoFailed(f"the campaign ended differently from the undisturbed one, {path}:{shown}{more}")
    screen.note(
        f"It ended as the undisturbed one did ({screen.path(path)}): the same {len(found['decisions'])} decisions, "
        f"{len(found['cells'])} cells with the same structures and labels, errors and models."
    )


def _free_folder(first: Path) -> Path:
    for number in itertools.count(1):
        folder = first / str(number)
        if not folder.exists():
            folder.mkdir(parents=True)
            return folder
    raise AssertionError("numbers do not end")
