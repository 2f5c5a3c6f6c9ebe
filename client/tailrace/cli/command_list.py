"""The subcommands and their parsers. A subcommand is imported when it is used."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from tailrace.cli.parser import Parser

__all__ = ["COMMANDS", "command_module", "parser_of"]

COMMANDS = {
    "post": "post one observation; store it on disk if it can't be delivered",
    "flush": "deliver what is stored on disk: observations, and runs of trainings",
    "import-runs": "import runs that Neptune, W&B or MLflow kept on disk",
    "predict": "ask a model for predictions",
    "walltime": "print the wall time to request for the next job",
    "label": "add the label of a stored prediction",
    "watch": "follow models as they learn: a table, a picture, an alarm on drift",
    "metrics": "show a model's prequential metrics",
    "history": "show how a model's metrics changed",
    "record": "show or save what a model predicted for each observation",
    "models": "list the models",
    "streams": "list the streams",
    "recipes": "list the recipes for models",
    "create": "create a model from a recipe",
    "expect": "set how often a stream should get observations",
    "delete": "delete a stream and everything that depends on it",
    "release": "release a model from quarantine",
    "open": "open the page of a stream or a model in a browser",
    "export": "save a stream's log as CSV or NDJSON",
    "download": "save a model's estimator",
    "calc": "submit calculations, and follow them",
    "campaign": "let a policy propose what to calculate next, and decide",
    "experiments": "list, delete and restore experiments",
    "runs": "list runs of experiments, or show what one logged",
    "feed": "post finished runs of an experiment to a stream, and predict the next one",
    "services": "run frozen copies of models as services, and ask them",
    "cluster": "add a cluster, or list the clusters",
    "agent": "run the agent of a cluster, or check its file",
    "model-agent": "run frozen copies of models as containers",
    "completion": "print a completion script for bash, zsh or fish",
}


def command_module(name: str) -> ModuleType:
    """Returns the module of a subcommand.

    The module has ``add_arguments(parser)`` and ``run(options)``, which returns the exit code. Its docstring is the
    help. A subcommand that must not fail also has ``failed(error, arguments)``, which handles an error and returns the
    exit code.
    """
    return import_module(f"tailrace.cli.commands.{name.replace('-', '_')}")


def parser_of(name: str) -> Parser:
    """Returns the parser of a subcommand."""
    from tailrace.cli.parser import make_parser

    return make_parser(name, command_module(name))
