"""Structures: extended XYZ, LAMMPS dumps and data are read as they are; what bonds can't be found in is refused."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.lammpsdata import write_lammps_data
from ase.neighborlist import neighbor_list

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.structures.frames import Lines, dump_frames
from lammps_jobs.bonds.structures.spacing import closest_pair, widths
from tests.lammps_jobs.crystals import crystal

pytestmark = pytest.mark.one_database

CELL = crystal((2, 2, 1), 3, shear=1.5)


def _dump(atoms: Atoms, steps: int = 1, *, scaled: bool = False, elements: bool = True, order: int = 1) -> str:
    """A dump of LAMMPS; a cell whose vectors are a triangle of numbers, as LAMMPS has them, gets a tilted box."""
    (a, _, _), (xy, b, _), (xz, yz, c) = atoms.cell.array
    low, high = min(0, xy, xz, xy + xz), max(0, xy, xz, xy + xz)
    types = {"Al": 1, "Cu": 2, "Zr": 3}
    names = "xs ys zs" if scaled else "x y z"
    points = atoms.get_scaled_positions(wrap=False) if scaled else atoms.positions
    rows = [
        f"{number} {types[atoms.symbols[number - 1]]} "
        + (f"{atoms.symbols[number - 1]} " if elements else "")
        + " ".join(f"{value:.10f}" for value in points[number - 1])
        for number in range(1, len(atoms) + 1)
    ]
    return "".join(
        f"ITEM: TIMESTEP\n{100 * step}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n"
        f"{low:.10f} {a + high:.10f} {xy:.10f}\n{min(0, yz):.10f} {b + max(0, yz):.10f} {xz:.10f}\n"
        f"0.0 {c:.10f} {yz:.10f}\n"
        f"ITEM: ATOMS id type {'element ' if elements else ''}{names}\n" + "\n".join(rows[::order]) + "\n"
        for step in range(steps)
    )


def _xyz(atoms: Atoms, directory: Path) -> str:
    structure_files.write(directory / "plain.xyz", atoms)
    return (directory / "plain.xyz").read_text()


def _refusal(path: Path, text: str, **options: object) -> str:
    path.write_text(text)
    with pytest.raises(Refused) as caught:
        structure_files.read(path, **options)
    return str(caught.value).replace(str(path), "FILE")


def _same(found: Atoms, expected: Atoms, tolerance: float = 1e-7) -> None:
    assert found.get_chemical_symbols() == expected.get_chemical_symbols()
    assert found.pbc.all()
    assert found.cell.array == pytest.approx(expected.cell.array, abs=tolerance)
    assert found.positions == pytest.approx(expected.positions, abs=tolerance)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "structure"


@pytest.fixture
def tilted() -> Atoms:
    """A cell whose vectors are a lower triangle, as LAMMPS demands; atoms inside it."""
    atoms = crystal((2, 2, 2), 5)
    atoms.set_cell([[8.0, 0, 0], [2.0, 8.0, 0], [1.0, -1.5, 8.0]], scale_atoms=True)
    atoms.wrap()
    return atoms


def test_extended_xyz_comes_back_as_it_was_written_atoms_outside_the_cell_too(path):
    structure_files.write(path, CELL)
    _same(structure_files.read(path), CELL)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_columns_and_keys_that_are_not_needed_are_no_trouble(path, tmp_path):
    atoms = CELL.copy()
    atoms.set_array("forces", np.ones((len(atoms), 3)))
    atoms.info["energy"] = -1.5
    atoms.write(path, format="extxyz")
    _same(structure_files.read(path), CELL)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_a_dump_is_read_in_the_order_of_its_ids(scaled, order, path, tilted):
    path.write_text(_dump(tilted, scaled=scaled, order=order))
    _same(structure_files.read(path), tilted, 1e-6)


def test_a_dump_without_elements_needs_them_named_by_type(path, tilted):
    path.write_text(_dump(tilted, elements=False))
    _same(structure_files.read(path, types=["Al", "Cu", "Zr"]), tilted, 1e-6)
    text = path.read_text()
    assert "FILE:9: the elements of the atoms are unknown: name those of types" in _refusal(path, text)
    assert "type 3: elements are named for types 1 to 2" in _refusal(path, text, types=["Al", "Cu"])
    assert "'Xx', named as the element of an atom type" in _refusal(path, text, types=["Al", "Xx", "Zr"])


def test_of_several_frames_any_is_read_the_last_unless_asked(path, tilted):
    later = tilted.copy()
    later.positions += 0.25
    path.write_text(_dump(tilted) + _dump(later))
    _same(structure_files.read(path), later, 1e-6)
    _same(structure_files.read(path, frame=0), tilted, 1e-6)
    _same(structure_files.read(path, frame=-2), tilted, 1e-6)
    assert "there is no frame 2: the file has 2" in _refusal(path, path.read_text(), frame=2)
    assert "there is no frame -3: the file has 2" in _refusal(path, path.read_text(), frame=-3)


@pytest.mark.parametrize("masses", [True, False])
def test_lammps_data_is_read_with_masses_or_named_types(masses, path, tilted):
    with open(path, "w") as file:
        write_lammps_data(file, tilted, specorder=["Al", "Cu", "Zr"], masses=masses, atom_style="atomic")
    _same(structure_files.read(path, types=None if masses else ["Al", "Cu", "Zr"]), tilted, 1e-6)
    if not masses:
        assert "the elements of the atom types are unknown" in _refusal(path, path.read_text())


def _data(path, atoms, masses=(26.982, 63.546, 91.224), style="atomic"):
    with open(path, "w") as file:
        write_lammps_data(file, atoms, specorder=["Al", "Cu", "Zr"], masses=False, atom_style=style)
    section = "Masses\n\n" + "".join(f"{number} {mass}\n" for number, mass in enumerate(masses, start=1))
    return path.read_text().replace("Atoms #", f"{section}\nAtoms #")


@pytest.mark.parametrize("style", ["atomic", "charge", "full"])
def test_lammps_data_say_their_style_or_their_columns_do(style, path, tilted):
    text = _data(path, tilted, style=style)
    path.write_text(text)
    _same(structure_files.read(path), tilted, 1e-6)
    begin = text.splitlines().index(f"Atoms # {style}") + 1
    bare = text.replace(f"Atoms # {style}", "Atoms")
    if style == "charge":
        assert (
            f"FILE:{begin}: the section's line doesn't name the atom style of its 6 columns: write `Atoms # charge`"
            in (_refusal(path, bare))
        )
    else:
        path.write_text(bare)
        _same(structure_files.read(path), tilted, 1e-6)
    for other in ("sphere", "dipole", "full" if style == "atomic" else "atomic"):
        assert f"FILE:{begin}: atoms of the style '{other}' in" in _refusal(
            path, text.replace(f"# {style}", f"# {other}")
        )


def test_columns_after_the_position_are_image_flags(path, tilted):
    lines = _data(path, tilted).splitlines()
    begin = lines.index("Atoms # atomic") + 2
    flagged = [f"{line} 0 -1 +1" if number >= begin else line for number, line in enumerate(lines)]
    path.write_text("\n".join(flagged) + "\n")
    assert len(structure_files.read(path)) == len(tilted)
    bare = "\n".join(flagged).replace("Atoms # atomic", "Atoms") + "\n"
    assert "doesn't name the atom style of its 8 columns: they may be atomic with three image flags, or" in _refusal(
        path, bare
    )
    moved = "\n".join(f"{line} 0 0.5 1" if number >= begin else line for number, line in enumerate(lines))
    assert "not image flags" in _refusal(path, moved + "\n")


@pytest.mark.parametrize(
    ("masses", "reason"),
    [
        ((26.982, 72.0, 91.224), "type 2 has the mass 72, which fits no element (the nearest is Ge, 72.630): name"),
        ((500.0, 63.5, 91.2), "type 1 has the mass 500, which fits no element"),
        ((3.024, 63.5, 91.2), "type 1 has the mass 3.024, which fits no element"),
        ((58.8, 63.5, 91.2), "type 1 has the mass 58.8, which may be Ni, 58.693 or Co, 58.933"),
        ((0, 63.5, 91.2), "type 1 has the mass 0, which fits no element"),
        (("nan", 63.5, 91.2), "type 1 has the mass nan, which fits no element"),
        (("heavy", 63.5, 91.2), "expected a type and its mass, found '1 heavy'"),
        ((1, 1, 1), "every mass is 1, as in reduced units"),
    ],
)
def test_masses_that_are_no_elements_are_refused(masses, reason, path, tilted):
    text = _data(path, tilted, masses)
    assert reason in _refusal(path, text)
    path.write_text(text)
    if "58.8" in reason:
        assert "type 1 is named Al, and has the mass 58.8, which is Ni, 58.693's: name" in _refusal(
            path, text, types=["Al", "Cu", "Zr"]
        )
    elif "expected a type" not in reason:
        assert len(structure_files.read(path, types=["Al", "Cu", "Zr"])) == len(tilted)


@pytest.mark.parametrize("masses", [(27, 63.5, 91), (26.98, 63.55, 91.22), (26.9815385, 63.546, 91.224)])
def test_masses_may_be_rounded(masses, path, tilted):
    path.write_text(_data(path, tilted, masses))
    _same(structure_files.read(path), tilted, 1e-6)


@pytest.mark.parametrize("units", ["lj", "nano", "electron", "si"])
def test_data_in_other_units_are_refused(units, path, tilted):
    rest = _data(path, tilted).partition("\n")[2]
    head = "LAMMPS data file via write_data, version 22 Jul 2025, timestep = 0, units = "
    said = _refusal(path, f"{head}{units}\n{rest}")
    assert f"FILE:1: the file is in LAMMPS's units {units}: expected metal or real" in said
    for known in ("metal", "real"):
        path.write_text(f"{head}{known}\n{rest}")
        assert len(structure_files.read(path)) == len(tilted)


@pytest.mark.parametrize("style", ["atomic", "full", "charge"])
def test_a_type_without_a_mass_or_an_element_is_refused(style, path, tilted):
    text = _data(path, tilted, style=style)
    assert "type 3 has no mass in the section Masses: name the elements" in _refusal(
        path, text.replace("3 91.224\n", "")
    )
    bare = text.replace("Masses\n\n1 26.982\n2 63.546\n3 91.224\n", "")
    said = _refusal(path, bare, types=["Al", "Cu"])
    assert "type 3 has no element: elements are named for types 1 to 2" in said


def test_named_elements_that_the_file_contradicts_are_refused(path, tilted):
    text = _data(path, tilted)
    line = text.splitlines().index("2 63.546") + 1
    said = _refusal(path, text, types=["Al", "Cu"])
    assert f"FILE:{line + 1}: elements are named for types 1 to 2, and the section Masses has type 3: name one" in said
    said = _refusal(path, text, types=["Al", "Zr", "Cu"])
    assert f"FILE:{line}: type 2 is named Zr, and has the mass 63.546, which is Cu, 63.546's: name the elements" in said
    for heavy in ("64.93", "1", "2.014"):  # no element's mass: an isotope's, a bead's
        path.write_text(text.replace("2 63.546", f"2 {heavy}"))
        assert len(structure_files.read(path, types=["Al", "Cu", "Zr"])) == len(tilted)
    labels = "Atom Type Labels\n\n1 Al\n2 Cu\n3 Zr\n\n"
    said = _refusal(
        path, text.replace("Masses", labels + "Masses").replace("2 63.546", "2 1"), types=["Al", "Ni", "Zr"]
    )
    assert "type 2 is named Ni, and has the label Cu" in said


def test_named_elements_that_a_dump_contradicts_are_refused(path, tilted):
    text = _dump(tilted)
    path.write_text(text)
    assert len(structure_files.read(path, types=["Al", "Cu", "Zr"])) == len(tilted)
    said = _refusal(path, text, types=["Al", "Zr", "Cu"])
    assert "is named" in said
    assert "and the dump's column element says" in said


def test_types_that_are_written_as_labels_are_refused(path, tilted):
    text = _data(path, tilted)
    labels = "Atom Type Labels\n\n1 Al\n2 Cu\n3 Zr\n\n"
    path.write_text(text.replace("Masses", labels + "Masses"))
    _same(structure_files.read(path), tilted, 1e-6)
    said = _refusal(path, text.replace("Masses", labels + "Masses").replace("2 63.546", "Cu 63.546"))
    assert "'Cu' is a type's label: expected its number" in said
    lines = text.splitlines()
    last = lines[-1].split()
    lines[-1] = " ".join([last[0], "Zr", *last[2:]])
    assert "'Zr' is a type's label: expected its number" in _refusal(path, "\n".join(lines) + "\n")
    said = _refusal(path, text.replace("Masses", labels.replace("2 Cu", "2 Zr").replace("3 Zr", "3 Cu") + "Masses"))
    assert "type 2 has the label Zr and the mass 63.546, which is not Zr, 91.224's" in said


def test_type_labels_that_are_no_elements_are_refused(path, tilted):
    text = _data(path, tilted)
    begin, end = text.index("Masses"), text.index("Atoms #")
    assert "the type label 'bead' is not an element" in _refusal(
        path, f"{text[:begin]}Atom Type Labels\n\n1 Al\n2 bead\n3 Zr\n\n{text[end:]}"
    )


def test_a_dump_that_breaks_off_is_refused_wherever_it_does(path, tilted):
    text = _dump(tilted[:6], steps=2)
    first = len(_dump(tilted[:6]))
    for cut in range(1, len(text)):
        if cut != first:
            with pytest.raises(Refused, match=r"^FILE:"):
                list(dump_frames(Lines("FILE", text[:cut].splitlines(keepends=True)), None))
    assert f"FILE:{len(text.splitlines()) - 1}: the file is truncated: the frame ends after 5 of 6 atoms" in _refusal(
        path, "".join(text.splitlines(keepends=True)[:-1])
    )
    assert "the last line has no newline" in _refusal(path, text[:-1])


def test_an_extended_xyz_that_breaks_off_is_refused_with_its_line(path, tmp_path):
    text = _xyz(CELL, tmp_path)
    lines = text.splitlines(keepends=True)
    assert (
        f"FILE:{len(lines) - 3}: the file is truncated: the frame ends after {len(CELL) - 3} of {len(CELL)} atoms"
        in (_refusal(path, "".join(lines[:-3])))
    )
    assert f"FILE:{len(lines)}: the row has 3 columns, expected 4: the file ends in the middle" in _refusal(
        path, text[: text.rstrip().rindex(" ")]
    )
    assert f"FILE:{len(lines)}: the file is truncated" in _refusal(path, text[:-4])
    path.write_text(text[:-1])
    _same(structure_files.read(path), CELL)


def test_lammps_data_that_break_off_are_refused(path, tilted):
    with open(path, "w") as file:
        write_lammps_data(file, tilted, specorder=["Al", "Cu", "Zr"], masses=True, atom_style="atomic")
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    assert f"the section Atoms ends after {len(tilted) - 2} of {len(tilted)} atoms" in _refusal(
        path, "".join(lines[:-2])
    )
    assert f"FILE:{len(lines)}: the row has 4 columns, expected 5" in _refusal(path, text[: text.rstrip().rindex(" ")])


def _with(text: str, line: int, before: str, after: str) -> str:
    lines = text.splitlines(keepends=True)
    assert before in lines[line - 1], lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(before, after, 1)
    return "".join(lines)


def test_what_is_wrong_in_a_row_is_said_with_its_line(path, tmp_path, tilted):
    xyz, dump = _xyz(CELL, tmp_path), _dump(tilted)
    symbol = xyz.splitlines()[4].split()[0]
    assert "FILE:5: 'Xx' is not a chemical element" in _refusal(path, _with(xyz, 5, symbol, "Xx"))
    assert "FILE:5: 'X' is not a chemical element" in _refusal(path, _with(xyz, 5, symbol, "X"))
    number = xyz.splitlines()[4].split()[2]
    assert "FILE:5: 'nan' is not a finite number" in _refusal(path, _with(xyz, 5, number, "nan"))
    assert "FILE:5: '1,5' is not a finite number" in _refusal(path, _with(xyz, 5, number, "1,5"))
    assert "FILE:12: 'Qq' is not a chemical element" in _refusal(path, _with(dump, 12, tilted.symbols[2], "Qq"))
    assert "FILE:12: 'inf' is not a finite number" in _refusal(
        path, _with(dump, 12, dump.splitlines()[11].split()[-1], "inf")
    )
    assert "FILE:12: atom 2 is listed twice" in _refusal(path, _with(dump, 12, "3 ", "2 "))
    assert "FILE:7: 'x' is not a finite number" in _refusal(path, _with(dump, 7, dump.splitlines()[6].split()[0], "x"))
    assert "FILE:9: the dump has no positions" in _refusal(path, _with(dump, 9, "x y z", "vx vy vz"))
    assert "FILE:2: Properties=pos:R:3" in _refusal(path, _with(xyz, 2, "species:S:1:pos:R:3", "pos:R:3"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "FILE: the file is empty"),
        (" \n\n", "FILE: the file is empty"),
        ("data_Cu\n_cell_length_a 3.6\n", "FILE:1: expected an extended XYZ file, a LAMMPS dump or LAMMPS data"),
        ("\x00\x01\x02\n", "FILE:1: expected an extended XYZ file"),
        ("0\n\n", "FILE:1: expected a number of atoms, at least 1"),
        ("ITEM: TIMESTEP\n0\nnonsense\n", "FILE:3: expected a line that starts with ITEM:"),
        ("ITEM: ATOMS id type element x y z\n1 1 Cu 0 0 0\n", "FILE:1: the frame has no NUMBER OF ATOMS"),
        ('1\nLattice="4 0 0 0 4 0 0 0 four" Properties=species:S:1:pos:R:3\nCu 0 0 0\n', "FILE:1: ASE can't read it"),
    ],
)
def test_what_is_no_structure_is_said_to_be_none(text, reason, path):
    assert reason in _refusal(path, text)


def test_a_structure_that_is_not_periodic_is_refused(path, tmp_path):
    text = _xyz(CELL, tmp_path)
    assert "FILE: the structure is not periodic in all three directions (pbc is TTF)" in _refusal(
        path, _with(text, 2, '"T T T"', '"T T F"')
    )
    plain = "".join([text.splitlines(keepends=True)[0], "\n", *text.splitlines(keepends=True)[2:]])
    assert "(pbc is FFF)" in _refusal(path, plain)
    assert "(pbc is TTF)" in _refusal(path, _dump(crystal()).replace("pp pp pp", "pp pp ff"))


def test_a_cell_without_room_is_refused(path):
    row = 'Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n'
    assert "FILE: the cell's volume is 0 Å³ for 1 atoms" in _refusal(path, f'1\nLattice="4 0 0 0 4 0 4 4 0" {row}')
    assert "the cell is 1.000 Å wide" in _refusal(path, f'1\nLattice="1 0 0 0 4 0 0 0 4" {row}')


def test_atoms_that_are_too_close_are_refused_over_the_cell_s_edge_too(path, tmp_path):
    atoms = crystal((2, 2, 2), 5)
    atoms.wrap()
    inside = atoms.copy()
    inside.positions[7] = inside.positions[3] + [0.5, 0.3, 0]
    said = _refusal(path, _xyz(inside, tmp_path))
    assert (
        f"FILE:10: {inside.symbols[3]}4 and {inside.symbols[7]}8 are 0.583 Å from each other: expected at least 1.2 Å"
        in said
    )
    across = atoms.copy()
    across.positions[2], across.positions[9] = [0.1, 4.0, 4.0], [7.9, 4.0, 4.0]
    assert "are 0.200 Å from each other" in _refusal(path, _xyz(across, tmp_path))
    across.positions[9] = across.positions[2]
    assert "are 0.000 Å from each other" in _refusal(path, _xyz(across, tmp_path))
    # The dump lists atoms backwards, its line is still the atom's own.
    dump = _dump(inside, order=-1)
    line = next(number for number, row in enumerate(dump.splitlines(), start=1) if row.startswith("8 "))
    assert f"FILE:{line}: " in _refusal(path, dump)


@pytest.mark.parametrize("seed", range(6))
def test_the_closest_pair_is_the_one_that_ase_finds(seed):
    atoms = crystal((2, 1, 2), seed, shear=1.7)
    distances = neighbor_list("d", atoms, 3.4)
    i, j, distance = closest_pair(atoms, 3.4)
    assert distance == pytest.approx(distances.min(), abs=1e-9)
    assert i < j
    assert closest_pair(atoms, distances.min() - 1e-6) is None
    assert widths(atoms) == pytest.approx(np.abs(atoms.cell.volume / np.linalg.norm(
        np.cross(atoms.cell.array[[1, 2, 0]], atoms.cell.array[[2, 0, 1]]), axis=1)))  # fmt: skip


def test_every_reference_structure_is_accepted(shared_data):
    paths = sorted((shared_data / "bonds").glob("*/structure.xyz"))
    assert len(paths) == 12
    assert all(len(structure_files.read(path)) == 100 for path in paths)


def test_a_structure_that_is_not_there_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        structure_files.read(path)
