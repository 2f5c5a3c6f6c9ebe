"""Coverage and a campaign's decision over many bonds: ``python -m bench.million_bonds fill CELLS``, then ``… coverage`` or
``… decision``, which print JSON.

It runs on the database that the settings name, which must be migrated. Cells have 1,000 bonds of six types with vectors of 64
numbers. They come in families of ten: a cell and nine deformed copies, close to it.
"""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BONDS, NUMBERS, SIBLINGS, BATCH = 1000, 64, 10, 500
TYPES = ("Zr-Cu", "Zr-Zr", "Cu-Cu", "Zr-Al", "Cu-Al", "Al-Al")


def fill(cells: int) -> None:
    """Write cells and their bonds straight into the tables."""
    from django.db import transaction
    from django.utils import timezone

    from server.cells import posting
    from server.cells.models import Cell
    from server.core.json_codec import dumps_text
    from server.learning import registry
    from server.learning.recipes import catalog
    from server.streams.models import Batch, Stream

    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, NUMBERS)) * 0.1
    stream = Stream.objects.create(name="bonds", segment="bond", descriptor="soap", target_kind="number")
    flavor, estimator, parameters = catalog.build("bond-gpr")
    registry.create("gpr", "bonds", flavor, estimator, recipe="bond-gpr", parameters=parameters)
    _plan(stream)
    names = [f"s{place}" for place in range(NUMBERS)]
    for cell in range(cells):
        if cell % SIBLINGS == 0:
            environments = random.normal(size=(BONDS, 6))
        moved = environments + random.normal(size=(BONDS, 6)) * 0.02 * (cell % SIBLINGS > 0)
        vectors = np.round(np.tanh(moved @ mixing), 8).tolist()
        lengths = np.round(random.uniform(2.4, 4.0, BONDS), 4)
        strengths = np.round(
            np.exp((2.8 - lengths) / 0.6) * (1 + np.tanh(moved[:, 0])) + random.normal(0, 0.05, BONDS), 6
        )
        xs = [
            {"bond": TYPES[n % len(TYPES)], "distance": length, **dict(zip(names, vector, strict=True))}
            for n, (length, vector) in enumerate(zip(lengths.tolist(), vectors, strict=True))
        ]
        first, run = cell * BONDS + 1, cell // SIBLINGS
        with transaction.atomic():
            for part in range(0, BONDS, BATCH):
                some = xs[part : part + BATCH]
                ys = dumps_text(strengths[part : part + BATCH].tolist())
                Batch.objects.create(
                    stream=stream, last=first + part + len(some) - 1, count=len(some), at=timezone.now(),
                    xs=dumps_text(some), ys=ys,
                )  # fmt: skip
            Cell.objects.create(
                stream=stream, name=f"Cu50Zr50-{run}-{cell % SIBLINGS:02d}", family=f"Cu50Zr50-{run}",
                status=Cell.LABELED, composition=_composition(run), structure="", provenance="{}",
                checksums="{}", first=first, last=first + BONDS - 1, types=posting.types_of(xs, "bond"), fingerprint="",
            )  # fmt: skip

    Stream.objects.filter(pk=stream.pk).update(head=cells * BONDS)


def _composition(run: int) -> str:
    return f"Cu{40 + run % 5}Zr{60 - run % 5}"


def _plan(stream: Any) -> None:
    """Write a campaign for the compositions. Its targets can't be reached, so every type stays in focus."""
    from server.campaigns import compositions
    from server.campaigns.models import Campaign, CampaignComposition
    from server.campaigns.settings_checks import STAGES, check_thresholds
    from server.core.json_codec import dumps_text

    programs = {stage: {"program": name, "parameters": {}, "resources": {}} for stage, name in STAGES.items()}
    campaign = Campaign.objects.create(
        name="glasses", stream=stream, stream_name=stream.name, models_json=dumps_text(["gpr"]),
        targets=dumps_text({"Zr-Cu": 0.01, "Zr-Zr": 0.01, "Cu-Cu": 0.01}), thresholds=dumps_text(check_thresholds({})),
        budget=dumps_text({"calculations": None, "node_hours": None}), programs=dumps_text(programs),
    )  # fmt: skip
    for run in range(5):
        made, _ = compositions.create(_composition(run))
        CampaignComposition.objects.create(campaign=campaign, composition=made, place=run)


def coverage() -> dict[str, Any]:
    """Return the shares of one decision's coverage to 6 digits."""
    from server.cells import learned_coverage
    from server.learning.models import Model

    model = Model.objects.select_related("stream").get(name="gpr")
    return {
        f"{composition} {kind}": [round(share.share or 0.0, 6), share.compared]
        for composition, of_kind in sorted(learned_coverage.by_composition(model, model.stream.head).items())
        for kind, share in sorted(of_kind.items())
    }


def decision() -> dict[str, Any]:
    """Return what a campaign decides, and a checksum of all that it is based on."""
    from server.campaigns import campaigns, situations
    from server.campaigns.policies import registry
    from server.campaigns.policies.situation import canonical

    campaign = campaigns.find("glasses")
    settings = campaigns.settings_of(campaign)
    situation = situations.build(campaign, settings, 1, situations.now(campaign, settings))
    choice = registry.find(settings["policy"]).decide(situation)
    based_on = canonical(situation.to_json())
    return {
        "action": choice.action, "reason": choice.reason, "picks": [one.name for one in choice.picks],
        "types": len(situation.types), "candidates": len(situation.candidates),
        "based_on": hashlib.sha256(based_on.encode()).hexdigest(),
    }  # fmt: skip


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Return what came out, the seconds that it took, those of CPU time, and the peak memory in MB."""
    from server.campaigns import driver  # noqa: F401 - what a server has loaded before

    started, began = time.perf_counter(), time.process_time()
    found = work()
    seconds, busy = time.perf_counter() - started, time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "busy": busy, "memory": memory, "found": found}


if __name__ == "__main__":
    import django

    django.setup()
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]))
    else:
        print(json.dumps(measured({"coverage": coverage, "decision": decision}[sys.argv[1]])))
