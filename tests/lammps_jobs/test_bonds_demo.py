"""The demo of bond strengths as a user runs it, on a tiny setting: real LAMMPS, tblite, server and SOAP."""

import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ase import Atoms
from matplotlib import pyplot

from lammps_jobs.bonds.demo import command
from lammps_jobs.bonds.demo.cells import WantedCell, label, wanted
from lammps_jobs.bonds.demo.errors import held_out, prequential
from lammps_jobs.bonds.demo.plan import BondsPlan, Glass, resumed
from lammps_jobs.bonds.demo.screen import shown_after
from lammps_jobs.bonds.demo.stream import HeldOutPredictions
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.deformations import DEFORMATIONS
from lammps_jobs.bonds.generation.melt_quench import Quench
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.structures.neighbours import find
from lammps_jobs.demo_support.names import PlanError
from tests.processes import below
from tests.serving import Server

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.one_database]

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 3.6
TINY = (
    "--atoms", "24", "--longest", str(LONGEST), "--glasses", "1", "--deformations", "1", "--large", "100",
)  # fmt: skip
CELLS = ("Cu50Zr50-1-00", "Cu50Zr50-1-01")
MODELS = ("bond-gpr", "bond-distance", "bond-forest")
PATIENCE = 280


def start(var: Path, *options: str, **more: str) -> subprocess.Popen[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "lammps_jobs.bonds.demo", *options],
        cwd=ROOT, env=own | {"TAILRACE_VAR_DIR": str(var)} | more, text=True, bufsize=1,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def said(var: Path, *options: str, code: int = 0, **more: str) -> str:
    """What a demo that runs to its end says."""
    process = start(var, *options, **more)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, text
    return text


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a demo was stopped while LAMMPS ran, and nothing more was done."""
    var = tmp_path_factory.mktemp("bonds") / "var"
    process = start(var, *TINY)
    assert process.stdout is not None
    for line in process.stdout:
        if "requires tokens" in line:
            break
    children: dict[psutil.Process, str] = {}
    while not any("lmp" in name for name in children.values()):
        assert process.poll() is None, process.stdout.read()
        children = below(process.pid, psutil.Process.name)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, rest
    assert rest.endswith("Stopped. Finished work is kept. Run the same command again to resume.\n")
    assert psutil.wait_procs(children, timeout=10)[1] == []
    return var


@pytest.fixture(scope="module")
def first(var: Path) -> str:
    """What the demo says when it goes on to its end."""
    return said(var)


@pytest.fixture(scope="module")
def served(var: Path, first: str) -> dict[str, Any]:
    """What the server has in the end."""
    server = Server(var).start()
    try:
        stream = "/api/v1/streams/bond-strength/"
        asked = {
            "log": f"{stream}observations/?after=0&limit=1000",
            "cells": f"{stream}cells/",
            "stream": stream,
            **{model: f"/api/v1/models/{model}/metrics/" for model in MODELS},
        }
        return {name: server.get(path)[1] for name, path in asked.items()}
    finally:
        server.stop()


def test_the_log_holds_every_bond_of_the_labeled_cells_once(var, served):
    labels = [icohplist.read(var / "demo-bonds" / "cells" / cell / "ICOHPLIST.lobster") for cell in CELLS]
    log = served["log"]["observations"]
    assert [one["seq"] for one in log] == list(range(1, sum(map(len, labels)) + 1))
    assert [one["y"] for one in log] == [-bond.icohp for cell in labels for bond in cell]
    assert [cell["name"] for cell in served["cells"]["cells"]] == list(CELLS)
    assert served["stream"]["segment"] == "bond"
    for model in MODELS:
        assert served[model]["learned"] == len(log)


def test_the_held_out_glass_is_labeled_and_never_learned(var, served):
    for cell in ("Cu50Zr50-2-00", "Cu50Zr50-2-01"):
        assert (var / "demo-bonds" / "cells" / cell / "ICOHPLIST.lobster").is_file()
        assert cell not in {one["name"] for one in served["cells"]["cells"]}


def test_the_table_shows_the_errors_of_what_was_predicted_after_each_cell(var, first):
    rows = {row.split()[0]: row.split()[1:] for row in re.findall(r"^ *(?:[A-Z][a-z]-[A-Z][a-z]|all) .*$", first, re.M)}
    assert set(rows) == {"Zr-Zr", "Zr-Cu", "Cu-Cu", "all"}
    place = var / "demo-bonds"
    cells = [place / "cells" / name / "ICOHPLIST.lobster" for name in ("Cu50Zr50-2-00", "Cu50Zr50-2-01")]
    strength = [-bond.icohp for cell in cells for bond in icohplist.read(cell)]
    assert rows["all"][0] == str(len(strength))
    for column, cell in enumerate(CELLS, start=2):
        answers = json.loads((place / "heldout" / f"{cell}.json").read_bytes())["answers"]
        squares = [(a - b) ** 2 for a, b in zip(answers["bond-gpr"]["predictions"], strength, strict=True)]
        assert rows["all"][column] == f"{math.sqrt(sum(squares) / len(squares)):.3f}"


def test_what_was_learned_predicts_better_than_the_mean(first):
    """Not how well: a glass of 24 atoms doesn't tell that."""
    (row,) = re.findall(r"^ *all .*$", first, re.M)
    _, spread, *errors = (float(word) for word in row.split()[1:])
    assert errors[1] < 0.6 * spread


def test_the_bonds_of_the_large_glass_are_in_a_list_that_can_be_read(var, first):
    place = var / "demo-bonds"
    glass = structure_files.read(place / "cells" / "Cu50Zr50-large" / "structure.xyz")
    bonds = icohplist.read(place / "ICOHPLIST.lobster")
    assert len(glass) == 100
    assert len(bonds) == len(find(glass, longest=LONGEST))
    assert all(math.isfinite(bond.icohp) for bond in bonds)
    uncertain = (place / "ICOHPLIST.lobster.sd.csv").read_text().splitlines()
    assert len(uncertain) == len(bonds) + 1
    assert all(float(line.split(",")[-1]) > 0 for line in uncertain[1:])


def test_its_picture_is_a_picture(var, first):
    height, width, _ = pyplot.imread(var / "demo-bonds" / "rmse.png").shape
    assert width > height > 800


def test_a_demo_that_is_done_shows_its_table_again_and_computes_nothing_anew(var, first, served, tmp_path):
    shutil.copytree(var, tmp_path / "var")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "var").rglob("structure.xyz")}
    # Kept answers are lost: the models are asked as they were then.
    (tmp_path / "var" / "demo-bonds" / "heldout" / f"{CELLS[0]}.json").unlink()
    again = said(tmp_path / "var")
    assert "LAMMPS made" not in again
    assert "tblite labeled" not in again
    assert "(2 of the cells were learned before)" in again
    assert {path: path.stat().st_mtime_ns for path in made} == made
    table = re.compile(r"^ *(?:Zr-Zr|Zr-Cu|Cu-Cu|all) .*$", re.M)
    assert table.findall(again) == table.findall(first)


def test_a_cell_that_cant_be_labeled_is_skipped_with_its_reason_and_not_tried_again(tmp_path):
    """In a cell this small each atom is bonded to several images of others."""
    cell = WantedCell(tmp_path / "Cu50Zr50-1-00", "")
    cell.directory.mkdir()
    structure_files.write(
        cell.directory / "structure.xyz", Atoms("CuZr", [(0, 0, 0), (1.6, 1.6, 1.6)], cell=[3.2] * 3, pbc=True)
    )
    assert label([cell], 4.2, 2) == 0
    assert cell.skipped is not None
    assert cell.skipped.startswith("the cell is too small: Cu1 is bonded to ")
    (cell.directory / "structure.xyz").unlink()
    assert label([cell], 4.2, 2) == 0


def test_labeling_that_fails_is_no_reason_to_skip(tmp_path):
    cell = WantedCell(tmp_path / "Cu50Zr50-1-00", "")
    cell.directory.mkdir()
    (cell.directory / "labels.json").mkdir()  # can't be replaced by a file
    structure_files.write(
        cell.directory / "structure.xyz", Atoms("Cu2", [(0, 0, 0), (2.5, 0, 0)], cell=[12.0] * 3, pbc=True)
    )
    with pytest.raises(Refused, match=r"label\.out: labeling ended with exit code 1"):
        label([cell], 4.2, 1)
    assert cell.skipped is None


def test_a_deformation_that_brings_atoms_too_close_is_skipped_and_the_others_are_written(tmp_path):
    """Compressed by 20 % along x, a bond of 2.2 Å is 1.76 Å long."""
    glass = Glass("Cu50Zr50-1-00", Quench(Composition.parse("Cu50Zr50"), 8), DEFORMATIONS[6:8])
    (tmp_path / glass.name).mkdir()
    structure = Atoms("CuZr", [(0, 0, 0), (2.2, 0, 0)], cell=[12.0] * 3, pbc=True)
    structure_files.write(tmp_path / glass.name / "structure.xyz", structure)
    origin, stretched, compressed = wanted(glass, tmp_path)
    assert compressed.what == "compress x by 20 %"
    assert compressed.skipped == "the distance of Cu1 and Zr2 would be 1.76 Å, shorter than any bond"
    assert not (compressed.directory / "structure.xyz").exists()
    assert origin.skipped is stretched.skipped is None
    assert structure_files.read(stretched.directory / "structure.xyz").cell.lengths()[0] == pytest.approx(12.24)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--atoms", "36"], "started with --atoms 24: leave --atoms out to resume it"),
        (["--fresh", "--glasses", "0"], "--glasses 0: expected a whole number from 1 to 100"),
        (["--atoms", "some"], "argument --atoms: invalid int value: 'some'"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(var, options, words):
    assert words in said(var, *options, code=2)
    assert (var / "demo-bonds" / "plan.json").is_file()


def test_two_demos_do_not_mix(var):
    with open(var / "demo.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "a demo is running already" in said(var, code=2)


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(command, "PACKAGES", ("rich", "not_installed_anywhere"))
    assert command.main([]) == 2
    assert ": not_installed_anywhere; run `make demo-bonds`, which sets up" in capsys.readouterr().err


def test_a_plan_that_is_resumed_is_the_one_that_was_begun():
    plan = BondsPlan(atoms=30, run=2)
    assert resumed(plan, {"atoms": 30, "seed": None}) == plan
    with pytest.raises(PlanError, match="--fresh --seed 7"):
        resumed(plan, {"seed": 7})


def test_no_glass_is_both_learned_from_and_held_out():
    plan = BondsPlan(glasses=3)
    glasses = [*plan.to_learn(), plan.held_out(), plan.larger()]
    assert len({glass.quench.seed for glass in glasses}) == len({glass.name for glass in glasses}) == 5


def test_held_out_errors_are_of_each_type_and_of_all():
    types, strength = np.array(["Zr-Cu", "Cu-Cu", "Zr-Cu"]), np.array([1.0, 2.0, 3.0])
    predicted = [np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, 3.0])]
    curves = held_out(types, strength, [HeldOutPredictions({"bond-gpr": one}, np.empty((3, 2))) for one in predicted])
    assert curves.bonds == {"Zr-Cu": 2, "Cu-Cu": 1, "all": 3}
    errors = curves.errors["bond-gpr"]
    assert errors["Zr-Cu"] == [0.0, math.sqrt(0.5)]
    assert math.isnan(errors["Cu-Cu"][0])
    assert errors["Cu-Cu"][1] == 3.0
    assert errors["all"][1] == pytest.approx(math.sqrt(10 / 3))


def test_prequential_errors_are_of_each_cells_own_bonds_without_the_first_of_a_type():
    def one(seq: int, bond: str, y: float, predicted: float | None) -> dict[str, Any]:
        return {"seq": seq, "x": {"bond": bond}, "y": y, "predictions": {"m": predicted}}

    log = [one(1, "Zr-Cu", 9.0, 0.0), one(2, "Zr-Cu", 1.0, 3.0), one(3, "Cu-Cu", 9.0, 0.0), one(4, "Zr-Cu", 1.0, 2.0)]
    curves = prequential(log, [2, 4], {"bond-gpr": "m"})
    assert curves.bonds == {"Zr-Cu": 2, "all": 2}
    assert curves.errors["bond-gpr"]["Zr-Cu"] == [2.0, 1.0]
    assert "Cu-Cu" not in curves.errors["bond-gpr"]


@pytest.mark.parametrize(("cells", "shown"), [(1, [1]), (5, [1, 2, 5]), (22, [1, 5, 11, 22])])
def test_the_first_and_the_last_cell_are_among_those_shown(cells, shown):
    assert shown_after(cells) == shown
