"""Outputs of SIESTA 4.0, 4.1 and 5, written by hand after the manuals and the sources of these versions.

No real SIESTA can be installed where these tests run: they show that the plug-in reads what these versions are documented
to write, not that a real run works.
"""

HEADS = {
    "4.0": "Siesta Version:                                        siesta-4.0.2\nArchitecture  : x86_64\n",
    "4.1": "Siesta Version  : v4.1.5\nArchitecture    : unknown\nPARALLEL version\n",
    "5": "Executable      : siesta\nVersion         : 5.2.1\nArchitecture    : x86_64\n\n        *  WELCOME TO SIESTA  *\n",
}
READ = {
    "4.0": " Attempting to read DM from file...\n DMread after reading file:\n   <SpMatrix:step.DM>\n",
    "4.1": "Attempting to read DM from file... Succeeded...\n DM from file:\n",
    "5": "Attempting to read DM from file... Succeeded...\n DM from file:\n",
}
NOT_READ = {
    "4.0": " Attempting to read DM from file...\n DMnew after filling with atomic data:\n",
    "4.1": "Attempting to read DM from file... Failed...\nDM initialized from atoms\n",
    "5": "Attempting to read DM from file... Failed...\nDM initialized from atoms\n",
}
NOT_CONVERGED = {
    "4.0": "SCF_NOT_CONV: SCF did not converge in maximum number of steps.\n",
    "4.1": "SCF_NOT_CONV: SCF did not converge in maximum number of steps (required).\n",
    "5": "SCF_NOT_CONV: SCF did not converge in maximum number of steps (required).\n",
}
END = {
    "4.0": ">> End of run:  12-SEP-2016  14:20:01\n",
    "4.1": ">> End of run:  12-SEP-2022  14:20:01\nJob completed\n",
    "5": ">> End of run:  12-SEP-2025  14:20:01\nJob completed\n",
}
FORCES = "     2\n     1    0.000000    0.000000    0.120000\n     2   -0.000000    0.000000   -0.120000\n"
ANI = "     2\n\nLi  3.5 3.5 2.6\nH   3.5 3.5 4.2\n     2\n\nLi  3.5 3.5 2.55\nH   3.5 3.5 4.15\n"


def scf(version, *, changes=(1.2, 0.03, 0.00002), converged=True):
    """One self-consistent field; `changes` are the largest changes of the density matrix."""
    rows = []
    for number, change in enumerate(changes, start=1):
        if version == "4.0":
            rows.append(f"siesta: {number:4d}     -189.1012     -189.2345     -189.2345  {change:.5f} -4.9661\n")
        else:
            rows.append(
                f"   scf: {number:4d}      -189.101200     -189.234500     -189.234500  {change:.6f} -4.966084  0.01\n"
            )
    last = ""
    if converged and version != "4.0":
        last = f"\nSCF Convergence by DM+H criterion\n\nSCF cycle converged after {len(changes)} iterations\n"
    return "".join(rows) + last


def output(version, *, start="", scfs=("",), relax="", end=None):
    """A whole report."""
    energy = "siesta: E_KS(eV) =             -189.2345\n"
    if version == "4.0":
        energy += "siesta:         Total =    -189.234500\n"
    dipole = "\nsiesta: Electric dipole (a.u.)  =    0.000000    0.000000    2.200000\n"
    body = "".join(f"{one}\n{energy}" for one in scfs)
    return HEADS[version] + start + body + relax + dipole + (END[version] if end is None else end)
