"""Programs of calculations: the interface of plug-ins that prepare, run, check and read one step."""

from tailrace.programs.analyses import analyses_in_order, run_analyses
from tailrace.programs.checked_step import checked_step
from tailrace.programs.errors import InvalidParameters, InvalidResults, ProgramUnavailable, StepRefused
from tailrace.programs.files import copy_checked, kept_files, sha256_of, tail
from tailrace.programs.loading import GROUP, advertise, installed_programs, load_program
from tailrace.programs.outcome import Correction, Keep, Verdict
from tailrace.programs.parameters import check_parameters, check_schema
from tailrace.programs.program import Analysis, Program
from tailrace.programs.results import Observation, Report, Results, Table, Value
from tailrace.programs.step import Parent, Site, Step
from tailrace.programs.step_walltime import WALLTIME_STREAM, walltime_observation

__all__ = [
    "GROUP",
    "WALLTIME_STREAM",
    "Analysis",
    "Correction",
    "InvalidParameters",
    "InvalidResults",
    "Keep",
    "Observation",
    "Parent",
    "Program",
    "ProgramUnavailable",
    "Report",
    "Results",
    "Site",
    "Step",
    "StepRefused",
    "Table",
    "Value",
    "Verdict",
    "advertise",
    "analyses_in_order",
    "check_parameters",
    "check_schema",
    "checked_step",
    "copy_checked",
    "installed_programs",
    "kept_files",
    "load_program",
    "run_analyses",
    "sha256_of",
    "tail",
    "walltime_observation",
]
