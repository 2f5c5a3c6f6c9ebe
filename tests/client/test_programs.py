"""The interface of programs of calculations: parameters, results, analyses, loading, files."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tailrace.launchers.containers import Container
from tailrace.launchers.schedulers import make_launcher
from tailrace.programs import (
    Analysis,
    InvalidParameters,
    InvalidResults,
    Observation,
    Parent,
    Program,
    ProgramUnavailable,
    Report,
    Results,
    Site,
    Step,
    StepRefused,
    Table,
    Value,
    Verdict,
    advertise,
    analyses_in_order,
    check_parameters,
    check_schema,
    checked_step,
    copy_checked,
    installed_programs,
    kept_files,
    load_program,
    run_analyses,
    sha256_of,
    walltime_observation,
)  # fmt: skip

pytestmark = pytest.mark.one_database

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["cutoff"],
    "properties": {
        "cutoff": {"type": "number", "minimum": 5, "maximum": 400, "unit": "Ry"},
        "steps": {"type": "integer", "minimum": 1, "default": 100},
        "kind": {"type": "string", "enum": ["scf", "bands"], "default": "scf"},
        "fast": {"type": "boolean"},
        "grid": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 3, "maxItems": 3},
        "label": {"type": "string", "maxLength": 8},
    },
}  # fmt: skip
STEP = Step("s1", "one", "c1", "tiny", {"cutoff": 20}, structure="2\n\nH 0 0 0\nH 0 0 1\n")


class Tiny(Program):
    """A program for tests."""

    name = "tiny"
    needs_structure = True

    def version(self):
        return "1"

    def schema(self):
        return SCHEMA


def test_defaults_are_filled_in_and_whole_numbers_are_taken_for_what_they_are():
    assert check_parameters(SCHEMA, {"cutoff": 20}) == {"cutoff": 20.0, "steps": 100, "kind": "scf"}
    checked = check_parameters(SCHEMA, {"cutoff": 20, "steps": 7.0, "grid": [2, 2, 1]})
    assert (checked["steps"], checked["grid"]) == (7, [2, 2, 1])
    assert isinstance(checked["steps"], int)


@pytest.mark.parametrize(
    "parameters, field, said",
    [
        ({}, "cutoff", "the parameter 'cutoff' is missing: expected a number from 5 to 400 (in Ry)"),
        ({"cutoff": 4}, "cutoff", "cutoff is 4.0: expected a number from 5 to 400 (in Ry)"),
        ({"cutoff": "20"}, "cutoff", 'cutoff is "20": expected a number'),
        ({"cutoff": True}, "cutoff", "cutoff is true: expected a number"),
        ({"cutoff": math.nan}, "cutoff", "cutoff is NaN: expected a number"),
        ({"cutoff": 10**400}, "cutoff", "expected a number from 5 to 400"),
        ({"cutoff": 20, "steps": 1.5}, "steps", "steps is 1.5: expected an integer of at least 1"),
        ({"cutoff": 20, "steps": False}, "steps", "steps is false: expected an integer"),
        ({"cutoff": 20, "kind": "relax"}, "kind", 'kind is "relax": expected one of "scf", "bands"'),
        ({"cutoff": 20, "fast": 1}, "fast", "fast is 1: expected a boolean"),
        ({"cutoff": 20, "grid": [1, 1]}, "grid", "grid is [1, 1]: expected a list of values"),
        ({"cutoff": 20, "grid": [1, 1, 0]}, "grid[2]", "grid[2] is 0: expected an integer of at least 1"),
        ({"cutoff": 20, "grid": "111"}, "grid", 'grid is "111": expected a list'),
        ({"cutoff": 20, "label": "a\0b"}, "label", "expected a text"),
        ({"cutoff": 20, "label": "too long a label"}, "label", "expected a text of at most 8 characters"),
        ({"cutof": 20}, "cutof", "there is no parameter 'cutof' (did you mean 'cutoff'?)"),
        (["cutoff"], "", 'the parameters are ["cutoff"]: expected an object'),
        (None, "", "the parameters are null"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value_and_what_was_expected(parameters, field, said):
    with pytest.raises(InvalidParameters) as caught:
        check_parameters(SCHEMA, parameters)
    assert said in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True}, {"type": "array"}, {"required": ["none"]}, {"properties": None}, {"$ref": "#"},
        {"properties": {"a": {"type": "object"}}}, {"properties": {"a": {"type": "number", "pattern": "x"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "array"}}}}, {"properties": {"a": {}}},
        {"required": [], "properties": {"a": {"type": "integer", "minimum": 1, "default": 0}}},
    ],
)  # fmt: skip
def test_schemas_that_a_form_can_not_show_are_refused(change):
    check_schema(SCHEMA)
    with pytest.raises(ValueError):
        check_schema({**SCHEMA, **change})


def test_a_step_is_held_to_the_program_s_own_schema_with_its_corrections():
    program = Tiny(Site())
    assert checked_step(program, STEP).parameters == {"cutoff": 20.0, "steps": 100, "kind": "scf"}
    assert checked_step(program, replace(STEP, corrections={"steps": 200})).settings["steps"] == 200
    with pytest.raises(InvalidParameters, match="steps is 0"):
        checked_step(program, replace(STEP, corrections={"steps": 0}))
    with pytest.raises(StepRefused, match="needs a structure"):
        checked_step(program, replace(STEP, structure=None))


def test_results_survive_json_and_numbers_that_are_not_finite_are_refused_by_name():
    results = Results(
        {"energy": Value(-12.5, "eV"), "converged": Value(True), "method": Value("PBE")},
        {"bands": Table({"k": "1/Å", "energy": "eV"}, [[0, -1.5], [1, None]])},
        ("bands.png",), "Fine.", [Observation("runtime", "loop", {"n": 4, "kind": "a"}, 1.5, "s", {"host": "n1"})],
    )  # fmt: skip
    again = Results.from_json(results.to_json())
    assert again.to_json() == results.to_json()
    assert again.values["energy"] == Value(-12.5, "eV")
    bad = [
        (replace(results, values={"energy": Value(math.inf)}), "the value 'energy' is inf: expected a finite number"),
        (replace(results, values={"energy": Value([1])}), "the value 'energy' is a list"),
        (replace(results, tables={"t": Table({"a": ""}, [[math.nan]])}), "'a' in row 1 of the table 't' is nan"),
        (replace(results, tables={"t": Table({"a": ""}, [[1, 2]])}), "row 1 of the table 't' has 2 values: expected 1"),
        (replace(results, observations=[Observation("s", "k", {"n": math.nan}, 1)]), "'n' of the observation 'k' is nan"),
    ]  # fmt: skip
    for one, said in bad:
        with pytest.raises(InvalidResults, match=said):
            one.to_json()


def test_verdicts_need_a_reason_unless_the_step_is_done():
    assert Verdict.done().reason == ""
    for wrong in (("unconverged", ""), ("failed", ""), ("finished", "x")):
        with pytest.raises(ValueError, match="a verdict of"):
            Verdict(*wrong)


def analysis(name, *requires, fails=False):
    def run(step, folder, results):
        if fails:
            raise ValueError("no data")
        return Report({name: Value(1)})

    return Analysis(name, name, "", run, requires)


def test_analyses_run_in_order_and_a_failed_one_stops_those_that_need_it(tmp_path):
    known = [analysis("c", "b"), analysis("b", "a", fails=True), analysis("a"), analysis("d", "a")]
    step = replace(STEP, analyses=("c", "b", "a", "d"))
    reports = {one["name"]: one for one in run_analyses(known, step, tmp_path, Results())}
    assert {name: one["state"] for name, one in reports.items()} == {
        "a": "done",
        "d": "done",
        "b": "failed",
        "c": "skipped",
    }
    assert reports["b"]["reason"] == "ValueError: no data"
    assert reports["c"]["reason"] == "it requires b, which gave no results"
    for names, said in ((["b"], "requires a"), (["x"], "there is no analysis 'x'")):
        with pytest.raises(ValueError, match=said):
            analyses_in_order(known, names)
    with pytest.raises(ValueError, match="in a circle"):
        analyses_in_order([analysis("a", "b"), analysis("b", "a")], ["a", "b"])


def test_programs_are_found_by_entry_point_or_by_module_and_class():
    assert {"shell", "tblite", "quantum-espresso", "lammps", "siesta", "glass", "deform", "bond-labels"} <= set(
        installed_programs()
    )
    loaded = load_program("tiny", Site(), f"{__name__}:Tiny")
    assert advertise("tiny", loaded)["schema"] == SCHEMA
    for name, module, said in (
        ("tblit", "", r"there is no program 'tblit' \(did you mean 'tblite'\?\)"),
        ("tiny", "no_such_package.module:Tiny", "can't be imported"),
        ("tiny", "tests.client.test_programs", "expected 'package.module:Class'"),
        ("tiny", "pathlib:Path", "is not a class derived from"),
    ):
        with pytest.raises(ProgramUnavailable, match=said):
            load_program(name, Site(), module)


def test_steps_come_from_the_server_s_json_with_the_folders_of_their_parents():
    work = {
        "step": "s2", "fence": 3, "attempt": 2, "name": "two", "calculation": "c1", "program": "tiny",
        "parameters": {"cutoff": 20}, "structure": None, "resources": {"nodes": 1, "processes": 2, "seconds": 60},
        "parents": [{"name": "one", "step": "s1", "fence": 1, "parameters": {}, "results": {"values": {"e": {"value": 1}}}}],
        "analyses": ["a"], "corrections": {"steps": 7}, "folder_key": "x",
    }  # fmt: skip
    step = Step.from_json(work, lambda step, fence: Path("/root") / step / str(fence))
    assert step.parents[0].folder == Path("/root/s1/1")
    assert step.parents[0].value("e") == 1
    assert step.settings == {"cutoff": 20, "steps": 7}
    with pytest.raises(StepRefused, match="has no value 'density'"):
        step.parents[0].value("density")


def test_a_site_puts_its_mpi_launcher_and_its_container_before_the_program(tmp_path):
    step = replace(STEP, resources={"processes": 4})
    site = Site(launcher=make_launcher("slurm"), container=Container("apptainer", "qe.sif"), root=tmp_path)
    words = site.command(["pw.x", "-in", "pw.in"], step, tmp_path / "s1")
    assert words[:3] == ["srun", "--ntasks", "4"]
    assert words[3:] == [
        "apptainer", "exec", "--pwd", str(tmp_path / "s1"), "--bind", str(tmp_path), "qe.sif", "pw.x", "-in", "pw.in",
    ]  # fmt: skip
    assert Site(launcher=make_launcher("slurm")).command(["tool"], step, tmp_path, mpi=False) == ["tool"]
    local = Site(container=Container("apptainer", "qe.sif")).command(["pw.x"], step, tmp_path)
    assert local[-4:] == ["mpiexec", "-n", "4", "pw.x"], "inside of the container"


def test_the_wall_time_of_a_step_is_one_observation_whatever_the_attempt():
    observation = walltime_observation(Tiny(Site()), replace(STEP, attempt=3, fence=9), 12.5, source={"host": "n1"})
    assert observation.to_json() == {
        "stream": "calculations-walltime", "key_suffix": "walltime", "y": 12.5, "unit": "s", "source": {"host": "n1"},
        "x": {"program": "tiny", "atoms": 2, "nodes": 1, "processes": 1},
    }  # fmt: skip
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="a wall time of"):
            walltime_observation(Tiny(Site()), STEP, wrong)


def test_kept_files_are_those_of_the_folder_itself(tmp_path):
    folder, other = tmp_path / "step", tmp_path / "other"
    (folder / "out").mkdir(parents=True)
    other.mkdir()
    (folder / "out" / "density").write_text("d")
    (other / "secret").write_text("s")
    (folder / "out" / "link").symlink_to(other / "secret")
    (folder / "linked").symlink_to(other)
    assert kept_files(folder, ["out/*", "linked/*", "none"]) == [Path("out/density")]
    for pattern in ("../other/*", "/etc/passwd", "out/../../other/secret"):
        with pytest.raises(ValueError, match="leaves the step's folder"):
            kept_files(folder, [pattern])


def test_a_checked_copy_is_the_file_that_was_meant(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    checksum = copy_checked(tmp_path / "a", tmp_path / "deep" / "b")
    assert checksum == sha256_of(tmp_path / "a") == sha256_of(tmp_path / "deep" / "b")
    (tmp_path / "a").write_bytes(b"x" * 2_999_999)
    with pytest.raises(StepRefused, match="was changed or cut off"):
        copy_checked(tmp_path / "a", tmp_path / "c", checksum)
    with pytest.raises(StepRefused, match="is missing"):
        copy_checked(tmp_path / "none", tmp_path / "c")


def test_a_table_of_a_parent_is_read_or_said_to_be_missing():
    results = {"tables": {"levels": {"columns": {"E": "eV"}, "rows": [[1.5]]}}, "tables_left_out": ["large"]}
    parent = Parent("scf", Path("."), {}, results)
    assert parent.table("levels") == Table({"E": "eV"}, [[1.5]])
    with pytest.raises(StepRefused, match=r"'large' of the parent step 'scf' is too large .* kept for children"):
        parent.table("large")
    with pytest.raises(StepRefused, match="has no table 'none'"):
        parent.table("none")


def test_values_of_a_parent_that_were_not_handed_on_are_said_to_be_too_large():
    with pytest.raises(StepRefused, match=r"'scf' were not handed on, .* kept for children"):
        Parent("scf", Path("."), {}, {"values": {}, "values_left_out": True}).value("energy")
