"""Bond lists: every layout of LOBSTER 3.0 to 5.1 gives the same bonds; what is broken is refused, with its line."""

from dataclasses import replace
from pathlib import Path

import pytest

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.labels.icohplist_reader import Reader
from lammps_jobs.bonds.types import LabeledBond
from tests.lammps_jobs.crystals import crystal, labeled
from tests.lammps_jobs.lobster_files import FLAVOURS
from tests.lammps_jobs.lobster_files import icohplist as lobster_file

pytestmark = pytest.mark.one_database

BONDS = labeled(crystal((2, 2, 1), 1))[:40]


def _is(found: list[LabeledBond], expected: list[LabeledBond]) -> None:
    assert [replace(bond, icohp=0.0, line=0) for bond in found] == [
        replace(bond, icohp=0.0, line=0) for bond in expected
    ]
    assert [bond.icohp for bond in found] == pytest.approx([bond.icohp for bond in expected], abs=1.1e-5)


def _refusal(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    with pytest.raises(Refused) as caught:
        icohplist.read(path)
    return str(caught.value).replace(str(path), "FILE")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ICOHPLIST.lobster"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_layout_gives_the_same_bonds(flavour, path):
    path.write_text(lobster_file(BONDS, **FLAVOURS[flavour]))
    bonds = icohplist.read(path)
    _is(bonds, BONDS)
    lines = path.read_text().splitlines()
    assert all(lines[bond.line - 1].split()[1] == f"{bond.elements[0]}{bond.i + 1}" for bond in bonds)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pymatgen_reads_the_same_from_every_layout(flavour, path):
    outputs = pytest.importorskip("pymatgen.io.lobster", reason="pymatgen is not installed")
    path.write_text(lobster_file(BONDS, **FLAVOURS[flavour]))
    theirs = outputs.Icohplist(filename=str(path)).icohplist
    ours = icohplist.read(path)
    assert [tuple(bond["translation"]) for bond in theirs.values()] == [bond.translation for bond in ours]
    assert [bond["length"] for bond in theirs.values()] == [bond.distance for bond in ours]
    assert [sum(bond["icohp"].values()) for bond in theirs.values()] == pytest.approx([bond.icohp for bond in ours])


def test_what_is_written_is_read_back_and_written_the_same(path):
    assert icohplist.write(path, iter(BONDS)) == len(BONDS)
    first = path.read_bytes()
    bonds = icohplist.read(path)
    _is(bonds, BONDS)
    icohplist.write(path, bonds)
    assert path.read_bytes() == first
    assert (
        first.splitlines()[0]
        == b"  COHP#  atomMU  atomNU     distance     translation      ICOHP (at) eF   for spin  1"
    )


def test_columns_stay_apart_in_a_cell_of_millions_of_atoms(path):
    bond = LabeledBond(9_999_998, 10_000_000, (-1, 0, 1), 2.5, ("Zr", "Zr"), -123.456, 0)
    icohplist.write(path, [bond] * 1)
    _is(icohplist.read(path), [bond])


def test_a_reference_list_is_written_as_lobster_wrote_it(shared_data, path):
    for original in sorted((shared_data / "bonds").glob("*/ICOHPLIST.lobster")):
        icohplist.write(path, icohplist.read(original))
        assert path.read_bytes() == original.read_bytes(), original


def test_a_list_that_cannot_be_written_leaves_the_old_one_alone(path):
    icohplist.write(path, BONDS)
    before = path.read_bytes()
    with pytest.raises(Refused, match=r"bond 2 \(Zr1-Cu2\) has .* an ICOHP of nan eV"):
        icohplist.write(path, [BONDS[0], LabeledBond(0, 1, (0, 0, 0), 2.5, ("Zr", "Cu"), float("nan"))])
    with pytest.raises(Refused, match="there is no bond to write"):
        icohplist.write(path, [])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_bond_that_is_listed_from_its_later_atom_is_turned_round(path):
    turned = [
        replace(bond, i=bond.j, j=bond.i, translation=tuple(-n for n in bond.translation), elements=bond.elements[::-1])
        for bond in BONDS
        if bond.i != bond.j
    ]
    path.write_text(lobster_file(turned))
    _is(icohplist.read(path), [bond for bond in BONDS if bond.i != bond.j])


def test_a_bond_of_an_atom_with_its_own_image_is_one_though_listed_from_both_sides(path):
    one = LabeledBond(0, 0, (0, 0, 1), 4.0, ("Cu", "Cu"), -0.2)
    other = replace(one, translation=(0, 0, -1))
    path.write_text(lobster_file([one, other, BONDS[5]], version=5.1, spins=2))
    _is(icohplist.read(path), [one, BONDS[5]])
    assert "FILE:3: it is the bond of line 2 from its other side" in _refusal(
        path, lobster_file([one, replace(other, icohp=-0.3)])
    )


def test_lines_may_end_as_in_windows(path):
    path.write_bytes(lobster_file(BONDS).replace("\n", "\r\n").encode())
    _is(icohplist.read(path), BONDS)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_file_that_breaks_off_anywhere_within_a_row_is_refused(flavour):
    text = lobster_file(BONDS[:3], **FLAVOURS[flavour])
    # A cut between rows leaves a list that is whole in itself: it is LOBSTER's report that tells (see calculation).
    lines = text.splitlines(keepends=True)
    between = {"".join(lines[:number]).rstrip() for number in range(len(lines) + 1)}
    inside = [cut for cut in range(1, len(text)) if text[:cut].rstrip() not in between]
    assert len(inside) > 0.6 * len(text)
    for cut in inside:
        with pytest.raises(Refused, match=r"FILE(:\d+)?: "):
            Reader("FILE").read(text[:cut].splitlines(keepends=True))


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_a_last_number_that_lost_digits_is_not_taken_for_a_number(digits, path):
    text = lobster_file(BONDS)[: -2 - digits]
    assert "it is truncated" in _refusal(path, text)
    assert f"FILE:{len(BONDS) + 1}: distance and ICOHP have 5 and {5 - digits} decimals" in _refusal(path, text)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_that_ends_in_the_blanks_of_a_row_is_refused(path, ending):
    """Before the first row of spin 2's header, it would be a whole list of the first spin's energies, which are half of all."""
    text = lobster_file(BONDS, spins=2).replace("\n", ending)
    first = text.index("COHP#", 10)
    blanks = len(text[:first]) - len(text[:first].rstrip(" "))
    assert blanks
    for cut in range(first - blanks + 1, first + 1):
        path.write_bytes(text[:cut].encode())
        with pytest.raises(Refused, match="the file ends in blanks"):
            icohplist.read(path)


def test_a_second_spin_that_lost_rows_is_refused_with_the_last_line(path):
    text = lobster_file(BONDS, spins=2)
    lines = text.splitlines(keepends=True)
    for lost in (1, 7, len(BONDS)):
        said = _refusal(path, "".join(lines[:-lost]))
        assert f"FILE:{len(lines) - lost}: the file ends after {len(BONDS) - lost} bonds for spin 2" in said


def _changed(line: int, before: str, after: str) -> str:
    lines = lobster_file(BONDS).splitlines(keepends=True)
    assert before in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(before, after, 1)
    return "".join(lines)


FOURTH = lobster_file(BONDS).splitlines(keepends=True)[3]
ATOM, NUMBER = FOURTH.split()[1], FOURTH.split()[7]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "FILE: the file is empty"),
        ("\n\n", "FILE: the file is empty"),
        (lobster_file([]), "FILE:1: the file ends after its header: it lists no bond"),
        (lobster_file([], spins=2), "FILE:2: a second header"),
        (lobster_file([], version=5.1, spins=2), "FILE:2: the file ends after its header"),
        ("Cu 0 0 0\n", "FILE:1: expected the header of an ICOHPLIST.lobster (COHP# atomMU …), found 'Cu'"),
        (lobster_file(BONDS).replace("COHP#", "COOP#"), "it is a list of COOPs"),
        ("  COHP#  atomMU  atomNU     distance          ICOHP(eF) avg. over # bonds  for spin  1\n", "written by LOBSTER before 3.0"),
        (lobster_file(BONDS).replace("atomMU", "fragmentAlpha"), "its bonds are between fragmentAlphas"),
        (lobster_file(BONDS).replace("spin  1", "spin  2"), "FILE:1: the header is cut"),
        (lobster_file(BONDS, spins=2).replace("spin  2", "spin  3"), f"FILE:{len(BONDS) + 2}: the header is cut"),
        (lobster_file(BONDS, spins=2) + lobster_file(BONDS), "a third header"),
        (lobster_file(BONDS, version=5.1, spins=2) * 2, "a second header"),
        (_changed(4, FOURTH, ""), "FILE:4: COHP# is 4: expected 3"),
        (_changed(4, FOURTH, FOURTH * 2), "FILE:5: COHP# is 3: expected 4"),
        (_changed(4, FOURTH, "\n" + FOURTH), "FILE:5: it follows an empty line"),
        (_changed(4, ATOM, "Cu"), "FILE:4: 'Cu' is not an atom"),
        (_changed(4, ATOM, "Cu0"), "FILE:4: 'Cu0' is not an atom"),
        (_changed(4, NUMBER, "nan"), "FILE:4: ICOHP is 'nan': expected a finite number"),
        (_changed(4, NUMBER, "*******"), "FILE:4: ICOHP is '*******'"),
        (_changed(4, FOURTH.split()[3], "-2.50000"), "FILE:4: the distance is -2.50000 Å"),
        (_changed(4, "   0   1 ", "   0 0.5 "), "FILE:4: the translation has '0.5'"),
        (_changed(4, NUMBER, NUMBER + " 7"), "FILE:4: expected 8 columns, found 9"),
        (_changed(4, NUMBER, "\x00\xff"), "FILE:4: ICOHP is"),
        (lobster_file([*BONDS[:6], BONDS[2]]), "FILE:8: the bond of line 4 is listed twice"),
        (
            lobster_file(
                [*BONDS[:6], replace(BONDS[2], i=BONDS[2].j, j=BONDS[2].i, elements=BONDS[2].elements[::-1],
                                     translation=tuple(-n for n in BONDS[2].translation))]
            ),
            "FILE:8: the bond of line 4 is listed twice",
        ),
        (lobster_file([replace(BONDS[0], j=BONDS[0].i, elements=("Cu", "Cu"), translation=(0, 0, 0))]), "bonded to itself"),
        (
            lobster_file([replace(BONDS[1], elements=("Cu", "Al")), replace(BONDS[2], elements=("Zr", "Al"))]),
            f"FILE:3: atom {BONDS[0].i + 1} is Zr here and Cu above",
        ),
    ],
)  # fmt: skip
def test_a_malformed_list_is_refused_with_line_and_reason(text, reason, path):
    assert reason in _refusal(path, text)


def test_two_spins_that_list_different_bonds_are_refused(path):
    up, down = lobster_file(BONDS, spins=2).split("  COHP#")[1:]
    rows = down.splitlines(keepends=True)
    rows[3] = rows[3].replace(rows[3].split()[3], "3.33333")
    said = _refusal(path, "  COHP#" + up + "  COHP#" + "".join(rows))
    assert f"FILE:{len(BONDS) + 5}: it is not the bond of line 4" in said


def test_a_list_that_is_not_there_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        icohplist.read(path)
