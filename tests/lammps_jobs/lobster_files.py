"""Files as LOBSTER 3.0 to 5.1 and Quantum ESPRESSO write them, made from bonds: for tests of what reads them."""

from collections.abc import Sequence

from lammps_jobs.bonds.types import LabeledBond

FLAVOURS = {
    "3.0": {},
    "3.0, spin-polarised": {"spins": 2},
    "3.0, by orbitals": {"orbitals": True},
    "3.0, spin-polarised, by orbitals": {"spins": 2, "orbitals": True},
    "5.1": {"version": 5.1},
    "5.1, spin-polarised": {"version": 5.1, "spins": 2},
    "5.1, by orbitals": {"version": 5.1, "orbitals": True},
    "5.1, spin-polarised, by orbitals": {"version": 5.1, "spins": 2, "orbitals": True},
}
UP = 0.6
"""The share of a bond's energy that is in spin 1."""


def icohplist(bonds: Sequence[LabeledBond], *, version: float = 3.0, spins: int = 1, orbitals: bool = False) -> str:
    """An ``ICOHPLIST.lobster``: energies to five decimals, a blank at the end of each row."""
    shares = [1.0] if spins == 1 else [UP, 1.0 - UP]
    if version >= 5.1 and spins == 2:
        return _two_line_header() + _block(bonds, shares, orbitals, width=9)
    width = 12 if version >= 5.1 or orbitals else 7
    gap = " " * (width - 6)
    return "".join(
        f"  COHP#{gap} atomMU{gap} atomNU     distance     translation      ICOHP (at) eF   for spin  {spin}\n"
        + _block(bonds, [share], orbitals, width)
        for spin, share in enumerate(shares, start=1)
    )


def _two_line_header() -> str:
    return (
        "  COHP#    atomMU    atomNU   distance   translation   ICOHP (at) eF    ICOHP (at) eF \n"
        "                                                          for spin 1       for spin 2 \n"
    )


def _block(bonds: Sequence[LabeledBond], shares: Sequence[float], orbitals: bool, width: int) -> str:
    rows = []
    for number, bond in enumerate(bonds, start=1):
        a, b = (f"{element}{atom + 1}" for element, atom in zip(bond.elements, (bond.i, bond.j), strict=True))
        rows.append(_row(number, a, b, bond, [bond.icohp * share for share in shares], width))
        if orbitals:
            for one in ("4s", "3d_x^2-y^2"):
                values = [bond.icohp * share / 2 for share in shares]
                rows.append(_row(number, f"{a}_{one}", f"{b}_4s", bond, values, width))
    return "".join(rows)


def _row(number: int, a: str, b: str, bond: LabeledBond, values: Sequence[float], width: int) -> str:
    x, y, z = bond.translation
    energies = "".join(f"{value:18.5f}" for value in values)
    return f"{number:7d} {a:>{width}} {b:>{width}} {bond.distance:12.5f} {x:7d} {y:3d} {z:3d} {energies} \n"


def lobsterout(
    interactions: int, *, charge: float = 1.44, total: float = 4.03, finished: bool = True, spins: int = 1
) -> str:
    """LOBSTER's report."""
    spilling = "".join(
        (f"spillings for spin channel {spin}\n" if spins == 2 else "")
        + f"abs. total  spilling:  {total:5.2f}%\nabs. charge spilling:  {charge:5.2f}%\n\n"
        for spin in range(1, spins + 1)
    )
    return (
        "LOBSTER v3.0.0 (g++ 5.4.0)\n"
        "starting on host node01 on 2026-01-02 at 12:00:00 UTC using 24 threads\n"
        "detecting used PAW program... Quantum Espresso\n"
        "INFO: There are more PAW bands than local basis functions available.\n"
        f"setting up CO interactions... found {interactions} interactions.\n"
        "projecting...\n"
        f"calculating overlaps...\n{spilling}"
        "writing COHPCAR.lobster and ICOHPLIST.lobster...\n"
        + ("finished in 17 h  6 min 54 s 608 ms of wall time\n" if finished else "")
    )


def scf_out(atoms: int, *, iterations: int = 12, converged: bool = True, done: bool = True, spins: int = 1) -> str:
    """What Quantum ESPRESSO's ``pw.x`` prints of a self-consistent field."""
    steps = "".join(
        f"\n     iteration #{number:3d}     ecut=    70.00 Ry     beta= 0.40\n"
        "     Davidson diagonalization with overlap\n"
        "     total energy              =  -38989.81053481 Ry\n"
        + ("     total magnetization       =     1.00 Bohr mag/cell\n" if spins == 2 else "")
        for number in range(1, iterations + 1)
    )
    return (
        "\n     Program PWSCF v.6.2 (svn rev. 13949:13950) starts on  2Jan2026 at 10:00:00 \n\n"
        f"     number of atoms/cell      = {atoms:12d}\n{steps}"
        + (f"\n     End of self-consistent calculation\n\n     convergence has been achieved in {iterations:3d} iterations\n"
           if converged else "")
        + ("\n   This run was terminated on:  12:00:00   2Jan2026\n\n   JOB DONE.\n" if done else "")
    )  # fmt: skip
