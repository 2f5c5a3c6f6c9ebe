"""`python -m lammps_jobs bonds`: cells made, deformed and labeled from the command line, with its exit codes."""

import argparse
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lammps_jobs.bonds import commands
from lammps_jobs.bonds.command import main
from lammps_jobs.bonds.labels.calculation import check
from lammps_jobs.bonds.structures import structure_files
from tests.lammps_jobs.crystals import crystal
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

FAST = ["--atoms", "16", "--melt", "0.5", "--rate", "3400", "--hold", "0.2"]
NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def _says(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_glass_is_made_deformed_and_labeled(tmp_path, capsys):
    code, out, err = _says(capsys, "generate", tmp_path, *FAST, "--cells", 2, "--first", 4)
    assert (code, out) == (0, "2 cells made.\n")
    assert f"{tmp_path}/Cu50Zr50-4-00: 16 atoms" in err
    assert _names(tmp_path) == ["Cu50Zr50-4-00", "Cu50Zr50-5-00"]
    first, second = (structure_files.read(tmp_path / name / "structure.xyz") for name in _names(tmp_path))
    assert len(first) == len(second) == 16
    assert abs(first.positions - second.positions).max() > 0.1

    code, out, _ = _says(capsys, "augment", tmp_path / "Cu50Zr50-4-00", "--only", 7, 13)
    assert (code, out) == (0, "2 deformed cells.\n")
    assert _names(tmp_path) == ["Cu50Zr50-4-00", "Cu50Zr50-4-07", "Cu50Zr50-4-13", "Cu50Zr50-5-00"]

    code, out, err = _says(capsys, "label", tmp_path / "Cu50Zr50-4-00", tmp_path / "Cu50Zr50-4-13", "--longest", 3.1)
    found = [check(tmp_path / f"Cu50Zr50-4-{subrun}") for subrun in ("00", "13")]
    bonds = [len(one.bonds) for one in found]
    assert (code, out) == (0, f"2 cells labeled, {sum(bonds)} bonds.\n")
    assert f"{tmp_path}/Cu50Zr50-4-13: {bonds[1]} bonds" in err

    # The same again makes nothing anew.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert _says(capsys, "generate", tmp_path, *FAST, "--cells", 2, "--first", 4)[:2] == (
        0,
        "0 cells made, 2 existed already.\n",
    )
    assert _says(capsys, "augment", tmp_path / "Cu50Zr50-4-00", "--only", 7, 13)[:2] == (
        0,
        "0 deformed cells, 2 existed already.\n",
    )
    assert _says(capsys, "label", tmp_path / "Cu50Zr50-4-00", "--longest", 3.1)[:2] == (
        0,
        "0 cells labeled, 0 bonds; 1 were labeled before.\n",
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_cell_that_was_made_otherwise_is_not_overwritten(tmp_path, capsys):
    _says(capsys, "generate", tmp_path, *FAST)
    before = (tmp_path / "Cu50Zr50-1-00" / "structure.xyz").read_bytes()
    code, _, err = _says(capsys, "generate", tmp_path, *FAST, "--seed", 7)
    assert code == 1
    assert "Cu50Zr50-1-00: the directory holds a cell with other parameters" in err
    assert (tmp_path / "Cu50Zr50-1-00" / "structure.xyz").read_bytes() == before


def test_one_cell_that_is_refused_keeps_no_other_from_its_labels(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    _says(capsys, "generate", tmp_path, *FAST)
    (tmp_path / "b" / "structure.xyz").write_text("nonsense\n")
    code, out, err = _says(
        capsys, "label", tmp_path / "a", tmp_path / "b", tmp_path / "Cu50Zr50-1-00", "--longest", "3.1"
    )
    assert code == 1
    assert "1 cells labeled" in out
    assert "; 2 refused." in out
    assert f"bonds label: {tmp_path}/a/structure.xyz: No such file or directory" in err
    assert f"bonds label: {tmp_path}/b/structure.xyz:1: expected an extended XYZ file" in err


def test_a_deformation_that_brings_atoms_too_close_is_left_out(tmp_path, capsys):
    cell = tmp_path / "Cu-1-00"
    cell.mkdir()
    atoms = crystal((2, 2, 2), 5)
    atoms.wrap()
    atoms.positions[0] = atoms.positions[1] + [1.3, 0, 0]
    atoms = atoms[[0, 1]]
    structure_files.write(cell / "structure.xyz", atoms)
    code, out, err = _says(capsys, "augment", cell, "--only", 7, 8, 9)
    assert (code, out) == (1, "2 deformed cells, 1 left out.\n")
    assert "Cu-1-08 (compress x by 20 %) is left out: " in err
    assert "are 1.040 Å from each other" in err
    assert _names(tmp_path) == ["Cu-1-00", "Cu-1-07", "Cu-1-09"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["generate", "HERE", "--atoms", "0"], "--atoms 0: expected at least 1"),
        (["generate", "HERE", "--composition", "Cu50-Zr50"], "'Cu50-Zr50' is not a composition"),
        (["generate", "HERE", "--composition", "Cu50Al50"], "the potential knows Cu, Zr, not Al"),
        (["generate", "HERE", "--potential", "HERE/none.eam.alloy"], "none.eam.alloy: No such file or directory"),
        (["generate", "HERE", "--cold", "3000"], "expected two temperatures, the first one higher"),
        (["augment", "HERE"], "structure.xyz: No such file or directory"),
        (["label", "HERE", "--longest", "1.5"], "--shortest 1.8 --longest 1.5: expected 0 ≤ shortest < longest"),
        (["label", "HERE", "--iterations", "0"], "expected at least 1"),
    ],
)
def test_what_can_t_be_done_is_said_in_one_line(words, reason, tmp_path, capsys):
    code, _, err = _says(capsys, *(word.replace("HERE", str(tmp_path)) for word in words))
    assert code == 1
    assert reason in err
    assert err.startswith(f"bonds {words[0]}: ")
    assert err.count("\n") == 1
    assert _names(tmp_path) == []


def test_the_list_of_subcommands_names_each_and_what_is_none_is_said(capsys):
    code, out, _ = _says(capsys, "--help")
    assert code == 0
    assert {"augment", "generate", "label"} <= set(NAMES)
    assert all(f"\n  {name} " in out for name in NAMES)
    assert _says(capsys)[1] == out
    code, _, err = _says(capsys, "lable")
    assert code == 2
    assert "bonds: there is no subcommand 'lable'" in err


@pytest.mark.parametrize("name", NAMES)
def test_a_subcommand_says_what_it_takes(name, capsys):
    module = importlib.import_module(f"lammps_jobs.bonds.commands.{name}")
    assert module.__doc__ and module.SUMMARY[0].islower() and not module.SUMMARY.endswith(".")
    module.add_arguments(argparse.ArgumentParser())
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: python -m lammps_jobs bonds {name}" in capsys.readouterr().out


def test_help_answers_at_once_without_the_libraries_that_take_long_to_import():
    code = (
        "import sys\nfrom lammps_jobs.bonds.command import main\nmain(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=ENV)
    heavy = {"ase", "tblite", "dscribe", "scipy", "pymatgen", "dask", "pandas", "matplotlib", "river"}
    assert not heavy & set(done.stderr.split())


ENV = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}"}


def test_stopped_it_ends_lammps_and_says_that_what_was_done_is_kept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "lammps_jobs", "bonds", "generate", str(tmp_path), "--atoms", "100", "--melt", "10000"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env=ENV,
    )  # fmt: skip
    log = tmp_path / "Cu50Zr50-1-00" / "md" / "log.lammps"
    while process.poll() is None and not (log.exists() and b"fix             box all npt" in log.read_bytes()):
        pass
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "bonds generate: stopped; finished work is kept\n")
    assert b"Total wall time" not in log.read_bytes()
    assert not (tmp_path / "Cu50Zr50-1-00" / "structure.xyz").exists()
    assert not [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(log.parent)]
