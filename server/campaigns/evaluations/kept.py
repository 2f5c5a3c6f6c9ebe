"""Evaluations that are kept: asked for, computed in the background, and computed again to compare."""

import hashlib
from importlib.metadata import version
from typing import Any

from django.db.models import Max

from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import protocols, tested_bonds
from server.campaigns.evaluations.learning_anew import Progress, Recipe
from server.campaigns.evaluations.scores import rounded
from server.campaigns.models import Campaign
from server.cells import catalog, databases, learned_coverage
from server.cells.canonical_json import canonical, fingerprint
from server.cells.models import Database
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound, TooMany
from server.core.json_codec import dumps_text, loads
from server.core.validation import format_value
from server.learning.models import Model
from server.streams.models import Retraction, Stream

FOLDS, MOST_FOLDS = 5, 20
MOST_OPEN = 5
"""Evaluations of one campaign that may wait at once."""
MOST_KEPT = 1000
LARGEST_SEED = 2**32 - 1
LARGEST_RESULT = 10 * 2**20
LIBRARIES = ("river", "numpy", "scipy")


def ask(campaign: Campaign, fields: dict[str, Any], created_by: str = "") -> Evaluation:
    """Store an evaluation that a process is to compute.

    Parameters
    ----------
    fields
        ``kind``; and optionally ``model`` (the campaign's first), ``database`` (all cells of the stream), ``cell`` (only for
        ``single_cell``), ``folds`` (5) and ``seed`` (the campaign's).

    Raises
    ------
    Invalid, NotFound, Conflict
        If a field is invalid, or names what isn't there or doesn't fit.
    TooMany
        If :data:`MOST_OPEN` evaluations of the campaign wait already, or :data:`MOST_KEPT` are kept.
    """
    kind = fields["kind"]
    names = loads(campaign.models_json)
    name = names[0] if fields.get("model") is None else fields["model"]
    if name not in names:
        raise Invalid(
            f"model is {format_value(name)}: expected one of the campaign's, {', '.join(names)}", field="model"
        )
    stream, model = _stream(campaign), _model(campaign, name)
    if model.flavor != "regression":
        raise Conflict(f"model {name} is a {model.flavor} model: expected a regression model", field="model")
    asked = {
        "model": name,
        "database": fields.get("database"),
        "cell": fields.get("cell"),
        "folds": FOLDS if fields.get("folds") is None else fields["folds"],
        "seed": campaign.seed % (LARGEST_SEED + 1) if fields.get("seed") is None else fields["seed"],
    }
    if (kind == "single_cell") != (asked["cell"] is not None):
        what = (
            "is missing: expected the cell to test on"
            if asked["cell"] is None
            else f"can't be given with the kind {kind}"
        )
        raise Invalid(f"cell {what}", field="cell", code="missing" if asked["cell"] is None else "invalid")
    if asked["cell"] is not None:
        catalog.find(stream, asked["cell"])
    if asked["database"] is not None and databases.find(asked["database"]).stream_id != stream.pk:
        raise Conflict(f"database {asked['database']} is not of stream {stream.name}", field="database")
    with transaction_for_writing():
        Campaign.objects.select_for_update().get(pk=campaign.pk)
        own = Evaluation.objects.filter(campaign=campaign)
        if own.filter(state__in=(Evaluation.WAITING, Evaluation.RUNNING)).count() >= MOST_OPEN:
            raise TooMany(
                f"{MOST_OPEN} evaluations of campaign {campaign.name} wait or run: wait until one has ended",
                retry_after=10,
            )
        if own.count() >= MOST_KEPT:
            raise Conflict(f"campaign {campaign.name} has {MOST_KEPT} evaluations, the most that are kept")
        number = (own.aggregate(last=Max("number"))["last"] or 0) + 1
        made = Evaluation.objects.create(
            campaign=campaign, number=number, kind=kind, asked=dumps_text(asked), created_by=created_by
        )
        audit_signals.send("evaluation.create", f"{campaign.name}/{number}", after={"kind": kind, **asked})
    return made


def find(campaign: Campaign, number: str) -> Evaluation:
    """Return an evaluation.

    Raises
    ------
    NotFound
        If there is none of this number.
    """
    is_number = number.isascii() and number.isdigit() and len(number) < 9
    found = Evaluation.objects.filter(campaign=campaign, number=int(number)).first() if is_number else None
    if found is None:
        raise NotFound(f"campaign {campaign.name} has no evaluation {format_value(number)}", field="evaluation")
    return found


def now(evaluation: Evaluation) -> dict[str, Any]:
    """Return what an evaluation is made from if it is computed now.

    Raises
    ------
    Conflict, NotFound
        If the stream, the model or the database is gone.
    """
    asked, campaign = loads(evaluation.asked), evaluation.campaign
    stream, model = _stream(campaign), _model(campaign, asked["model"])
    database = None if asked["database"] is None else databases.find(asked["database"])
    last = Retraction.objects.filter(stream=stream).aggregate(last=Max("pk"))["last"]
    return {
        "stream": stream.name,
        "position": stream.head if database is None else database.until,
        "retraction": (last or 0) if database is None else database.retraction,
        "database": None if database is None else database.fingerprint,
        "model": model.pk,
        "recipe": model.recipe or None,
        "initial": hashlib.sha256(bytes(model.initial)).hexdigest(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def compute(evaluation: Evaluation, made_from: dict[str, Any], progress: Progress = lambda _: None) -> str:
    """Return the result of an evaluation as canonical JSON: a function of what it is made from, on every processor.

    Raises
    ------
    Conflict, NotFound, Invalid, Unavailable
        If it can't be computed. The message says why.
    """
    asked, campaign = loads(evaluation.asked), evaluation.campaign
    stream, model = _stream(campaign), _model(campaign, asked["model"])
    if model.pk != made_from["model"]:
        raise Conflict(f"model {model.name} was deleted, and another one has its name now")
    if evaluation.kind == protocols.COVERAGE:
        result = _coverage(model, made_from)
    else:
        database: Database | None = None if asked["database"] is None else databases.find(asked["database"])
        bonds = tested_bonds.read(stream, database, made_from["position"], made_from["retraction"])
        result = protocols.LEARNING[evaluation.kind](Recipe(model, bonds), asked, progress)
        result |= {"bonds": len(bonds), "families": len(bonds.families)}
    return canonical(result, "result", LARGEST_RESULT)


def _coverage(model: Model, made_from: dict[str, Any]) -> dict[str, Any]:
    found = learned_coverage.by_composition(model, made_from["position"], made_from["retraction"])
    return {
        "compositions": {
            composition: {
                kind: {
                    "covered": None if share.share is None else rounded(share.share),
                    "error": None if share.error is None else rounded(share.error),
                    "compared": share.compared,
                    "learned": share.learned,
                }
                for kind, share in sorted(shares.items())
            }
            for composition, shares in sorted(found.items())
        }
    }


def agrees(evaluation: Evaluation) -> bool:
    """Compute an evaluation again from what it was made from, and return whether it gives the same. Raises as :func:`compute`."""
    return fingerprint(compute(evaluation, loads(evaluation.made_from))) == evaluation.fingerprint


def described(evaluation: Evaluation, *, whole: bool) -> dict[str, Any]:
    """Return an evaluation as the API shows it, with its result if ``whole``."""
    found = {
        "campaign": evaluation.campaign.name,
        "number": evaluation.number,
        "kind": evaluation.kind,
        **loads(evaluation.asked),
        "state": evaluation.state,
        "reason": evaluation.reason,
        "progress": evaluation.progress,
        "made_from": loads(evaluation.made_from),
        "fingerprint": evaluation.fingerprint,
        "created_at": evaluation.created_at,
        "created_by": evaluation.created_by,
        "ended_at": evaluation.ended_at,
    }
    if whole:
        found["result"] = None if evaluation.result is None else loads(evaluation.result)
    return found


def listing(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the evaluations of a campaign, the oldest first, without their results."""
    rows = Evaluation.objects.filter(campaign=campaign).select_related("campaign").defer("result").order_by("number")
    return [described(one, whole=False) for one in rows]


def _stream(campaign: Campaign) -> Stream:
    found = None if campaign.stream_id is None else Stream.objects.filter(pk=campaign.stream_id).first()
    if found is None:
        raise Conflict(
            f"stream {campaign.stream_name} was deleted: nothing is left to evaluate on", code="stream_deleted"
        )
    return found


def _model(campaign: Campaign, name: str) -> Model:
    found = Model.objects.select_related("stream").filter(name=name, stream=campaign.stream).first()
    if found is None:
        raise Conflict(f"model {name} was deleted: change the campaign's models", code="model_deleted")
    return found
