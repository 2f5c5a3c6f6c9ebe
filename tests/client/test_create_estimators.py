"""Every estimator of river that can be described is sent as JSON, made by a real server, and comes back the same."""

import json
import re

import pytest
from river import base, compose
from tailrace.errors import Refused, Unusable
from tailrace.estimators.description import NOT_DESCRIBABLE, _Builder, classes, describe
from tailrace.handles.client import Client

from server.learning.river_adapters import determinism
from tests.client.test_description import examples
from tests.learning.admitted import LINEAR, NEEDED
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

LOGISTIC = {"class": "linear_model.LogisticRegression"}
MEAN_TREE = {"class": "tree.HoeffdingTreeRegressor"}
SAMPLER = {"classifier": LOGISTIC, "desired_dist": {"a": 0.5, "b": 0.5}, "seed": 1}

MORE = {
    **NEEDED,
    "river.compose.Pipeline": None,
    "river.compose.TransformerProduct": None,
    "river.compose.TransformerUnion": None,
    "river.imblearn.RandomOverSampler": SAMPLER,
    "river.imblearn.RandomSampler": SAMPLER,
    "river.imblearn.RandomUnderSampler": SAMPLER,
    "river.model_selection.SuccessiveHalvingClassifier": {
        "models": [LOGISTIC, LOGISTIC], "metric": {"class": "metrics.Accuracy"}, "budget": 100,
    },
    "river.multioutput.ClassifierChain": {"model": LOGISTIC, "order": ["a", "b"]},
    "river.multioutput.ProbabilisticClassifierChain": {"model": LOGISTIC},
    "river.multioutput.MonteCarloClassifierChain": {"model": LOGISTIC, "seed": 1},
    "river.preprocessing.PredClipper": {"regressor": LINEAR, "y_min": 0, "y_max": 9},
    "river.preprocessing.TargetMinMaxScaler": {"regressor": MEAN_TREE},
}  # fmt: skip
"""Parameters of the classes that river can't construct by itself, or whose example can't be described."""

STEPS = {"Pipeline": [{"class": "preprocessing.StandardScaler"}, LINEAR]}
SCALERS = [{"class": "preprocessing.StandardScaler"}, {"class": "preprocessing.MinMaxScaler"}]

PAGE = ROOT / "docs" / "reference" / "estimators.md"


def every_estimator() -> list:
    """One parameter a class: its name and one estimator of it."""
    river_s = {param.id.rpartition("-")[0]: param.values[0] for param in reversed(examples())}
    found = []
    for name, cls in classes().items():
        if not issubclass(cls, base.Estimator):
            continue
        if name in MORE:
            params = MORE[name]
            short = name.rpartition(".")[2]
            described = (
                {"class": name, "params": params} if params else {"class": name, "steps": STEPS.get(short, SCALERS)}
            )
            estimator = _Builder().build(described, "estimator", 0)
        else:
            estimator = river_s[name]
        found.append(pytest.param(name, estimator, id=name))
    return found


def listed(title: str) -> set[str]:
    """The classes that a section of the page names."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    assert section, title
    return {f"river.{name}" for name in re.findall(r"`([a-z_.]+\.[A-Z]\w+)`", section[1])}


def predicts(estimator) -> bool:
    return any(hasattr(estimator, name) for name in ("predict_one", "predict_proba_one"))


@pytest.fixture(scope="module")
def client(served):
    client = Client(served.url, "")
    client.create_stream("numbers", "y", kind="number")
    client.create_stream("labels", "y", kind="category")
    client.create_stream("anything", "y", kind="any")
    return client


@pytest.mark.parametrize(("name", "estimator"), every_estimator())
def test_it_is_sent_made_and_comes_back_the_same(client, name, estimator):
    if hasattr(estimator, "transform_one") and not predicts(estimator):
        estimator = estimator | _Builder().build(LINEAR, "estimator", 0)
    stream, flavor = task_of(estimator)
    if name in listed("Estimators that cannot be models"):
        with pytest.raises(Refused, match=r"does not implement|can't be replayed|not admitted"):
            client.create("sent", stream, estimator=estimator, flavor=flavor)
        return
    model = client.create("sent", stream, estimator=estimator, flavor=flavor)
    determinism.seed(estimator)
    try:
        assert describe(model.download()) == json.loads(json.dumps(describe(estimator)))
        assert model.info()["status"] == "ready"
    finally:
        model.delete()


def task_of(estimator) -> tuple[str, str | None]:
    """A stream that it can learn, and the flavor where it has to be said."""
    if isinstance(estimator, base.Classifier):
        return "labels", None
    if isinstance(estimator, (base.Regressor, compose.Pipeline)):
        return "numbers", None
    return "anything", None if isinstance(estimator, base.Clusterer) else "custom"


def test_the_page_names_what_has_no_description_with_the_reason():
    assert listed("Estimators that cannot be described") == set(NOT_DESCRIBABLE)
    for name, reason in NOT_DESCRIBABLE.items():
        assert f"| `{name.removeprefix('river.')}` | {reason} |" in PAGE.read_text()


def test_a_description_written_by_hand_is_sent_as_it_is(client):
    made = client.create(
        "by-hand",
        "numbers",
        estimator={"class": "dummy.StatisticRegressor", "params": {"statistic": {"class": "stats.Mean"}}},
    )
    assert made.info()["flavor"] == "regression"
    made.delete()


@pytest.mark.parametrize("wrong", [3, "LinearRegression", object(), len, [LINEAR]])
def test_what_is_no_estimator_is_refused_here(client, wrong):
    with pytest.raises((Unusable, ValueError), match="can't be described"):
        client.create("no", "numbers", estimator=wrong)
