"""A program for tests of the agent: a shell script that does as its parameters say."""

import json
from pathlib import Path

from tailrace.programs import (
    Analysis,
    Correction,
    Keep,
    Observation,
    Program,
    Report,
    Results,
    StepRefused,
    Table,
    Value,
    Verdict,
)

SCRIPT = """\
echo started
cat "$1"
test {eats} = 0 || python3 -c "import time; b = bytearray({eats} << 20); time.sleep(60)" || exit 1
sleep {seconds} || exit 1
test -z "{writes}" || head -c {writes} /dev/zero | tr '\\0' 'x'
echo {answer} > answer.txt
test -z "{fills}" || head -c 9000000 /dev/zero > "{fills}" 2>/dev/null
exit {code}
"""


def double(step, folder, results):
    (folder / "double.txt").write_text("twice")
    return Report(
        {"double": Value(2 * results.values["answer"].value)},
        files=("double.txt",),
        report="Twice the answer, in µeV²?",
    )


def broken(step, folder, results):
    raise RuntimeError("this analysis is broken")


class Small(Program):
    name = "small"
    title = "Small"
    analyses = (
        Analysis("double", "Double", "", double),
        Analysis("broken", "Broken", "", broken),
        Analysis("after", "After", "", double, requires=("broken",)),
    )

    def version(self):
        place = self.site.options.get("version_file")
        return Path(place).read_text().strip() if place else "1.0"

    def schema(self):
        number = {"type": "number", "minimum": 0, "default": 0}
        return {
            "type": "object",
            "properties": {
                "answer": {"type": "number", "default": 42},
                "seconds": number,
                "code": {"type": "integer", "default": 0},
                "writes": {"type": "integer", "default": 0},
                "converged": {"type": "boolean", "default": True},
                "eats": {"type": "integer", "default": 0},
                "fills": {"type": "string", "default": ""},
                "hang": {"type": "boolean", "default": False},
            },
            "required": [],
            "additionalProperties": False,
        }

    def prepare(self, step, folder):
        if self.site.options.get("eats"):
            bytearray(8 << 30)
        if step.settings.get("answer") == 13:
            raise StepRefused("answer is 13: expected another number")
        said = {**{name: one["default"] for name, one in self.schema()["properties"].items()}, **step.settings}
        (folder / "run.sh").write_text(SCRIPT.format(**{**said, "writes": said["writes"] or ""}))
        (folder / "input; 'x' $HOME").write_text("\x1b[31mred\n")
        for parent in step.parents:
            (folder / "from_parent.txt").write_text((parent.folder / "answer.txt").read_text())
            (folder / "table_of_parent.txt").write_text(repr(parent.table("answers")))

    def command(self, step, folder):
        return [*self.site.options.get("command", ["/bin/sh"]), "run.sh", "input; 'x' $HOME"]

    def validate(self, step, folder, exit_code):
        if exit_code != 0:
            return Verdict.failed(f"exit code {exit_code}")
        if step.settings.get("hang"):
            import time

            time.sleep(3600)
        if not step.settings.get("converged", True):
            return Verdict.unconverged("it did not converge")
        return Verdict.done()

    def extract(self, step, folder):
        answer = float((folder / "answer.txt").read_text())
        point = Observation("answers", "answer", {"code": 0}, answer)
        tables = {"answers": Table({"answer": "eV"}, [[answer]])}
        said = f"The answer is\n{answer} eV."
        return Results({"answer": Value(answer, "eV")}, tables, ("answer.txt",), said, (point,))

    def correct(self, step, folder, verdict):
        return (
            Correction("try harder", "it did not converge", {"converged": True})
            if verdict.state == "unconverged"
            else None
        )

    def keep(self, step):
        return Keep(children=("answer.txt",), always=("answer.txt",))


def read(path):
    return json.loads(path.read_text())
