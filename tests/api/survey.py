"""Which estimator of river works in which flavor: each is tried by the published client on a real server."""

import json
import pickle
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import dill
import river
from river import base, cluster, feature_extraction, linear_model, preprocessing
from riverapi.main import Client
from tailrace.estimators.description import _Builder, describe

from server.core.json_codec import dumps_text as dumps
from server.learning.fold import flavors
from server.learning.fold.plain_values import stored
from tests.client.test_create_estimators import every_estimator, predicts
from tests.serving import Server

LEARNED = 200
"""Points that each learns: the first by the client's own calls, the last as a late label."""
ONE_BY_ONE = 4

YES, LABELS = "yes", "labels"

COLUMNS = ("regression", "binary", "multiclass", "cluster", "neighbor")


class Case(NamedTuple):
    """An estimator in a flavor, as a model of its own on a stream of its own."""

    name: str
    flavor: str
    estimator: Any

    @property
    def model(self) -> str:
        return f"{self.name}-{self.flavor}"


WORDS = ("red", "green", "blue")
SHARES = {"binary": {True: 0.5, False: 0.5}, "multiclass": dict.fromkeys(WORDS, 1 / 3)}

OF_TEXT = {
    "cluster.TextClust": lambda: feature_extraction.BagOfWords(on="text") | cluster.TextClust(real_time_fading=False),
    "feature_extraction.BagOfWords": lambda: feature_extraction.BagOfWords(on="text"),
    "feature_extraction.TFIDF": lambda: feature_extraction.TFIDF(on="text"),
    "preprocessing.GapEncoder": lambda: preprocessing.GapEncoder(on="text"),
}
"""Estimators that take text, made for points that are mappings."""


def cases() -> list[Case]:
    """Every estimator in each flavor that its kind allows; transformers with a regression behind them."""
    found = []
    for param in every_estimator():
        full, estimator = param.values
        if not full.startswith("river."):
            continue
        name = full.removeprefix("river.")
        if name in OF_TEXT:
            estimator = OF_TEXT[name]()
        if hasattr(estimator, "transform_one") and not predicts(estimator):
            found.append(Case(name, "regression", estimator | linear_model.LinearRegression()))
        else:
            found += [Case(name, flavor, fitted(name, flavor, estimator)) for flavor in flavors_of(name, estimator)]
    return found


def flavors_of(name: str, estimator: Any) -> list[str]:
    """Those that it is tried in: ``custom``, which takes all that others take, only where no other one is for its kind."""
    last = getattr(estimator, "_last_step", estimator)
    found = [
        flavor
        for kind, flavors in (
            (base.Regressor, ["regression"]),
            (base.Classifier, ["binary", "multiclass"]),
            (base.Clusterer, ["cluster"]),
        )
        if isinstance(last, kind)
        for flavor in flavors
    ]
    return (found + ["neighbor"] * name.startswith("neighbors.")) or ["custom"]


def fitted(name: str, flavor: str, estimator: Any) -> Any:
    """The estimator for the labels of the flavor: what it is made of is for two labels in river's examples."""
    if name.startswith("imblearn.Random"):
        inner = linear_model.LogisticRegression() if flavor == "binary" else linear_model.SoftmaxRegression()
        return type(estimator)(inner, desired_dist=SHARES[flavor], seed=1)
    if flavor != "multiclass" or isinstance(estimator, linear_model.LogisticRegression):
        return estimator
    return _Builder().build(_of_more_labels(describe(estimator)), "estimator", 0)


def _of_more_labels(described: Any) -> Any:
    if isinstance(described, list):
        return [_of_more_labels(one) for one in described]
    if not isinstance(described, dict):
        return described
    if described.get("class") == "river.linear_model.LogisticRegression":
        return {"class": "river.linear_model.SoftmaxRegression"}
    return {name: _of_more_labels(value) for name, value in described.items()}


def points(case: Case, count: int) -> list[tuple[dict[str, Any], Any]]:
    """Points that fit: numbers between 0 and 1, one of them whole, or text; and a target of the flavor's kind."""
    chance = random.Random(3)
    made = []
    for _ in range(count):
        a, b = chance.random(), chance.randint(0, 1)
        kind = WORDS[int(1.49 * (a + b))]
        x: dict[str, Any] = {"a": a, "b": b, "c": chance.random()}
        if case.name in OF_TEXT:
            x = {"text": f"the {kind} word {b}"}
        targets = {"binary": kind == "red", "multiclass": kind, "cluster": None}
        made.append((x, targets.get(case.flavor, 0.5 * a + b + 0.1)))
    return made


def _again(call: Any, *arguments: Any) -> Any:
    """Repeat a call some times: the published client exits where a busy server asks it to try again."""
    for _ in range(5):
        try:
            return call(*arguments)
        except SystemExit:
            threading.Event().wait(1)
    return call(*arguments)


def tried(server: Server, case: Case, directory: Path) -> str:
    """Make, teach, ask, label and download it: ``yes``, ``labels`` where it gives no probabilities, or what prevented it."""
    client = Client(server.url, quiet=True)
    *made, (probe, _) = points(case, LEARNED + 1)
    try:
        client.upload_model(case.estimator, case.flavor, case.model)
        for x, y in made[:ONE_BY_ONE]:
            client.learn(case.model, x, y)
    except SystemExit:
        return _reason(server, case, *made[0])
    bulk = [{"x": x, "y": y} for x, y in made[ONE_BY_ONE:-1]]
    status, said = server.post(f"/api/v1/streams/{case.model}/observations/", {"observations": bulk})
    if status != 201:
        return _without_names(said["error"]["message"], case)
    x, y = made[-1]
    try:
        asked = client.predict(case.model, x)
    except SystemExit:
        status, said = server.post("/api/predict/", {"model": case.model, "features": x})
        return said["error"]["message"]
    _again(client.label, 0 if y is None else y, asked["identifier"], case.model)
    last = _again(client.predict, case.model, probe)["prediction"]
    path = _again(client.download_model, case.model, str(directory / f"{case.model}.pkl"))
    known = server.get(f"/api/v1/models/{case.model}/")[1]
    if known["skipped"] or known["learned"] != LEARNED:
        return f"it skipped {known['skipped']} of {LEARNED} points, the last for {known['last_skip']['reason']}"
    with open(path, "rb") as file:
        if (here := asked_offline(pickle.load(file), probe, case)) != last:
            return f"its download predicts {here}, the server {last}"
    without = {"binary": "LogLoss", "multiclass": "CrossEntropy"}.get(case.flavor)
    return YES if without is None or without in client.metrics(case.model) else LABELS


def asked_offline(model: Any, x: dict[str, Any], case: Case) -> Any:
    """What the downloaded estimator predicts, as JSON has it."""
    return json.loads(dumps(stored(flavors.get(case.flavor).predictor(model)(x))))


def _reason(server: Server, case: Case, x: dict[str, Any], y: Any) -> str:
    """What the server says to what the client was refused, which tells only the status."""
    path = f"/api/model/{case.flavor}/{case.model}/"
    status, said = server.request("POST", path, dill.dumps(case.estimator))
    if status == 409:
        status, said = server.post("/api/learn/", {"model": case.model, "features": x, "ground_truth": y})
    assert status == 400, said
    return _without_names(said["error"]["message"], case)


def _without_names(message: str, case: Case) -> str:
    found = re.search(rf"\({case.model}: (.*)\)$", message)
    return found[1] if found else message


def survey(directory: Path) -> dict[str, dict[str, str]]:
    """Try every case, and verify each model that learned; what came of each flavor by estimator.

    Raises
    ------
    AssertionError
        If a replay differs.
    """
    tried_ones = cases()
    # A busy machine is no reason to call a model slow.
    server = Server(directory / "var", workers=2, threads=4, block_seconds=120, call_seconds=60).start()
    try:
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda case: tried(server, case, directory), tried_ones))
            good = [case.model for case, outcome in zip(tried_ones, outcomes, strict=True) if outcome in (YES, LABELS)]
            said = "".join(one.stdout for one in pool.map(lambda n: server.manage("verify_model", *good[n::2]), (0, 1)))
    finally:
        server.stop()
    assert set(re.findall(r"^(\S+): verified: ", said, re.M)) == set(good), said
    found: dict[str, dict[str, str]] = {}
    for case, outcome in zip(tried_ones, outcomes, strict=True):
        found.setdefault(case.name, {})[case.flavor] = outcome
    return found


HEAD = f"""# Which estimator of river works in which flavor

Each public estimator of river {river.__version__} that [can be described](estimators.md) was made by the published `riverapi` client on a
real server, learned {LEARNED} points of its kind, predicted, took a late label, and was downloaded and asked again; then a replay verified it bit
for bit. A test does it again and holds this page to it.

- **yes**: all of it works.
- **labels**: all of it works; the estimator gives labels and no probabilities, so metrics of probabilities (LogLoss, CrossEntropy) are left out.
- **–**: it doesn't take the targets of this flavor.
- Empty: it is of another kind.

Transformers have a linear regression behind them. Classifiers that are made of others are made of `LogisticRegression` for `binary`, of
`SoftmaxRegression` for `multiclass`. The flavor `custom` takes whatever predicts and learns a point, and gives no metrics; `creme` takes what has
`fit_one`, as the library of that name had.

| estimator | {" | ".join(COLUMNS)} |
|---{"|---" * len(COLUMNS)}|
"""

NONE = """
## In no flavor

| estimator | why |
|---|---|
"""

REASONS = {
    "multioutput.": "it has several targets, and an observation has one",
    "tree.ISOUPTreeRegressor": "it has several targets, and an observation has one",
    "reco.": "it predicts for a user and an item, not for features",
}
"""Said in place of the error that the estimator ends in."""


def _shortened(message: str, name: str) -> str:
    return message.partition(". ")[0].partition(", which the flavor")[0].removeprefix(f"{name.rpartition('.')[2]} ")


def page(found: dict[str, dict[str, str]]) -> str:
    """The page ``docs/reference/flavors.md``."""
    rows, none = "", ""
    for name, by_flavor in found.items():
        if not {YES, LABELS} & set(by_flavor.values()):
            own = next((why for start, why in REASONS.items() if name.startswith(start)), None)
            none += f"| `{name}` | {own or _shortened(next(iter(by_flavor.values())), name)} |\n"
            continue
        cells = [by_flavor.get(flavor, "") for flavor in COLUMNS]
        rows += f"| `{name}` | {' | '.join(cell if cell in ('', YES, LABELS) else '–' for cell in cells)} |\n"
    return HEAD + rows + NONE + none
