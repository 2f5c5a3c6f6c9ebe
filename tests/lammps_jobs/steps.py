"""Steps of calculations for tests: run one as an agent does, and hand it to its children."""

import os
import subprocess

from tailrace.programs import Parent, Site, Step, check_parameters

HYDROGEN_PEROXIDE = """4
Properties=species:S:1:pos:R:3 pbc="F F F"
O 0.0 0.0 0.0
O 1.45 0.0 0.0
H -0.25 0.93 0.0
H 1.70 0.5 0.78
"""


def step_of(program, parameters=None, structure=None, parents=(), **more):
    """A step with the program's defaults filled in, as the server sends it."""
    settings = check_parameters(program.schema(), parameters or {})
    names = {"id": "s1", "name": "one", "calculation": "c1", "program": program.name}
    return Step(**{**names, "parameters": settings, "structure": structure, "parents": tuple(parents), **more})


def ran(program, step, folder, *, timeout=120):
    """Prepare and run a step in a folder of its own. Returns the verdict."""
    folder.mkdir()
    program.prepare(step, folder)
    with open(folder / "output.txt", "wb") as output:
        done = subprocess.run(
            program.command(step, folder), cwd=folder, stdout=output, stderr=subprocess.STDOUT, timeout=timeout,
            stdin=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
    return program.validate(step, folder, done.returncode)


def parent_of(program, step, folder, name="former"):
    """The step as its children get it."""
    return Parent(name, folder, step.parameters, program.extract(step, folder).to_json())


def at(options=None, **more):
    return Site(options=options or {}, **more)
