"""The page docs/how-to/programs.md: its example of a plug-in runs, and its table names the programs that there are."""

import re
import sys
import tomllib

import pytest
from tailrace.programs import advertise, installed_programs

from tests.lammps_jobs.steps import at, ran, step_of
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

PAGE = (ROOT / "docs" / "how-to" / "programs.md").read_text()
TOOL = "import sys; n = int(open(sys.argv[1]).read().split()[2]); print('residual', 10.0 ** -(n / 5)); print('energy -1.5')"


def test_the_example_of_a_plug_in_runs_converges_and_is_corrected(tmp_path):
    names = {"__name__": "example"}
    exec(re.search(r"(?s)```python\n(.*?)```", PAGE)[1], names)
    program = names["Solver"](at({"command": [sys.executable, "-c", TOOL]}))
    assert advertise("solver", program)["title"] == "Our solver"
    step = step_of(program)
    verdict = ran(program, step, tmp_path / "one")
    assert (verdict.state, verdict.cause) == ("unconverged", "steps")
    correction = program.correct(step, tmp_path / "one", verdict)
    second = step_of(program, attempt=2, corrections=correction.corrections)
    assert ran(program, second, tmp_path / "two").state == "done"
    assert program.extract(second, tmp_path / "two").to_json()["values"] == {"energy": {"value": -1.5, "unit": "eV"}}


def test_its_table_names_every_program_and_its_agent_file_is_toml():
    table = PAGE.partition("## The programs that come with Tailrace")[2].partition("\n## ")[0]
    assert set(re.findall(r"(?m)^\| `([^`]+)` \|", table)) == set(installed_programs())
    content = tomllib.loads(re.search(r"(?s)```toml\n(.*?)```", PAGE)[1])
    assert {"quantum-espresso", "tblite", "wetting"} <= set(content["programs"])
