"""`shell`: one command that the site's file declares, with parameters as arguments.

The site writes, in its agent's file::

    [programs.wetting]
    module = "lammps_jobs.programs.shell:Shell"
    command = ["/opt/wetting/bin/run", "--angle", "{angle}", "structure.xyz"]
    version = ["/opt/wetting/bin/run", "--version"]
    success = "^run complete$"
    structure = true
    files = ["profile.csv"]
    [programs.wetting.parameters.angle]
    type = "number"
    minimum = 0
    maximum = 180
    [programs.wetting.values.area]
    pattern = "contact area = (\\S+)"
    unit = "Å²"

Nothing of it can be changed from the server. A parameter becomes a part of one word of the argument list. No shell
reads it.
"""

from __future__ import annotations

import math
import re
import shutil
import string
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailrace.programs import (
    Keep,
    Program,
    ProgramUnavailable,
    Results,
    Site,
    Step,
    StepRefused,
    Value,
    Verdict,
    check_schema,
)  # fmt: skip

from lammps_jobs.programs.text_lines import lines

__all__ = ["Shell"]

OUTPUT, STRUCTURE = "output.txt", "structure.xyz"
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Shell(Program):
    """Runs the command of the site's file. The step is done if the exit code is 0 and the output has its pattern."""

    name = "shell"
    title = "Command of the site"
    description = "Runs one command that the site's file declares. Its parameters become arguments."
    needs_structure = None

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options
        self._command = _words(options, "command", required=True)
        self._version = _words(options, "version")
        self._success = _pattern(options.get("success"), "success")
        self._parameters: dict[str, Any] = dict(options.get("parameters") or {})
        self._values = {
            name: (_pattern(rule.get("pattern"), f"values.{name}.pattern", groups=1), str(rule.get("unit", "")))
            for name, rule in (options.get("values") or {}).items()
        }
        self._files = tuple(_words(options, "files"))
        self._kept = tuple(_words(options, "keep"))
        self._paths = bool(options.get("paths", False))
        if "structure" in options:
            # Read by the agent from the instance: each command of a site decides for itself.
            self.needs_structure = bool(options["structure"])  # type: ignore[misc]
        self.title = str(options.get("title", self.title))  # type: ignore[misc]
        self.description = str(options.get("description", self.description))  # type: ignore[misc]
        try:
            check_schema(self.schema())
        except ValueError as error:
            raise ProgramUnavailable(f"parameters in the agent's file: {error}") from None
        self._check_placeholders()

    def version(self) -> str:
        if shutil.which(self._command[0]) is None:
            raise ProgramUnavailable(f"command starts with {self._command[0]!r}, which is not a program here")
        if not self._version:
            return "unknown"
        try:
            done = subprocess.run(
                self._version, capture_output=True, text=True, errors="replace", timeout=60, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProgramUnavailable(f"version = {self._version} can't be run: {error}") from None
        first = (done.stdout.strip() or done.stderr.strip()).partition("\n")[0].strip()
        if done.returncode or not first:
            raise ProgramUnavailable(f"version = {self._version} gave no version: exit code {done.returncode}")
        return first[:100]

    def schema(self) -> dict[str, Any]:
        required = [name for name, rule in self._parameters.items() if "default" not in rule]
        return {
            "type": "object", "properties": self._parameters, "required": required, "additionalProperties": False,
        }  # fmt: skip

    def prepare(self, step: Step, folder: Path) -> None:
        self.command(step, folder)
        if self.needs_structure and step.structure is None:
            raise StepRefused("the step has no structure: choose one")
        if step.structure is not None:
            (folder / STRUCTURE).write_text(step.structure, encoding="utf-8")

    def command(self, step: Step, folder: Path) -> list[str]:
        values = {name: self._word(name, step.settings[name]) for name in self._parameters}
        words = []
        for word in self._command:
            whole = word.format_map(values)
            if word.startswith("{") and whole.startswith("-") and not _is_number(whole):
                raise StepRefused(
                    f"a parameter is {whole[:60]!r}, which the program would take for an option: expected no '-' at its start"
                )
            words.append(whole)
        return self.site.command(words, step, folder, mpi=bool(self.site.options.get("parallel", False)))

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        if exit_code is None:
            return Verdict.failed("the job ended without an exit code: it was killed or cancelled", "stopped")
        if exit_code != 0:
            return Verdict.failed(f"the command ended with exit code {exit_code}: see {OUTPUT}")
        try:
            found = any(self._success.search(line) for line in lines(folder / OUTPUT))
        except OSError as error:
            return Verdict.failed(f"{OUTPUT} can't be read: {error.strerror}")
        if not found:
            return Verdict.failed(
                f"exit code 0, but no line of {OUTPUT} has the site's pattern {self._success.pattern!r}"
            )
        if missing := [name for name in self._files if not (folder / name).is_file()]:
            return Verdict.failed(f"the command did not write {', '.join(missing)}")
        try:
            self.extract(step, folder)
        except StepRefused as error:
            return Verdict.failed(str(error))
        return Verdict.done()

    def extract(self, step: Step, folder: Path) -> Results:
        texts: dict[str, str] = {}
        for line in lines(folder / OUTPUT):
            for name, (pattern, _) in self._values.items():
                if (found := pattern.search(line)) is not None:
                    texts[name] = found[1] or ""
        if missing := [name for name in self._values if name not in texts]:
            raise StepRefused(f"{OUTPUT} has no line with the pattern of {', '.join(missing)}")
        values = {name: Value(_number(name, texts[name]), unit) for name, (_, unit) in self._values.items()}
        return Results(values=values, files=self._files)

    def keep(self, step: Step) -> Keep:
        return Keep(children=self._kept, always=(OUTPUT, *self._files))

    def _word(self, name: str, value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ",".join(self._word(name, one) for one in value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if _CONTROL.search(text):
            raise StepRefused(f"{name} is {text[:60]!r}: expected a text without control characters")
        if isinstance(value, str) and not self._paths and ("/" in text or text == ".."):
            raise StepRefused(f"{name} is {text[:60]!r}: expected a text without '/' (the site may set paths = true)")
        return text

    def _check_placeholders(self) -> None:
        for place, word in enumerate(self._command):
            try:
                fields = [
                    (name, form, conv) for _, name, form, conv in string.Formatter().parse(word) if name is not None
                ]
            except ValueError as error:
                raise ProgramUnavailable(f"the word {word!r} of command can't be read: {error}") from None
            for name, form, conversion in fields:
                if name not in self._parameters or form or conversion:
                    raise ProgramUnavailable(
                        f"the word {word!r} of command has {{{name}}}: expected the name of one of its parameters"
                    )
            is_script = place > 0 and self._command[place - 1].startswith("-") and "c" in self._command[place - 1]
            if fields and (place == 0 or (is_script and Path(self._command[0]).name in SHELLS)):
                raise ProgramUnavailable(
                    f"the word {word!r} of command would run what a parameter says: give parameters as words of their own"
                )


def _words(options: Mapping[str, Any], name: str, *, required: bool = False) -> list[str]:
    words = options.get(name, [])
    if not isinstance(words, Sequence) or isinstance(words, str) or not all(isinstance(one, str) for one in words):
        raise ProgramUnavailable(f"{name} is {words!r}: expected a list of words, such as ['program', '--option']")
    if required and not words:
        raise ProgramUnavailable(f"{name} is missing: expected a list of words, such as ['program', '--option']")
    return list(words)


def _pattern(text: object, name: str, *, groups: int = 0) -> re.Pattern[str]:
    if not isinstance(text, str) or not text:
        raise ProgramUnavailable(f"{name} is {text!r}: expected a regular expression")
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ProgramUnavailable(f"{name} is {text!r}, which is not a regular expression: {error}") from None
    if pattern.groups < groups:
        raise ProgramUnavailable(f"{name} is {text!r}: expected parentheses around the value")
    return pattern


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(name: str, text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text[:1000]
    if not math.isfinite(number):
        raise StepRefused(f"{name} is {text}: expected a finite number")
    return number
