"""Uploads of ordinary classes that take a server's memory, time or life by what their parameters add up to.

Each is made by a function, so that nothing large is made where it is only listed, with what its refusal must name.
"""

import collections
import copy
import pickle
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from river import (
    anomaly,
    compose,
    dummy,
    ensemble,
    facto,
    feature_extraction,
    forest,
    linear_model,
    metrics,
    optim,
    preprocessing,
    sketch,
    stats,
    utils,
)
from river.drift import ADWIN
from river.feature_extraction.vectorize import find_all_ngrams, tokenize_using_regex_pattern

from tests.learning.hostile_payloads import (
    build,
    call,
    double,
    get,
    inside,
    mapping,
    new,
    number,
    raw,
    text,
    tup,
    upload,
)

TRIPLET = get("river.imblearn.hard_sampling", "Triplet")
PARTIAL = get("functools", "partial")
HUGE = 10**13
MODULUS = 2**61 - 1
LR = linear_model.LinearRegression


def having(estimator: Any = None, **attributes: Any) -> bytes:
    """An upload of an estimator with these attributes."""
    estimator = LR() if estimator is None else estimator
    vars(estimator).update(attributes)
    return pickle.dumps(estimator, 4)


def rolling() -> Any:
    return partial(stats.RollingQuantile, 0.5, HUGE)


def backtracking() -> bytes:
    words = feature_extraction.BagOfWords(on="a")
    words.processing_steps = [itemgetter("a"), partial(tokenize_using_regex_pattern, "a" * 60 + "!")]
    return pickle.dumps(words | LR(), 4)


def nested_ensembles(levels: int, models: int) -> bytes:
    """Ensembles whose members are not made yet, each of the one before."""
    model: Any = LR()
    for _ in range(levels):
        outer = ensemble.BaggingRegressor(LR(), n_models=2, seed=1)
        outer.model, outer.n_models = model, models
        model = outer
    return pickle.dumps(model, 4)


def keys(make: Callable[[int], bytes], count: int = 15_000) -> bytes:
    return inside(b"}(" + b"".join(make(i) + b"N" for i in range(count)) + b"u")


def rust_state(stat: Any, size: int) -> bytes:
    """The upload of a rolling statistic whose state claims another size than it was made with."""
    state = stat.__getstate__().replace(size.to_bytes(8, "little"), HUGE.to_bytes(8, "little"))
    arguments = [double(value) if isinstance(value, float) else number(value) for value in stat.__getnewargs__()]
    return inside(build(new(get(type(stat).__module__, type(stat).__name__), *arguments), raw(state)))


def chain(kind: str, key: bytes, put: bytes, depth: int) -> bytes:
    """Containers in containers."""
    return get("collections", kind) + b"\x940" + (b"h\x00)R" + key) * depth + b"N" + put * depth


def doubled(make: bytes, times: int) -> bytes:
    """An object that holds the one before it three times, and so on."""
    levels = (b"\x94" + b"0" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"h" + bytes([i]) + make for i in range(times))
    return b")" + b"".join(levels)


def frozensets(times: int) -> bytes:
    """Two towers of frozensets whose levels are equal and not the same, as two members of one."""
    towers = b""
    for first in (0, times + 1):
        towers += b"K\x01\x940" + b"".join(
            b"(h" + bytes([first + i]) + b"h" + bytes([first + i]) + b"\x85\x91\x940" for i in range(times)
        )
    return towers + b"(h" + bytes([times]) + b"h" + bytes([2 * times + 1]) + b"\x91"


def vector_of(value: bytes) -> bytes:
    """A vector that shares a dict, to which something is added later."""
    vector = call(get("river._river_rust.vectordict", "VectorDict"), b"}\x94", b"N", b"N", b"\x89")
    return vector + b"h\x00" + text("a") + value + b"s0"


def array(shape: tuple[int, ...], code: str) -> bytes:
    dtype = call(get("numpy", "dtype"), text(code), b"\x89", b"\x88")
    return call(get("numpy._core.numeric", "_frombuffer"), raw(b""), dtype, tup(*map(number, shape)), text("C"))


def grown_after_its_check() -> bytes:
    """A partial whose keywords get their number after the vector that keeps it was made."""
    made = call(PARTIAL, get("river.stats.quantile", "RollingQuantile")) + b"\x94"
    keywords = b"}\x94"
    state = tup(get("river.stats.quantile", "RollingQuantile"), b")", keywords, b"N")
    vector = call(get("river._river_rust.vectordict", "VectorDict"), b"N", b"h\x00")
    late = b"h\x01" + text("q") + double(0.5) + b"s" + text("window_size") + number(HUGE) + b"s0"
    body = made + state + b"b0" + late + get("river.linear_model.lin_reg", "LinearRegression") + b")\x81"
    return upload(build(body, mapping(l2=vector)))


LIMITS: dict[str, tuple[Callable[[], bytes], str]] = {
    # hangs
    "a pattern in the place of the text": (backtracking, "tokenize_using_regex_pattern"),
    "a list of what never ends": (
        lambda: having(l2=partial(list, metrics.ConfusionMatrix())),
        "a container is made of a river.metrics.confusion.ConfusionMatrix",
    ),
    "a tuple of what never ends": (lambda: having(l2=partial(tuple, metrics.ConfusionMatrix())), "partial of tuple"),
    "a set of what never ends": (lambda: having(l2=partial(set, metrics.ConfusionMatrix())), "partial of set"),
    "a counter of what never ends": (
        lambda: having(l2=partial(collections.Counter, metrics.ConfusionMatrix())),
        "partial of collections.Counter",
    ),
    "a deque of what never ends": (
        lambda: having(l2=partial(collections.deque, metrics.ConfusionMatrix(), 10)),
        "partial of collections.deque",
    ),
    "a defaultdict of what never ends": (
        lambda: having(l2=partial(collections.defaultdict, float, metrics.ConfusionMatrix())),
        "partial of collections.defaultdict",
    ),
    "n-grams of a text of one's own": (lambda: having(l2=partial(find_all_ngrams, ["a"], range(2))), "find_all_ngrams"),
    "a degree of ten": (
        lambda: pickle.dumps(facto.HOFMRegressor(degree=10, n_factors=10, seed=1), 4),
        "degree is 10; at most",
    ),
    "many factors": (lambda: pickle.dumps(facto.FFMRegressor(n_factors=5000, seed=1), 4), "n_factors is 5000; at most"),
    "all products": (
        lambda: pickle.dumps(feature_extraction.PolynomialExtender(degree=10) | LR(), 4),
        "degree is 10; at most",
    ),
    "many random features": (
        lambda: pickle.dumps(feature_extraction.RBFSampler(n_components=10_000, seed=1) | LR(), 4),
        "n_components is 10000; at most",
    ),
    "a triplet that never ends to hash": (
        lambda: inside(b"}" + new(TRIPLET, doubled(b"\x87", 40), b"N", b"N") + b"Ns"),
        "Triplet",
    ),
    "frozensets that never end to compare": (lambda: inside(b"}" + frozensets(60) + b"Ns"), "frozenset"),
    "colliding whole numbers": (lambda: keys(lambda i: number(i * MODULUS)), "keys with one hash"),
    "colliding tuples": (lambda: keys(lambda i: number(i * MODULUS) + b"\x85"), "keys with one hash"),
    "colliding members of a set": (
        lambda: inside(b"\x8f(" + b"".join(number(i * MODULUS) for i in range(15_000)) + b"\x90"),
        "keys with one hash",
    ),
    "colliding members of a set in a call": (
        lambda: inside(
            call(get("builtins", "set"), b"](" + b"".join(number(i * MODULUS) for i in range(15_000)) + b"e")
        ),
        "keys with one hash",
    ),
    # ends of the process
    "a factory that ends the process": (
        lambda: having(LR(l1=0.1), cum_l1=utils.VectorDict(None, rolling())),
        "RollingQuantile",
    ),
    "a factory that is given its number late": (grown_after_its_check, "RollingQuantile"),
    "a factory in a list that is iterated": (lambda: having(l2=iter([rolling()])), "RollingQuantile"),
    "a window of numpy's number": (
        lambda: having(
            preprocessing.MinMaxScaler(),
            min=collections.defaultdict(partial(stats.RollingQuantile, 0.5, np.int64(HUGE))),
        ),
        "window_size",
    ),
    "a window of numpy's number as a parameter": (
        lambda: having(stats.RollingQuantile(0.5, 5), window_size=np.uint64(HUGE)),
        "window_size",
    ),
    "a window as a float": (lambda: having(stats.RollingQuantile(0.5, 5), window_size=float(HUGE)), "window_size"),
    "a window as an array": (
        lambda: having(stats.RollingQuantile(0.5, 5), window_size=np.array([HUGE])),
        "window_size",
    ),
    "a window as an array without dimensions": (
        lambda: having(stats.RollingQuantile(0.5, 5), window_size=np.array(HUGE)),
        "window_size",
    ),
    "a window in a state of rust": (
        lambda: rust_state(stats.RollingQuantile(0.5, 7)._rolling_quantile, 7),
        "RsRollingQuantile",
    ),
    "another window in a state of rust": (lambda: rust_state(stats.RollingIQR(7)._rolling_iqr, 7), "RsRollingIQR"),
    "buckets in a state of rust": (
        lambda: rust_state(ADWIN(max_buckets=77, clock=3, grace_period=4, min_window_length=2)._helper, 77),
        "AdaptiveWindowing",
    ),
    "a forest of numpy's number": (
        lambda: having(forest.ARFRegressor(seed=1), n_models=np.int64(10**8)),
        "n_models is 100000000; at most 1000",
    ),
    "a bagging by position": (
        lambda: having(l2=partial(ensemble.BaggingRegressor, LR(), 1_000_000)),
        "n_models is 1000000; at most 1000",
    ),
    "a bagging by a partial of a partial": (
        lambda: having(l2=collections.defaultdict(partial(partial(ensemble.BaggingRegressor, LR()), 1_000_000))),
        "n_models",
    ),
    "a clone with other parameters": (
        lambda: having(l2=collections.defaultdict(partial(LR().clone, {"n_models": 10**9}))),
        "river.base.base.Base.clone",
    ),
    "an initial value of a huge shape": (
        lambda: having(l2=partial(optim.initializers.Normal(seed=1), shape=(10**6, 10**6))),
        "shape makes 1000000000000 numbers",
    ),
    "an array of ones": (lambda: having(l2=partial(np.ones, 10**11)), "numpy.ones"),
    "a triplet nested 900,000 deep": (
        lambda: inside(b"}" + new(TRIPLET, b")" + b"\x85" * 900_000, b"N", b"N") + b"Ns"),
        "Triplet",
    ),
    "defaultdicts in defaultdicts": (lambda: upload(chain("defaultdict", b"K\x01", b"s", 100_000)), "defaultdict"),
    "defaultdicts in defaultdicts of an estimator": (
        lambda: inside(chain("defaultdict", b"K\x01", b"s", 100_000)),
        "more than 100 deep",
    ),
    "deques in deques": (lambda: inside(chain("deque", b"", b"a", 45_000)), "more than 100 deep"),
    # memory
    "a bagging of baggings": (lambda: nested_ensembles(2, 1000), "is too large"),
    "a bagging of baggings of baggings": (lambda: nested_ensembles(10, 10), "is too large"),
    "a bagging of trees that are whole at once": (
        lambda: having(
            ensemble.BaggingRegressor(LR(), n_models=2, seed=1),
            model=anomaly.HalfSpaceTrees(height=12, seed=1),
            n_models=1000,
        ),
        "is too large",
    ),
    "a bagging in a factory": (
        lambda: having(
            l2=collections.defaultdict(
                partial(ensemble.BaggingRegressor, model=ensemble.BaggingRegressor(LR(), 900, seed=1), n_models=1000)
            )
        ),
        "is too large",
    ),
    "a sketch by its error": (lambda: having(sketch.NUnique(0.01, seed=1), error_rate=1e-9), "error_rate"),
    "a sketch by numpy's error": (lambda: having(sketch.Counter(0.01, seed=1), epsilon=np.float32(1e-9)), "epsilon"),
    "a sketch by its confidence": (lambda: having(sketch.Counter(0.01, seed=1), delta=1e-300), "delta"),
    "an array without numbers": (lambda: inside(array((3 * 10**7, 0), "f8")), "numpy"),
    "an array without numbers, huge": (lambda: inside(array((0, 2**40), "f8")), "numpy"),
    "an array of empty texts": (lambda: inside(array((2**40,), "S0")), "numpy"),
    "a long string": (
        lambda: having(dummy.NoChangeClassifier(), y="x" * 20_000_000),
        "a string of 20000000 characters; at most 10000",
    ),
    "a long string of bytes": (
        lambda: having(dummy.NoChangeClassifier(), y=b"x" * 20_000_000),
        "a string of 20000000 bytes; at most 10000",
    ),
    "a long string of numpy": (
        lambda: having(dummy.NoChangeClassifier(), y=np.str_("x" * 20_000)),
        "a string of 20000",
    ),
    "a long number": (lambda: having(dummy.NoChangeClassifier(), y=1 << 400_000), "400001 bits; at most 1024"),
    "a long string as a key": (lambda: having(l2={"x" * 20_000: 1}), "a string of 20000 characters"),
    "a window without end": (lambda: having(l2=collections.deque(maxlen=2**40)), "deque"),
    "an array by an attribute": (lambda: having(linear_model.BayesianLinearRegression(), _cap=10**9), "_cap beyond"),
    "a filter by an attribute": (lambda: having(sketch.Set(100, seed=1), _asize=np.int64(HUGE)), "_asize beyond"),
    "a vector of anything": (
        lambda: inside(vector_of(text("x"))),
        "VectorDict",
    ),
    # methods
    "learn_one is a copy": (lambda: having(learn_one=partial(copy.deepcopy, 1)), "learn_one in the place of a method"),
    "a property is an attribute": (lambda: having(_supervised=False), "in the place of a method"),
    "a method that the class lacks": (lambda: having(fit_one=partial(copy.deepcopy, 1)), "fit_one in the place of"),
    "the last step is another": (lambda: having(_last_step=LR()), "_last_step in the place of"),
    "a statistic as a step": (
        lambda: having(compose.Pipeline(LR()), steps={"a": stats.Mean(), "b": LR()}),
        "river.stats.mean.Mean as a step",
    ),
    "a step with a long name": (lambda: having(compose.Pipeline(LR()), steps={"a" * 300: LR()}), "300 characters"),
    # text
    "half a character": (lambda: having(l2="x\ud800"), "half a character"),
    "half a character as a global": (lambda: upload(half("os") + text("system") + b"\x93"), "half a character"),
}


def half(value: str) -> bytes:
    data = (value + "\ud800").encode(errors="surrogatepass")
    return b"X" + len(data).to_bytes(4, "little") + data
