"""A campaign for real: LAMMPS makes a glass, tblite labels its bonds, a server that is killed on the way learns them once."""

import pytest

from lammps_jobs.bonds.descriptors.definition import DEFAULT
from tests.agent.sites import site
from tests.client.running import command
from tests.people import bearer, made_on
from tests.serving import Server
from tests.slurm import until

pytestmark = [pytest.mark.one_database, pytest.mark.slow, pytest.mark.xdist_group("agent")]

QUICK = {"atoms": 32, "melt": 0.02, "hold": 0.02, "rate": 50000}
CAMPAIGN = "/api/v1/campaigns/g/"


@pytest.mark.timeout(600)
def test_a_glass_is_made_labeled_and_deformed_and_each_cell_learned_once_though_the_server_is_killed(tmp_path):
    server = Server(tmp_path / "var", auth="required").start()
    try:
        headers = bearer({name: secret for name, (_, secret) in made_on(server, root="admin").items()}["root"])

        def ask(path, body=None):
            status, answer = server.post(path, body, **headers) if body is not None else server.get(path, **headers)[:2]
            assert status in (200, 201), answer
            return answer

        added = command(
            "cluster", "add", "alpha", "--url", server.url, environ={"TAILRACE_TOKEN": headers["Authorization"][7:]}
        )
        assert added.returncode == 0, added.stderr
        sections = "".join(f"[programs.{name}]\n" for name in ("glass", "deform", "bond-labels"))
        with site(
            tmp_path / "site", server.url, added.stdout.strip(), program=sections, limits={"sync_seconds": 1}
        ) as made:
            made.start()
            until(lambda: len(ask("/api/v1/programs/")["programs"]) == 4, made.log)
            content = {name: value for name, value in DEFAULT.as_json().items() if name != "name"}
            ask("/api/v1/descriptors/", {"name": DEFAULT.name, "content": content})
            ask(
                "/api/v1/streams/",
                {"name": "bonds", "target": {"name": "-ICOHP"}, "segment": "bond", "descriptor": DEFAULT.name},
            )
            ask("/api/v1/models/", {"name": "gpr", "stream": "bonds", "recipe": "bond-gpr"})
            ask("/api/v1/compositions/", {"name": "Cu50Zr50"})
            ask("/api/v1/campaigns/", {
                "name": "g", "stream": "bonds", "models": ["gpr"], "compositions": ["Cu50Zr50"], "targets": {"Zr-Cu": 0.01},
                "programs": {"explore": {"parameters": QUICK}, "label": {"parameters": {"longest": 3.3, "temperature": 1000}}},
                "budget": {"calculations": 2},
            })  # fmt: skip

            def proposed(number):
                until(
                    lambda: (ask(CAMPAIGN)["proposal"] or {}).get("round") == number,
                    lambda: ask(CAMPAIGN) and made.log(),
                )

            def done(number):
                ended = ("DONE", "FAILED")
                until(lambda: ask(f"{CAMPAIGN}runs/")["runs"][number - 1]["state"] in ended, made.log)
                run = ask(f"{CAMPAIGN}runs/")["runs"][number - 1]
                assert run["state"] == "DONE", run
                return run

            proposed(1)
            pick = {
                "kind": "explore",
                "composition": "Cu50Zr50",
                "name": "Cu50Zr50-1-00",
                "family": "Cu50Zr50-1",
                "seed": 1,
            }
            ask(f"{CAMPAIGN}decisions/1/approve/", {"picks": [pick]})  # with a seed whose glass converges quickly
            until(lambda: ask(f"{CAMPAIGN}runs/")["runs"][0]["state"] == "RUNNING", made.log)
            server.kill()
            server.start()
            first = done(1)
            assert first["node_hours"] > 0
            proposed(2)
            pick = {
                "kind": "augment",
                "composition": "Cu50Zr50",
                "name": "Cu50Zr50-1-13",
                "family": "Cu50Zr50-1",
                "deformation": 13,
            }
            ask(f"{CAMPAIGN}decisions/2/approve/", {"picks": [pick]})
            server.kill()
            server.start()
            second = done(2)
            assert second["first"] == first["last"] + 1
            until(lambda: ask(CAMPAIGN)["state"] == "stopped", lambda: str(ask(CAMPAIGN)))
            assert "budget" in ask(CAMPAIGN)["reason"]
            cells = ask("/api/v1/streams/bonds/cells/")["cells"]
            assert [(one["name"], one["composition"]) for one in cells] == [
                ("Cu50Zr50-1-00", "Cu50Zr50"), ("Cu50Zr50-1-13", "Cu50Zr50"),
            ]  # fmt: skip
            assert ask(CAMPAIGN)["used"]["calculations"] == len(ask("/api/v1/calculations/")["calculations"]) == 2
            said = server.manage("verify_campaign", "g")
            assert said.stdout.endswith("3 decisions, 0 differ\n"), said
    finally:
        server.stop()
