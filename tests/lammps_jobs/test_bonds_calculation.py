"""Calculations: one that converged and finished is accepted; any other is refused whole, by name and reason."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.labels.calculation import check
from lammps_jobs.bonds.labels.espresso import check_output
from lammps_jobs.bonds.structures import structure_files
from tests.lammps_jobs import lobster_files
from tests.lammps_jobs.crystals import crystal, labeled

pytestmark = pytest.mark.one_database

STRUCTURE = crystal((2, 2, 1), 1)
BONDS = labeled(STRUCTURE)
ATOMS, COUNT = len(STRUCTURE), len(BONDS)


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A calculation with all of its files, in order."""
    directory = tmp_path / "Zr49Cu49Al2-3-00"
    directory.mkdir()
    structure_files.write(directory / "structure.xyz", STRUCTURE)
    (directory / "ICOHPLIST.lobster").write_text(lobster_files.icohplist(BONDS))
    (directory / "lobsterout").write_text(lobster_files.lobsterout(COUNT))
    (directory / "lb.out").write_text(lobster_files.lobsterout(COUNT))
    (directory / "scf.out").write_text(lobster_files.scf_out(ATOMS))
    return directory


@pytest.fixture
def refusal(cell: Path) -> Callable[..., str]:
    """Puts a text into a file of the cell, and says why the cell is then refused."""

    def put(name: str, text: str) -> str:
        (cell / name).write_text(text)
        with pytest.raises(Refused) as caught:
            check(cell)
        return str(caught.value).replace(str(cell.parent), "…")

    return put


def test_a_whole_calculation_is_accepted(cell):
    found = check(cell)
    assert found.name == "Zr49Cu49Al2-3-00"
    assert len(found.structure) == ATOMS
    assert found.bonds == icohplist.read(cell / "ICOHPLIST.lobster")
    assert found.method == "LOBSTER 3.0.0 on Quantum ESPRESSO 6.2"
    assert (found.charge_spilling, found.total_spilling) == (1.44, 4.03)
    assert sorted(path.name for path in found.files) == sorted(path.name for path in cell.iterdir())


def test_labels_without_any_report_are_accepted_as_they_are(cell):
    for name in ("lobsterout", "lb.out", "scf.out"):
        (cell / name).unlink()
    found = check(cell)
    assert (found.method, found.charge_spilling, found.total_spilling) == ("LOBSTER", None, None)
    assert len(found.files) == 2


def test_a_spin_polarised_calculation_is_accepted_with_the_larger_spilling(cell):
    (cell / "ICOHPLIST.lobster").write_text(lobster_files.icohplist(BONDS, version=5.1, spins=2))
    for name in ("lobsterout", "lb.out"):
        (cell / name).write_text(lobster_files.lobsterout(COUNT, spins=2, charge=2.5))
    assert check(cell).charge_spilling == 2.5


def test_the_reference_cell_that_failed_is_refused_by_name_and_reason_and_the_others_are_accepted(shared_data):
    cells = sorted((shared_data / "bonds").iterdir())
    assert len(cells) == 12
    refused = {}
    for directory in cells:
        try:
            found = check(directory)
        except Refused as error:
            refused[directory.name] = str(error)
        else:
            assert len(found.bonds) == len((directory / "ICOHPLIST.lobster").read_text().splitlines()) - 1
    assert list(refused) == ["Zr49Cu49Al2-21-13-failed"]
    assert (
        "Zr49Cu49Al2-21-13-failed/scf.out:1220: Quantum ESPRESSO did not converge: it stops in iteration 80"
        in (refused["Zr49Cu49Al2-21-13-failed"])
    )


def test_a_field_that_did_not_converge_is_the_reason_though_labels_are_missing_too(cell, refusal):
    (cell / "ICOHPLIST.lobster").unlink()
    said = refusal("scf.out", lobster_files.scf_out(ATOMS, iterations=80, converged=False, done=False))
    assert said.startswith("…/Zr49Cu49Al2-3-00/scf.out:")
    assert "did not converge: it stops in iteration 80 of the self-consistent field" in said


FAILED = {
    "not converged": lobster_files.scf_out(ATOMS).replace("convergence has been", "convergence NOT"),
    "error": lobster_files.scf_out(ATOMS, done=False) + "     Error in routine cdiaghg (159):\n     S matrix\n",
    "cut off": lobster_files.scf_out(ATOMS, converged=False, done=False),
}


POST = "\n     Program POST-PROC v.6.2 starts on  2Jan2026 at 12:00:00 \n\n   JOB DONE.\n"


def test_what_another_program_prints_after_it_does_not_count(cell):
    failed = "     Program PROJWFC v.7.3 starts on\n     Error in routine projwfc (1):\n     convergence NOT achieved\n"
    (cell / "scf.out").write_text(lobster_files.scf_out(ATOMS) + POST + failed)
    assert check_output(cell / "scf.out", ATOMS) == "6.2"


@pytest.mark.parametrize("first", FAILED)
def test_of_several_starts_the_last_decides(first, cell, refusal):
    (cell / "scf.out").write_text(FAILED[first] + lobster_files.scf_out(ATOMS))
    assert check_output(cell / "scf.out", ATOMS)
    said = refusal("scf.out", lobster_files.scf_out(ATOMS) + FAILED[first])
    assert "Quantum ESPRESSO" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lobster_files.scf_out(ATOMS, converged=False), "it stops in iteration 12"),
        (lobster_files.scf_out(ATOMS, iterations=0, converged=False), "it stops before the first iteration"),
        (lobster_files.scf_out(ATOMS, done=False), "did not finish: the output ends without 'JOB DONE.'"),
        (lobster_files.scf_out(ATOMS + 1), f"calculated {ATOMS + 1} atoms, but the structure has {ATOMS}"),
        (lobster_files.scf_out(ATOMS) + lobster_files.scf_out(ATOMS, done=False), "did not finish"),
        (lobster_files.scf_out(ATOMS).replace("convergence has been", "convergence NOT"), "did not converge"),
        (
            lobster_files.scf_out(ATOMS, done=False) + "     Error in routine cdiaghg (159):\n     S matrix\n",
            "stopped with an error in routine cdiaghg (159):",
        ),
        ("", "this is not an output of Quantum ESPRESSO"),
        (lobster_files.scf_out(ATOMS, done=False) + POST, "did not finish: the output ends without 'JOB DONE.'"),
        (POST, "this is not an output of Quantum ESPRESSO"),
    ],
)
def test_an_electronic_structure_that_failed_is_refused(text, reason, refusal):
    said = refusal("scf.out", text)
    assert "Zr49Cu49Al2-3-00/scf.out" in said
    assert reason in said


def test_a_calculation_that_was_started_again_counts_as_the_last_one_ended(cell):
    failed = lobster_files.scf_out(ATOMS, converged=False, done=False)
    (cell / "scf.out").write_text(failed + lobster_files.scf_out(ATOMS))
    check(cell)


@pytest.mark.parametrize("name", ["lobsterout", "lb.out"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lobster_files.lobsterout(COUNT, finished=False), "LOBSTER did not finish"),
        (lobster_files.lobsterout(COUNT) + lobster_files.lobsterout(COUNT, finished=False), "LOBSTER did not finish"),
        (
            lobster_files.lobsterout(COUNT, charge=7.25),
            ":9: the absolute charge spilling is 7.25 %: expected at most 5 %",
        ),
        (lobster_files.lobsterout(COUNT, total=31.0), ":8: the absolute total spilling is 31 %: expected at most 25 %"),
        (lobster_files.lobsterout(COUNT, charge=float("nan")), "the absolute charge spilling is nan %"),
        (lobster_files.lobsterout(COUNT).replace("charge spilling:   1.44", "charge spilling:   ?"), "spilling is '?'"),
        (
            lobster_files.lobsterout(COUNT).replace("abs. charge spilling", "charge"),
            "the report lacks the absolute charge",
        ),
        (lobster_files.lobsterout(COUNT) + "ERROR: the basis is linearly dependent\n", "stopped with ERROR: the basis"),
        ("", "this is not a report of LOBSTER"),
    ],
)
def test_a_projection_that_failed_or_spills_is_refused(name, text, reason, refusal):
    said = refusal(name, text)
    assert f"Zr49Cu49Al2-3-00/{name}" in said
    assert reason in said


def test_the_bounds_on_spilling_can_be_set(cell):
    with pytest.raises(Refused, match=r"the absolute charge spilling is 1.44 %: expected at most 1 %"):
        check(cell, charge_spilling=1.0)
    with pytest.raises(Refused, match=r"the absolute total spilling is 4.03 %: expected at most 4 %"):
        check(cell, total_spilling=4.0)


def test_a_list_that_lost_its_last_rows_is_shorter_than_announced(refusal):
    said = refusal("ICOHPLIST.lobster", lobster_files.icohplist(BONDS[:-3]))
    assert f"it lists {COUNT - 3} bonds, but lb.out announced {COUNT}: the file is incomplete" in said


def test_a_list_that_lost_its_second_spin_is_not_taken_for_one_without_spin(cell, refusal):
    for name in ("lobsterout", "lb.out"):
        (cell / name).write_text(lobster_files.lobsterout(COUNT, spins=2))
    whole = lobster_files.icohplist(BONDS, spins=2)
    said = refusal("ICOHPLIST.lobster", whole[: whole.index("  COHP#", 10)])
    assert "it has energies for spin 1 only, but lb.out reports 2" in said


def test_quantum_espresso_tells_of_a_lost_spin_where_there_is_no_report(cell, refusal):
    for name in ("lobsterout", "lb.out"):
        (cell / name).unlink(missing_ok=True)
    (output,) = cell.glob("*scf.out")
    output.write_text(lobster_files.scf_out(len(check(cell).structure), spins=2))
    whole = lobster_files.icohplist(BONDS, spins=2)
    said = refusal("ICOHPLIST.lobster", whole[: whole.index("  COHP#", 10)])
    assert f"it has energies for spin 1 only, but {output.name} is spin-polarised" in said
    (cell / "ICOHPLIST.lobster").write_text(whole)
    assert len(check(cell).bonds) == COUNT


def test_a_calculation_that_lacks_a_file_is_refused(cell, refusal):
    (cell / "ICOHPLIST.lobster").unlink()
    assert "Zr49Cu49Al2-3-00: there is no ICOHPLIST.lobster in it" in refusal("note", "")
    (cell / "structure.xyz").unlink()
    assert "Zr49Cu49Al2-3-00: there is no structure.xyz in it" in refusal("note", "")
    with pytest.raises(Refused, match="there is no such directory"):
        check(cell / "nowhere")
    with pytest.raises(Refused, match="there is no such directory"):
        check(cell / "note")


def test_what_a_file_is_refused_for_the_calculation_is_refused_for(cell, refusal):
    text = (cell / "structure.xyz").read_text()
    assert "structure.xyz" in refusal("structure.xyz", text[: len(text) // 2])
    (cell / "structure.xyz").write_text(text)
    assert "ICOHPLIST.lobster:3: 'Cu' is not an atom" in refusal(
        "ICOHPLIST.lobster", lobster_files.icohplist(BONDS).replace(" Cu3 ", " Cu ").replace(" Zr2 ", " Cu ")
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps({"method": "GFN1-xTB", "bonds": COUNT + 1}), f"but labels.json announced {COUNT + 1}"),
        (json.dumps({"method": "GFN1-xTB"}), "expected a JSON object with 'method' and 'bonds'"),
        (json.dumps({"method": 1, "bonds": COUNT}), "expected a text as 'method'"),
        ("[]", "expected a JSON object"),
        ("{", "expected a JSON object"),
    ],
)
def test_labels_of_our_own_are_held_against_what_is_said_about_them(text, reason, cell, refusal):
    for name in ("lobsterout", "lb.out", "scf.out"):
        (cell / name).unlink()
    (cell / "labels.json").write_text(json.dumps({"method": "GFN1-xTB", "bonds": COUNT}))
    assert check(cell).method == "GFN1-xTB"
    assert reason in refusal("labels.json", text)
