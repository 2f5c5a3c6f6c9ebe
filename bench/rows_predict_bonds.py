"""Predicting the bond strengths of large cells: the whole command, from a structure's file to the list's."""

import json
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy import DATA
from bench.bond_loop import Loop
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row, median_ratio
from bench.servers import ROOT

CELLS = DATA.parent / "bonds"
GLASS = "Zr49Cu49Al2-21"
TRAINING, SAMPLE = 600, 1000
# Not getrusage: its peak is that of the process that started this one, too.
RUN = """
import json, re, sys, time
import distributed, dscribe.descriptors, river
from lammps_jobs.__main__ import main
sys.argv = ["lammps_jobs", "bonds", "predict", *sys.argv[1:]]
before = time.perf_counter()
code = main()
worked = time.perf_counter() - before
(peak,) = re.findall(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"peak_bytes": 1024 * int(peak), "worked_seconds": worked}))
sys.exit(code)
"""


def predicting(context: Context) -> Iterator[Row]:
    """Replicate a reference cell, predict it in fresh processes, and predict some of its bonds by the Python loop.

    Raises
    ------
    BenchError
        If the reference cells are not there, or a prediction fails.
    """
    if not CELLS.is_dir():
        raise BenchError(f"no reference cells at {CELLS}: they are not part of the project")
    model = context.directory / "bonds.pkl"
    model.write_bytes(pickle.dumps(_learned()))
    small, large = ((3, 3, 3), (5, 5, 4)) if context.quick else ((5, 5, 4), (10, 10, 10))
    runs = [_predicted(context, small, model) for _ in range(min(3, context.rounds))]
    seconds = statistics.median(run["seconds"] for run in runs)
    atoms, peak = runs[0]["atoms"], max(run["peak_bytes"] for run in runs) / 1e6
    note = f"{atoms:,} atoms, {runs[0]['bonds']:,} bonds, Python's start and both files included"
    if "bonds-predict" in context.wanted:
        yield Row(SPECS["bonds-predict"], seconds, note, {"runs": runs})
    if "bonds-predict-memory" in context.wanted:
        yield Row(SPECS["bonds-predict-memory"], peak, "the whole process, Python included", {"runs": runs})
    if "bonds-predict-linear" in context.wanted:
        many = _predicted(context, large, model)
        each = statistics.median(run["worked_seconds"] for run in runs) / atoms
        each_of_many = many["worked_seconds"] / many["atoms"]
        note = f"{1e3 * each_of_many:.2f} ms an atom of {many['atoms']:,} by {1e3 * each:.2f} ms of {atoms:,}, without "
        note += f"Python's start; peak memory {many['peak_bytes'] / 1e6:.0f} by {peak:.0f} MB"
        yield Row(SPECS["bonds-predict-linear"], each_of_many / each, note, {"large": many, "small": runs})
    if "bonds-predict-loop" in context.wanted:
        yield _by_the_loop(context, small, model)


def _labeled() -> Iterator[tuple[Any, Any]]:
    import ase.io

    from lammps_jobs.bonds.labels import icohplist

    for path in sorted(CELLS.glob(f"{GLASS}-*/ICOHPLIST.lobster")):
        yield ase.io.read(path.with_name("structure.xyz")), icohplist.read(path)


def _learned() -> Any:
    from lammps_jobs.bonds.descriptors.soap import Descriptor
    from lammps_jobs.bonds.learning.cell_observations import described
    from server.learning.recipes import catalog

    _, model, _ = catalog.build("bond-gpr")
    descriptor = Descriptor()
    for structure, labeled in _labeled():
        for x, y in described(structure, labeled, descriptor, GLASS).observations():
            model.learn_one(x, y)
    return model


def _predicted(context: Context, repeat: tuple[int, int, int], model: Path) -> dict[str, Any]:
    from lammps_jobs.bonds.structures import structure_files

    structure, _ = next(_labeled())
    path, output = context.directory / "bonds.xyz", context.directory / "ICOHPLIST.lobster"
    structure_files.write(path, structure.repeat(repeat))
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), "-o", str(output), "--model-file", str(model)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - before
    if done.returncode != 0:
        raise BenchError(f"the cell could not be predicted: {done.stderr.strip()[-500:]}")
    with output.open("rb") as lines:
        bonds = sum(1 for _ in lines) - 1
    for left in (path, output, output.with_name(f"{output.name}.sd.csv")):
        left.unlink()
    context.tick()
    atoms = len(structure) * int(np.prod(repeat))
    return {"seconds": seconds, "atoms": atoms, "bonds": bonds, **json.loads(done.stdout.splitlines()[-1])}


def _by_the_loop(context: Context, repeat: tuple[int, int, int], model: Path) -> Row:
    """Ours, which finds and describes the bonds too, and theirs, of bonds that are described, in turn in one process."""
    from lammps_jobs.bonds.learning.structure_prediction import predict

    structure, _ = next(_labeled())
    estimator, large = pickle.loads(model.read_bytes()), structure.repeat(repeat)
    loop, chosen = _loop(), np.random.default_rng(0)
    ours, theirs = [], []
    rounds = min(3, context.rounds)
    for _ in range(rounds):
        before = time.perf_counter()
        bonds = len(predict(large, estimator))
        ours.append((time.perf_counter() - before) / bonds)
        some = chosen.choice(len(loop.cell), SAMPLE // rounds)
        theirs.append(loop.measure(some) / len(some))
        context.tick()
    each, each_of_theirs = statistics.median(ours), statistics.median(theirs)
    note = f"{1e3 * each_of_theirs:.1f} ms a bond, {each_of_theirs * bonds:,.0f} s for {bonds:,}, without SOAP and "
    note += f"finding the bonds, by {each * bonds:.1f} s with both"
    return Row(SPECS["bonds-predict-loop"], median_ratio(theirs, ours), note, {"ours": ours, "loop": theirs})


def _loop() -> Loop:
    from lammps_jobs.bonds.descriptors.soap import Descriptor
    from lammps_jobs.bonds.learning.cell_observations import described

    structure, labeled = next(_labeled())
    descriptor = Descriptor()
    return Loop(described(structure, labeled, descriptor, GLASS), descriptor.unprojected(structure), TRAINING)
