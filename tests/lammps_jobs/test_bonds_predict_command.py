"""`bonds predict`: from a file and a model to two lists, or one line that says why not."""

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lammps_jobs.bonds.command import main
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.learning.structure_prediction import predict
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.structures.neighbours import find
from tests.lammps_jobs.crystals import Law, crystal
from tests.lammps_jobs.test_bonds_soap import SMALL
from tests.serving import ROOT, Server

pytestmark = pytest.mark.one_database


def _keys(bonds):
    return list(zip(bonds.i.tolist(), bonds.j.tolist(), map(tuple, bonds.translation.tolist()), strict=True))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a structure, a dump of it, and a model."""
    structure = crystal((4, 3, 3), 32)
    structure_files.write(tmp_path / "cell.xyz", structure)
    (tmp_path / "law.pkl").write_bytes(pickle.dumps(Law()))
    (tmp_path / "partial.pkl").write_bytes(pickle.dumps(Law("Al-Al")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _files(place):
    return {path.name for path in place.iterdir() if path.name.startswith("out")}


def test_the_command_writes_the_list_and_says_so(place, capsys):
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "law.pkl", "--workers", "2"]) == 0
    said = capsys.readouterr()
    expected = find(structure_files.read("cell.xyz"))
    assert said.out == f"{len(expected):,} bonds of 144 atoms in out, uncertainties in out.sd.csv.\n"
    assert said.err == ""
    assert len(icohplist.read("out")) == len(expected)
    assert _files(place) == {"out", "out.sd.csv"}


def test_the_command_uses_the_definition_that_it_is_given(place, capsys):
    Path("small.json").write_text(json.dumps(SMALL.as_json()))
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "law.pkl", "--definition", "small.json"]) == 0
    structure = structure_files.read("cell.xyz")
    found = predict(structure, Law(), SMALL)
    assert np.allclose([-bond.icohp for bond in icohplist.read("out")], found.strength, atol=6e-6)
    Path("small.json").write_text(json.dumps(replace(SMALL, dscribe="0.1").as_json()))
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "law.pkl", "--definition", "small.json"]) == 1
    assert "is defined with DScribe 0.1" in capsys.readouterr().err


def test_the_command_leaves_out_what_was_not_learned_only_if_told_to(place, capsys):
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "partial.pkl"]) == 1
    assert "Al-Al (" in (said := capsys.readouterr().err) and "--skip-unlearned leaves these out" in said
    assert _files(place) == set()
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "partial.pkl", "--skip-unlearned"]) == 0
    assert re.search(r"left out: \d+ Al-Al\.", capsys.readouterr().out)
    assert all(set(bond.elements) != {"Al"} for bond in icohplist.read("out"))


def _cut(place):
    text = (place / "cell.xyz").read_text()
    (place / "cell.xyz").write_text(text[: len(text) // 2])


def _iron(place):
    structure = structure_files.read(place / "cell.xyz")
    structure.symbols[7] = "Fe"
    structure_files.write(place / "cell.xyz", structure)


def _no_pickle(place):
    (place / "law.pkl").write_text("no pickle")


def _no_model(place):
    (place / "law.pkl").unlink()


@pytest.mark.parametrize(
    "change, why",
    [
        (_cut, r"^bonds predict: cell\.xyz:\d+: "),
        (_iron, r"^bonds predict: cell\.xyz: atom 8 is Fe"),
        (_no_pickle, r"^bonds predict: law\.pkl: the estimator of law.pkl can't be read"),
        (_no_model, r"^bonds predict: law\.pkl: No such file"),
    ],
)
def test_the_command_refuses_what_it_can_not_use_in_one_line(change, why, place, capsys):
    (place / "out").write_text("as it was")
    change(place)
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "law.pkl"]) == 1
    said = capsys.readouterr().err
    assert re.search(why, said) and said.count("\n") == 1
    assert (place / "out").read_text() == "as it was" and _files(place) == {"out"}


def _dump(structure):
    """The text of a LAMMPS dump of two steps with unwrapped positions, the second as the structure is."""
    frames = []
    for step, moved in ((0, 0.1), (10, 0.0)):
        bounds = "".join(f"0.0 {length:.10f}\n" for length in structure.cell.lengths())
        rows = "".join(
            f"{number} {['Al', 'Cu', 'Zr'].index(symbol) + 1} {x + moved:.10f} {y:.10f} {z:.10f}\n"
            for number, (symbol, (x, y, z)) in enumerate(
                zip(structure.get_chemical_symbols(), structure.positions, strict=True), start=1
            )
        )
        frames.append(
            f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(structure)}\nITEM: BOX BOUNDS pp pp pp\n{bounds}"
            f"ITEM: ATOMS id type xu yu zu\n{rows}"
        )
    return "".join(frames)


def test_a_dump_of_unwrapped_positions_gives_the_list_of_its_last_step(place, capsys):
    structure = structure_files.read("cell.xyz")
    text = _dump(structure)
    Path("melt.dump").write_text(text)
    asked = ["predict", "melt.dump", "-o", "out", "--model-file", "law.pkl", "--types", "Al", "Cu", "Zr"]
    assert main(asked) == 0
    found = predict(structure, Law())
    bonds = icohplist.read("out")
    assert [(bond.i, bond.j, bond.translation) for bond in bonds] == _keys(found.bonds)
    assert np.allclose([-bond.icohp for bond in bonds], found.strength, atol=1e-5)
    Path("melt.dump").write_text(text[: 3 * len(text) // 4])
    before = Path("out").read_bytes()
    assert main(asked) == 1
    assert re.match(r"bonds predict: melt\.dump:\d+: ", capsys.readouterr().err)
    assert Path("out").read_bytes() == before


@pytest.mark.parametrize(
    "option", [("--shortest", "5"), ("--longest", "nan"), ("--workers", "0"), ("--piece", "-1"), ("--types", "Xx")]
)
def test_the_command_refuses_options_that_make_no_sense(option, place, capsys):
    assert main(["predict", "cell.xyz", "-o", "out", "--model-file", "law.pkl", *option]) == 1
    assert option[1] in capsys.readouterr().err


def test_a_model_comes_from_a_server_by_name(place, sweep_server: Server):
    environment = os.environ | {"TAILRACE_URL": sweep_server.url, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}
    stream = {"name": "bonds-predict", "target": {"name": "strength", "unit": "eV"}, "segment": "bond"}
    assert sweep_server.post("/api/v1/streams/", stream)[0] == 201
    body = {"name": "of-bonds-predict", "stream": "bonds-predict", "recipe": "mean"}
    assert sweep_server.post("/api/v1/models/", body)[0] == 201
    for strength in (0.5, 1.0):
        point = {"x": {"bond": "Zr-Cu", "distance": 2.5}, "y": strength}
        assert sweep_server.post("/api/v1/streams/bonds-predict/observations/", point)[0] in (200, 201)
    command = [sys.executable, "-m", "lammps_jobs", "bonds", "predict", str(place / "cell.xyz"), "-o"]
    for name, code in (("of-bonds-predict", 0), ("nobody", 1)):
        run = subprocess.run(
            [*command, str(place / f"out-{name}"), "--model", name], env=environment, cwd=ROOT,
            capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == code, run.stderr
    assert "nobody" in run.stderr and run.stderr.count("\n") == 1
    assert {bond.icohp for bond in icohplist.read(place / "out-of-bonds-predict")} == {-0.75}
    assert _files(place) == {"out-of-bonds-predict", "out-of-bonds-predict.sd.csv"}
