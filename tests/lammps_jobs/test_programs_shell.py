"""The program `shell`: it runs what the site's file declares, and nothing else."""

import sys
from dataclasses import replace

import pytest
from tailrace.programs import ProgramUnavailable, StepRefused, advertise

from lammps_jobs.programs.shell import OUTPUT, Shell
from tests.lammps_jobs.steps import HYDROGEN_PEROXIDE, at, ran, step_of

pytestmark = pytest.mark.one_database

SAY = "import sys; print(sys.argv[1:]); print('area =', sys.argv[1]); print('run complete'); open('out.csv', 'w').write('1')"
OPTIONS = {
    "command": [sys.executable, "-c", SAY, "{angle}", "--name={name}"],
    "version": [sys.executable, "--version"],
    "success": "^run complete$",
    "parameters": {
        "angle": {"type": "number", "minimum": -180, "maximum": 180},
        "name": {"type": "string", "maxLength": 60, "default": "x"},
    },
    "values": {"area": {"pattern": r"^area = (\S+)", "unit": "Å²"}},
    "files": ["out.csv"],
}


def test_parameters_become_arguments_as_they_are_and_values_are_read_by_the_site_s_patterns(tmp_path):
    program = Shell(at({**OPTIONS, "structure": True, "title": "Wetting"}))
    known = advertise("wetting", program)
    assert (known["title"], known["needs_structure"], known["version"][:6]) == ("Wetting", True, "Python")
    hostile = "a b; touch gone $(touch gone) `id` 'x' \"y\" {angle} *"
    step = step_of(program, {"angle": -12.5, "name": hostile}, HYDROGEN_PEROXIDE)
    assert ran(program, step, tmp_path / "one").state == "done"
    assert str(["-12.5", f"--name={hostile}"]) in (tmp_path / "one" / OUTPUT).read_text()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["out.csv", OUTPUT, "structure.xyz"]
    found = program.extract(step, tmp_path / "one")
    assert (found.values["area"].value, found.values["area"].unit, found.files) == (-12.5, "Å²", ("out.csv",))


@pytest.mark.parametrize("value", ["a/b", "/etc/passwd", "..", "a\nb", "a\x1b[2J"])
def test_texts_that_could_be_paths_or_control_a_terminal_are_refused(tmp_path, value):
    program = Shell(at(OPTIONS))
    with pytest.raises(StepRefused, match="name is"):
        program.prepare(step_of(program, {"angle": 1, "name": value}), tmp_path)


def test_a_text_that_is_a_word_of_its_own_can_not_become_an_option(tmp_path):
    program = Shell(at({**OPTIONS, "command": ["tool", "{name}"]}))
    with pytest.raises(StepRefused, match="would take for an option"):
        program.prepare(step_of(program, {"angle": 1, "name": "--output=x"}), tmp_path)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"command": "tool {angle}"}, "expected a list of words"),
        ({"command": []}, "command is missing"),
        ({"command": ["sh", "-c", "tool {name}"]}, "would run what a parameter says"),
        ({"command": ["bash", "-ec", "tool {name}"]}, "would run what a parameter says"),
        ({"command": ["{name}"]}, "would run what a parameter says"),
        ({"command": ["tool", "{other}"]}, "expected the name of one of its parameters"),
        ({"command": ["tool", "{name.__class__}"]}, "expected the name of one of its parameters"),
        ({"command": ["tool", "{name!r}"]}, "expected the name of one of its parameters"),
        ({"command": ["tool", "{"]}, "can't be read"),
        ({"success": None}, "success is None: expected a regular expression"),
        ({"success": "("}, "is not a regular expression"),
        ({"values": {"a": {"pattern": "x"}}}, "expected parentheses around the value"),
        ({"parameters": {"angle": {"type": "object"}}}, "parameters in the agent's file"),
    ],
)
def test_a_site_s_file_that_could_not_work_or_would_be_open_is_refused(change, said):
    with pytest.raises(ProgramUnavailable, match=said):
        Shell(at({**OPTIONS, **change}))


def test_neither_the_exit_code_nor_the_pattern_is_enough_alone(tmp_path):
    program = Shell(at(OPTIONS))
    step = step_of(program, {"angle": 1})
    (tmp_path / "out.csv").write_text("1")
    cases = [
        (b"area = 1\nrun complete\n", 0, "done"), (b"area = 1\nrun complete\n", 3, "failed"),
        (b"area = 1\nrun complete\n", None, "failed"), (b"area = 1\n", 0, "failed"), (b"run complete\n", 0, "failed"),
        (b"area = nan\nrun complete\n", 0, "failed"), (b"", 0, "failed"), (bytes(range(256)) * 9999, 0, "failed"),
        (b"x" * 3_000_000 + b"\narea = 1\nrun complete\n", 0, "done"),
    ]  # fmt: skip
    for output, code, state in cases:
        (tmp_path / OUTPUT).write_bytes(output)
        assert program.validate(step, tmp_path, code).state == state, (output[-40:], code)
    (tmp_path / OUTPUT).write_bytes(b"area = 1\nrun complete\n")
    (tmp_path / "out.csv").unlink()
    assert "did not write out.csv" in program.validate(step, tmp_path, 0).reason
    assert program.correct(replace(step, attempt=1), tmp_path, program.validate(step, tmp_path, 0)) is None


def test_a_program_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ProgramUnavailable, match="not a program here"):
        Shell(at({**OPTIONS, "command": ["no-such-tool"]})).version()
    with pytest.raises(ProgramUnavailable, match="gave no version"):
        Shell(at({**OPTIONS, "version": ["false"]})).version()
