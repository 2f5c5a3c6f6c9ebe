"""What an evaluation says: the paper's process in a batch, both protocols, the table, the JSON, the picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from lammps_jobs.bonds import command
from lammps_jobs.bonds.basis import packing
from lammps_jobs.bonds.descriptors.definition import DEFAULT
from lammps_jobs.bonds.descriptors.unprojected_soap import unit_vectors
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.icohplist import write
from lammps_jobs.bonds.learning import evaluation
from lammps_jobs.bonds.learning.batch_gpr import BatchGPR, kernel
from lammps_jobs.bonds.learning.evaluation import Bonds, evaluate, read, split
from lammps_jobs.bonds.structures import families
from lammps_jobs.bonds.structures.neighbours import find
from lammps_jobs.bonds.types import LabeledBond

pytestmark = pytest.mark.one_database


def _cell(path, seed):
    """A packing of 60 atoms with made-up labels that fall with the distance and depend on the surroundings."""
    random = np.random.default_rng(seed)
    structure = packing({"Al": 4, "Cu": 28, "Zr": 28}, random)
    path.mkdir()
    structure.write(path / "structure.xyz", format="extxyz")
    near = unit_vectors(structure, DEFAULT)[:, :500].sum(axis=1)
    symbols = structure.get_chemical_symbols()
    labeled = [
        LabeledBond(
            bond.i, bond.j, bond.translation, bond.distance, (symbols[bond.i], symbols[bond.j]),
            icohp=-float(np.exp((2.8 - bond.distance) / 0.5) * (1 + 0.3 * (near[bond.i] + near[bond.j]))),
        )
        for bond in find(structure)
    ]  # fmt: skip
    write(path / "ICOHPLIST.lobster", labeled)
    return path


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cells")
    return [_cell(directory / f"made-{seed:02d}", seed) for seed in range(3)]


@pytest.fixture(scope="module")
def bonds(cells):
    return read(cells)


def test_batch_regression_is_the_papers_formula_term_by_term():
    random = np.random.default_rng(0)
    n, m, length = 12, 5, 7
    d, s, y = random.uniform(2, 4, n), np.abs(random.normal(size=(n, length))), random.normal(size=n)
    asked, around = random.uniform(2, 4, m), np.abs(random.normal(size=(m, length)))
    matrix = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            matrix[i, j] = np.exp(-((d[i] - d[j]) ** 2) / (2 * 1.0**2)) * (s[i] @ s[j])
        matrix[i, i] += 0.04 * np.std(y)
    weights = np.linalg.inv(matrix) @ y
    expected = [
        sum(weights[i] * np.exp(-((d[i] - asked[k]) ** 2) / 2) * (s[i] @ around[k]) for i in range(n)) for k in range(m)
    ]
    fitted = BatchGPR.fit("Zr-Cu", d, s, y, random)
    assert np.allclose(fitted.predict(asked, around), expected)
    assert np.allclose(kernel(d, s, asked, around, 0.5, zeta=2.0)[3, 2],
                       np.exp(-((d[3] - asked[2]) ** 2) / 0.5) * (s[3] @ around[2]) ** 2)  # fmt: skip


def test_batch_regression_learns_two_thousand_bonds_at_most():
    random = np.random.default_rng(0)
    d = random.uniform(2, 4, 2100)
    fitted = BatchGPR.fit("Cu-Cu", d, np.ones((2100, 1)), np.exp(-d), np.random.default_rng(0))
    assert len(fitted.weights) == 2000
    assert len(BatchGPR.fit("Cu-Cu", d[:5], np.ones((5, 1)), np.exp(-d[:5]), random).weights) == 5


def test_the_bonds_of_cells_are_read_in_their_order(cells, bonds):
    first = read(cells[:1])
    assert 0 < len(first) < len(bonds)
    assert np.array_equal(bonds.take(np.arange(len(first))).strength, first.strength)
    assert bonds.soap.shape == (len(bonds), DEFAULT.projection.size)
    assert bonds.unprojected.shape[1] > 2000
    assert set(bonds.types.tolist()) <= set(evaluation.ORDER)


def test_projected_vectors_keep_the_scalar_products_of_whole_ones(bonds):
    some = bonds.take(np.arange(0, len(bonds), 7))
    assert np.abs(some.soap @ some.soap.T - some.unprojected @ some.unprojected.T).max() < 2e-3


def test_a_split_is_by_its_seed_and_leaves_no_bond_out(bonds):
    learn, test = split(bonds, 300, seed=3)
    again, _ = split(bonds, 300, seed=3)
    other, _ = split(bonds, 300, seed=4)
    assert (len(learn), len(test)) == (300, len(bonds) - 300)
    assert np.array_equal(learn.strength, again.strength)
    assert not np.array_equal(learn.strength, other.strength)
    assert sorted([*learn.strength.tolist(), *test.strength.tolist()]) == sorted(bonds.strength.tolist())


@pytest.mark.parametrize("learned", [0, -1, 10**6])
def test_a_split_that_leaves_nothing_is_refused(bonds, learned):
    with pytest.raises(Refused, match=f"{learned} of {len(bonds)} bonds can't be learned: expected 1 to"):
        split(bonds, learned, seed=0)


def test_it_judges_each_type_by_root_mean_square_beside_batch_regression(bonds):
    learn, test = split(bonds, 500, seed=0)
    judged = evaluate(learn, test)
    assert list(judged) == [kind for kind in evaluation.ORDER if kind in judged]
    one = judged["Zr-Cu"]
    asked = test.types == "Zr-Cu"
    assert np.array_equal(one.strength, test.strength[asked])
    assert one.learned == (learn.types == "Zr-Cu").sum()
    assert one.rmse == pytest.approx(np.sqrt(np.mean((one.predicted - test.strength[asked]) ** 2)))
    assert one.rmse < 0.1 * np.std(test.strength[asked])
    assert one.rmse_batch < 0.5 * np.std(test.strength[asked])
    assert 0.5 < one.coverage <= 1.0


def test_a_type_that_was_never_learned_is_judged_without_batch_regression(bonds):
    known = bonds.types != "Zr-Al"
    judged = evaluate(bonds.take(known), bonds.take(~known))
    assert list(judged) == ["Zr-Al"]
    assert judged["Zr-Al"].as_json() == {
        "n": int((~known).sum()),
        "rmse": pytest.approx(float(np.sqrt(np.mean(bonds.strength[~known] ** 2)))),
        "rmse_batch_gpr": None,
        "coverage95": pytest.approx(1.0, abs=0.5),
    }


def test_a_recipe_without_intervals_has_no_coverage(bonds):
    judged = evaluate(*split(bonds, 200, seed=0), "bond-forest", batch=False)
    assert {one.coverage for one in judged.values()} == {None}
    assert {one.rmse_batch for one in judged.values()} == {None}


def test_an_unknown_recipe_is_refused(bonds):
    with pytest.raises(
        Refused, match="no recipe 'linear' for bonds: expected one of bond-gpr, bond-distance, bond-forest"
    ):
        evaluate(bonds, bonds, "linear")


def test_the_command_writes_table_json_and_picture(cells, tmp_path, capsys):
    words = ["evaluate", "--learn", str(cells[0]), str(cells[1]), "--test", str(cells[2])]
    assert command.main([*words, "--json", str(tmp_path / "f.json"), "--picture", str(tmp_path / "p.png")]) == 0
    said = capsys.readouterr().out
    assert "batch GPR" in said
    assert "paper, cell" in said
    assert "0.1218" in said
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures["Zr-Cu"]) == {"n", "rmse", "rmse_batch_gpr", "coverage95"}
    assert f"{figures['Zr-Cu']['rmse']:.4f}" in said
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_splits_at_random(cells, capsys):
    assert command.main(["evaluate", "--learn", *map(str, cells), "--split", "300", "--recipe", "bond-distance"]) == 0
    said = capsys.readouterr().out
    assert "Tested on families that were learned, too" in said
    assert "300 bonds learned" in said
    assert "paper, split" in said
    assert "bond-distance" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--test", "nowhere"], "nowhere"),
        (["--split", "0"], "expected 1 to"),
        (["--split", "300", "--recipe", "linear"], "no recipe 'linear'"),
        (["--split", "300", "--picture", "p.docx"], "p.docx"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(cells, words, message, capsys):
    assert command.main(["evaluate", "--learn", str(cells[0]), *words]) == 1
    assert message in capsys.readouterr().err


def test_the_reference_cell_that_failed_is_refused_by_name(shared_data, capsys):
    failed = shared_data / "bonds" / "Zr49Cu49Al2-21-13-failed"
    good = shared_data / "bonds" / "Zr49Cu49Al2-21-00"
    assert command.main(["evaluate", "--learn", str(good), "--test", str(failed)]) == 1
    assert "Zr49Cu49Al2-21-13-failed" in capsys.readouterr().err


def test_one_sheared_reference_cell_is_predicted_from_the_other_learning_cells(shared_data):
    # A learning cell: those that the figures are about aren't looked at here.
    glass = [shared_data / "bonds" / f"Zr49Cu49Al2-21-{number:02d}" for number in range(7)]
    judged = evaluate(read(glass[:6]), read(glass[6:]))
    for kind in ("Zr-Cu", "Zr-Zr", "Cu-Cu"):
        assert judged[kind].rmse < 1.05 * judged[kind].rmse_batch, kind
        assert 0.85 < judged[kind].coverage < 1.0, kind


def test_bonds_are_taken_by_mask_or_number(bonds):
    picked = bonds.take(bonds.distance < 3.0)
    assert isinstance(picked, Bonds)
    assert picked.distance.max() < 3.0
    assert len(picked) == (bonds.distance < 3.0).sum()


def test_cells_of_a_family_are_told_by_their_names():
    learned = [Path("cells/Zr49Cu49Al2-21-00"), Path("cells/Zr49Cu49Al2-21-03"), Path("glass-7")]
    assert families.shared(learned, [Path("Zr49Cu49Al2-21-07"), Path("Zr49Cu49Al2-22-00")]) == ["Zr49Cu49Al2-21"]
    assert families.shared(learned, [Path("Zr45Cu45Al10-1-00"), Path("glass-8")]) == []
