"""The run-time estimator: river's contract, sensible from the first point, accurate, calibrated, never negative."""

import doctest
import math
import pickle
import random
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from river import checks
from tailrace.estimators import RuntimeRegressor
from tailrace.estimators import runtime as runtime_module
from tailrace.estimators._runtime_terms import RuntimeTerms

from bench import coverage

pytestmark = pytest.mark.one_database  # an estimator alone

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "lammps_hns_timings.csv"


def _volume(x):
    return x["x"] * x["y"] * x["z"]


def _crystal(_rng, x):
    return 5 + 0.05 * _volume(x)


def _parallel(rng, x):
    x["processes"] = rng.choice([1, 2, 4, 8, 16, 48])
    x["steps"] = rng.choice([100, 500, 1000])
    return 2 + x["steps"] / 100 * (0.2 * _volume(x) / x["processes"] + 0.05 * math.log2(x["processes"]))


def _potentials(rng, x):
    x["processes"] = rng.choice([1, 2, 4, 8])
    x["potential"] = rng.choice(["eam", "reaxff", "lj"])
    x["gpu"] = rng.random() < 0.5
    factor = {"eam": 1, "reaxff": 8, "lj": 0.3}[x["potential"]] * (0.4 if x["gpu"] else 1)
    return 3 + 0.1 * factor * _volume(x) / x["processes"]


def _power(rng, x):
    x.clear()
    x.update(atoms=round(10 ** rng.uniform(2, 5)), cutoff=rng.uniform(5, 12), processes=rng.choice([4, 8, 16, 64]))
    return 1e-3 * x["atoms"] * (x["cutoff"] / 8) ** 3 / x["processes"] ** 0.85


LAWS = {"crystal": _crystal, "parallel": _parallel, "potentials": _potentials, "power": _power}


def _jobs(law, n=300, noise=0.05, seed=1):
    """Jobs with log-normal noise: features, observed time, time by the law."""
    rng = random.Random(seed)
    jobs = []
    for _ in range(n):
        x = {"x": rng.randint(1, 32), "y": rng.randint(1, 8), "z": rng.randint(1, 16)}
        time = LAWS[law](rng, x)
        jobs.append((x, time * math.exp(rng.gauss(0, noise)), time))
    return jobs


def _taught(law="crystal", n=100, **kwargs):
    model = RuntimeRegressor(**kwargs)
    for x, y, _ in _jobs(law, n):
        model.learn_one(x, y)
    return model


def _rms(errors):
    return math.sqrt(sum(e * e for e in errors) / len(errors))


def _checks():
    # river imports scikit-learn for the data sets of multi-output estimators, which this one is not.
    absent = "sklearn" not in sys.modules
    if absent:
        stand_in = types.ModuleType("sklearn")
        stand_in.datasets = types.ModuleType("sklearn.datasets")
        sys.modules["sklearn"] = stand_in
    try:
        model = RuntimeRegressor()
        return [check for check in checks.yield_checks(model) if check.__name__ not in model._unit_test_skips()]
    finally:
        if absent:
            del sys.modules["sklearn"]


@pytest.mark.parametrize("check", [pytest.param(c, id=f"{i}-{c.__name__}") for i, c in enumerate(_checks())])
def test_it_passes_rivers_own_checks(check):
    check(RuntimeRegressor())


def test_its_example_runs():
    assert doctest.testmod(runtime_module).failed == 0


@pytest.mark.parametrize("law", LAWS)
def test_it_comes_close_to_the_noise_of_the_law(law):
    model = RuntimeRegressor()
    errors, noise = [], []
    for number, (x, y, time) in enumerate(_jobs(law, 1000)):
        if number >= 100:
            errors.append(model.predict_one(x) - y)
            noise.append(time - y)
        model.learn_one(x, y)
    assert _rms(errors) < 1.25 * _rms(noise)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("seed", [1, 2])
def test_its_upper_bounds_hold_as_often_as_they_say(law, seed):
    model = RuntimeRegressor()
    within = dict.fromkeys((0.8, 0.9, 0.95), 0)
    jobs = _jobs(law, 350, seed=seed)
    for number, (x, y, _) in enumerate(jobs):
        if number >= 50:
            for q in within:
                within[q] += y <= model.predict_quantile_one(x, q)
        model.learn_one(x, y)
    for q, count in within.items():
        assert abs(count / 300 - q) < 0.05, (q, count / 300)


def test_it_reaches_its_figures_on_real_runs():
    if not REAL.exists():
        pytest.skip("../shared/data/lammps_hns_timings.csv is not here; the synthetic laws are tested instead")
    from bench import accuracy

    missed = [row for row in accuracy.rows(REAL) if not row["ok"]]
    assert missed == []
    assert accuracy.replay("linear", accuracy.read(REAL))[0] > 15


def test_it_knows_nothing_before_the_first_job_and_says_zero():
    model = RuntimeRegressor()
    assert model.predict_one({"x": 1}) == 0.0
    assert model.predict_quantile_one({"x": 1}, 0.9) == 0.0
    assert model.predict_interval_one({"x": 1}) == (0.0, 0.0)


def test_it_is_sensible_after_one_job():
    model = RuntimeRegressor()
    job = {"x": 8, "y": 8, "z": 8, "processes": 8}
    model.learn_one(job, 100.0)
    assert model.predict_one(job) == pytest.approx(100, rel=0.2)
    bigger, wider = model.predict_one({**job, "x": 16}), model.predict_one({**job, "processes": 16})
    assert 110 < bigger < 250
    assert 40 < wider < 95


@pytest.mark.parametrize("law", ["crystal", "parallel"])
def test_its_first_predictions_are_of_the_right_size(law):
    model = RuntimeRegressor()
    off = []
    for number, (x, y, _) in enumerate(_jobs(law, 12)):
        if number:
            off.append(abs(math.log(model.predict_one(x) / y)))
        model.learn_one(x, y)
    assert max(off) < math.log(4)


@pytest.mark.parametrize("law", LAWS)
def test_it_never_predicts_a_negative_time(law):
    model = RuntimeRegressor()
    rng = random.Random(3)
    for x, y, _ in _jobs(law, 120, noise=0.5):
        model.learn_one(x, y)
        odd = {name: rng.choice([-1e9, -1, 0, 1e-9, 1e9, 1e200]) if name != "potential" else "eam" for name in x}
        for features in (x, odd, {}):
            low, high = model.predict_interval_one(features, 0.99)
            prediction = model.predict_one(features)
            assert 0.0 <= low <= prediction <= high < math.inf
            assert model.predict_quantile_one(features, 0.01) >= 0.0


def test_its_upper_bounds_hold_however_few_jobs_were_learned_and_are_narrow_after_many():
    assert [row for row in coverage.rows() if not row["ok"]] == []


@pytest.mark.parametrize("n", [5, 13, 14, 20, 40])
def test_a_prediction_is_not_its_own_bound_where_all_errors_were_of_one_sign(n):
    job = {"x": 8, "y": 8, "z": 8}
    faster, slower = RuntimeRegressor(), RuntimeRegressor()
    for number in range(n):
        faster.learn_one(job, 100 * 0.99**number)
        slower.learn_one(job, 100 / 0.99**number)
    for model in (faster, slower):
        low, high = model.predict_interval_one(job)
        assert low < 0.995 * model.predict_one(job) < 1.005 * model.predict_one(job) < high


@pytest.mark.parametrize("n", [13, 14, 40, 200])
def test_its_quantiles_grow_with_the_probability(n):
    model = _taught("parallel", n)
    x = _jobs("parallel", 1, seed=9)[0][0]
    quantiles = [model.predict_quantile_one(x, q) for q in np.linspace(0.001, 0.999, 200)]
    assert quantiles == sorted(quantiles)


@pytest.mark.parametrize("y", [-1.0, math.nan, math.inf])
def test_it_refuses_what_is_not_a_time_and_stays_as_it_was(y):
    model = _taught()
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="finite number of seconds"):
        model.learn_one({"x": 1, "y": 1, "z": 1, "new": 3}, y)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("q", [0, 1, -0.5, math.nan])
def test_it_refuses_what_is_not_a_probability(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        _taught(n=5).predict_quantile_one({"x": 1}, q)
    with pytest.raises(ValueError, match="between 0 and 1"):
        _taught(n=5).predict_interval_one({"x": 1}, q)


@pytest.mark.parametrize("wrong", [{"degree": 0}, {"memory": 1}, {"memory": -5}, {"window": 1}, {"max_terms": 0}])
def test_it_refuses_parameters_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        RuntimeRegressor(**wrong)


def test_predicting_changes_nothing():
    model = _taught("potentials")
    before = pickle.dumps(model)
    for x in ({"x": 5, "fresh": 1.0, "label": "new"}, {}, {"x": None, "y": math.nan, "z": [1]}):
        model.predict_one(x)
        model.predict_interval_one(x, 0.9)
    assert pickle.dumps(model) == before


def test_a_stored_model_goes_on_bit_for_bit():
    whole, halves = RuntimeRegressor(), RuntimeRegressor()
    for number, (x, y, _) in enumerate(_jobs("potentials", 200)):
        assert whole.predict_one(x) == halves.predict_one(x)
        whole.learn_one(x, y)
        halves.learn_one(dict(reversed(x.items())), y)
        if number % 50 == 20:
            halves = pickle.loads(pickle.dumps(halves))


def test_it_does_not_depend_on_the_hash_seed():
    code = (
        "from tests.client.test_runtime import _jobs, _taught;"
        "model = _taught('potentials', 150);"
        "print([model.predict_interval_one(x) for x, _, _ in _jobs('potentials', 20, seed=4)])"
    )
    path = f"{ROOT}:{ROOT / 'client'}"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_a_feature_that_emerges_late_keeps_what_was_learned():
    model = _taught("crystal", 100)
    job = {"x": 10, "y": 5, "z": 5}
    before = model.predict_one(job)
    model.learn_one({**job, "processes": 4}, before)
    assert model.predict_one(job) == pytest.approx(before, rel=0.02)
    assert model.predict_one({**job, "processes": 4}) == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("late", [{"z": 4}, {"processes": 8}, {"steps": 100}, {"z": 4, "processes": 8, "steps": 7}])
def test_columns_that_emerge_late_are_zero_in_all_that_was_learned(late):
    terms = RuntimeTerms(degree=3, limit=64)
    terms.admit({"x": 3, "y": 5})
    job = {"x": 7, "y": 2}
    additive, powers = terms.rows(job)
    assert terms.admit({**job, **late})
    for features in (job, {**job, **late}):
        more_additive, more_powers = terms.rows(features)
        assert len(more_additive) > len(additive)
        assert more_additive == additive + [0.0] * (len(more_additive) - len(additive))
        assert more_powers == powers + [0.0] * (len(more_powers) - len(powers))


def test_one_hiccup_of_the_machine_hardly_moves_it():
    model = _taught("crystal", 100)
    job = {"x": 10, "y": 5, "z": 5}
    before = model.predict_one(job)
    model.learn_one(job, 100 * before)
    assert model.predict_one(job) == pytest.approx(before, rel=0.1)


def test_it_follows_a_machine_that_became_faster():
    model = RuntimeRegressor(memory=300)
    for x, y, _ in _jobs("crystal", 1000):
        model.learn_one(x, y)
    for x, y, _ in _jobs("crystal", 1500, seed=2):
        model.learn_one(x, y / 3)
    errors = [model.predict_one(x) / (time / 3) - 1 for x, _, time in _jobs("crystal", 100, seed=3)]
    assert abs(float(np.median(errors))) < 0.1


@pytest.mark.parametrize("memory", [0, 1000])
def test_its_matrices_stay_positive_definite(memory):
    model = RuntimeRegressor(memory=memory)
    jobs = _jobs("crystal", 400)
    for _ in range(10):
        for x, y, _ in jobs:
            model.learn_one(x, y)
    for expert in (model._power, model._compact, model._full):
        assert np.array_equal(expert.covariance, expert.covariance.T)
        scale = 1 / np.sqrt(np.diagonal(expert.covariance))
        assert np.linalg.eigvalsh(expert.covariance * np.outer(scale, scale)).min() > 0


def test_it_stays_small_whatever_the_features():
    model = RuntimeRegressor()
    rng = random.Random(5)
    for number in range(300):
        x = {f"n{rng.randrange(1000)}": rng.random() for _ in range(5)}
        model.learn_one({**x, f"s{number}": "a", "b": str(number)}, 10 + rng.random())
    assert max(model._full.size, model._compact.size, model._power.size) < 140


def test_units_do_not_matter():
    small, large = RuntimeRegressor(), RuntimeRegressor()
    for x, y, _ in _jobs("crystal", 200):
        kilo = {name: 1000.0 * value for name, value in x.items()}
        assert small.predict_one(x) == pytest.approx(large.predict_one(kilo), rel=1e-6)
        small.learn_one(x, y)
        large.learn_one(kilo, y)
