"""The allowlist: classes and functions that an uploaded pickle may refer to.

They are looked up in tables that this module builds. An upload can't cause an import or an attribute lookup, except in
modules that the operator trusts.
"""

from __future__ import annotations

import collections
import copy
import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import river.api
from river import base
from river._river_rust import drift as rust_drift
from river._river_rust import stats as rust_stats
from river._river_rust import vectordict as rust_vectordict

from server.core.errors import Invalid
from server.learning.river_adapters import set_order, shared_state

shared_state.install()
set_order.install()

RIVER_EXCLUDED = (
    "river.bandit.datasets",
    "river.bandit.envs",
    "river.checks",
    "river.compat",
    "river.datasets",
    "river.drift.datasets",
    "river.evaluate",
    "river.stream",
)
"""Parts of river that read files, download data, or wrap other libraries."""

HELPERS = {
    "river.cluster.clustream": ("CluStreamMicroCluster",),
    "river.cluster.dbstream": ("DBSTREAMMicroCluster",),
    "river.cluster.denstream": ("DenStream.BufferItem", "DenStreamMicroCluster"),
    "river.cluster.textclust": ("TextClust.Distances", "TextClust.MicroCluster"),
    "river.conf.interval": ("Interval",),
    "river.covariance.emp": ("EmpiricalCovariance", "EmpiricalPrecision"),
    "river.covariance.ewa": (
        "EwaCovariance",
        "EwaPrecision",
        "LedoitWolfCovariance",
        "OASCovariance",
        "ShrunkCovariance",
    ),
    "river.drift.binary.hddm_w": ("SampleInfo",),
    "river.ensemble.streaming_random_patches": ("BaseSRPClassifier", "BaseSRPRegressor"),
    "river.imblearn.hard_sampling": ("Triplet",),
    "river.metrics.multioutput.confusion": ("MultiLabelConfusionMatrix",),
    "river.neighbors.ann.nn_vertex": ("Vertex",),
    "river.neighbors.base": ("FunctionWrapper",),
    "river.rules.base": ("NominalLiteral", "NumericLiteral"),
    "river.sketch.histogram": ("Bin",),
    "river.stats.kolmogorov_smirnov": ("_Node",),
    "river.time_series.holt_winters": (
        "AdditiveLevel",
        "AdditiveSeason",
        "MultiplicativeLevel",
        "MultiplicativeSeason",
        "Trend",
    ),
    "river.time_series.snarimax": ("Differencer",),
    "river.tree.losses": ("BinaryCrossEntropyLoss", "SquaredErrorLoss"),
    "river.tree.split_criterion.gini_split_criterion": ("GiniSplitCriterion",),
    "river.tree.split_criterion.hellinger_distance_criterion": ("HellingerDistanceCriterion",),
    "river.tree.split_criterion.info_gain_split_criterion": ("InfoGainSplitCriterion",),
    "river.tree.split_criterion.intra_cluster_variance_reduction_split_criterion": (
        "IntraClusterVarianceReductionSplitCriterion",
    ),
    "river.tree.split_criterion.variance_ratio_split_criterion": ("VarianceRatioSplitCriterion",),
    "river.tree.split_criterion.variance_reduction_split_criterion": ("VarianceReductionSplitCriterion",),
    "river.tree.splitter.ebst_splitter": ("EBSTNode",),
    "river.tree.splitter.exhaustive_splitter": ("ExhaustiveNode",),
    "river.tree.splitter.qo_splitter": ("FeatureQuantizer", "Slot"),
    "river.tree.utils": ("BranchFactory", "GradHess", "GradHessMerit", "GradHessStats"),
    "river.utils.rolling": ("Rolling", "TimeRolling"),
    "river.utils.sorted_window": ("SortedWindow",),
    "tailrace.estimators._bond_map": ("BondMap",),
    "tailrace.estimators._calibration": ("ErrorCalibrator",),
    "tailrace.estimators._posterior": ("Posterior",),
    "tailrace.estimators._ridge": ("RecursiveRidge",),
    "tailrace.estimators._runtime_terms": ("RuntimeTerms",),
}
"""Classes of objects in estimators that don't derive from river's base class. The code of each was reviewed."""

RIVER_FUNCTIONS = {
    "river._river_rust.vectordict": ("euclidean_distance_dict", "euclidean_distance_tuple"),
    "river.bandit.thompson": ("ThompsonSampling._clone_reward_obj_with_seed",),
    "river.base.base": ("Base.clone",),
    "river.drift.dummy": ("DummyDriftDetector._fixed_trigger", "DummyDriftDetector._random_trigger"),
    "river.drift.page_hinkley": (
        "PageHinkley._test_both",
        "PageHinkley._test_decrease",
        "PageHinkley._test_increase",
    ),
    "river.ensemble.bagging": (
        "LeveragingBaggingClassifier._leveraging_bag",
        "LeveragingBaggingClassifier._leveraging_bag_half",
        "LeveragingBaggingClassifier._leveraging_bag_me",
        "LeveragingBaggingClassifier._leveraging_bag_wt",
        "LeveragingBaggingClassifier._leveraging_subag",
    ),
    "river.feature_extraction.kernel_approx": ("RBFSampler._random_weights",),
    "river.feature_extraction.vectorize": (
        "find_all_ngrams",
        "remove_stop_words",
        "strip_accents_unicode",
        "tokenize_using_regex_pattern",
    ),
    "river.forest.online_extra_trees": (
        "ExtraTrees._detection_mode_all",
        "ExtraTrees._detection_mode_drop",
        "ExtraTrees._detection_mode_off",
    ),
    "river.linear_model.pa": ("BasePA._calc_tau_0", "BasePA._calc_tau_1", "BasePA._calc_tau_2"),
    "river.metrics.mutual_info": ("_average_arithmetic", "_average_geometric"),
    "river.multiclass.occ": ("OutputCodeClassifier._next_code",),
    "river.naive_bayes.gaussian": ("GaussianNB._make_gaussian",),
    "river.preprocessing.random_projection": (
        "GaussianRandomProjector._rand_gauss",
        "SparseRandomProjector._rand_weights_for_feature",
    ),
    "river.tree.splitter.ebst_splitter": (
        "EBSTNode._update_estimator_multivariate",
        "EBSTNode._update_estimator_univariate",
    ),
    "river.tree.splitter.nominal_splitter_reg": (
        "NominalSplitterReg._update_estimator_multivariate",
        "NominalSplitterReg._update_estimator_univariate",
    ),
    "river.tree.splitter.qo_splitter": (
        "Slot._update_estimator_multivariate",
        "Slot._update_estimator_univariate",
    ),
    "river.utils.math": ("minkowski_distance",),
    "random": ("Random.gauss",),
}
"""Functions and methods that estimators have as attributes."""

PLAIN_TYPES = {t.__name__: t for t in (bool, complex, dict, float, frozenset, int, list, set, str, tuple)}

COLLECTIONS = {
    t.__name__: t for t in (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque)
}

RUST_CLASSES = {
    name: cls
    for module in (rust_drift, rust_stats, rust_vectordict)
    for name, cls in vars(module).items()
    if isinstance(cls, type)
}


class Only:
    """Placeholder for a callable that a pickle may call but not store.

    Parameters
    ----------
    name
        The global's full name.
    real
        The callable, if an upload may hold a ``functools.partial`` of it; see :mod:`server.learning.pickles.calls`.
    """

    __slots__ = ("name", "real")

    def __init__(self, name: str, real: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.real = real

    def __reduce__(self) -> Any:
        raise Invalid(f"the upload keeps {self.name} as a value, which is not admitted.")


_ONLY_CALLED = (
    "array._array_reconstructor",
    "builtins.getattr",
    "builtins.iter",
    "builtins.range",
    "copyreg._reconstructor",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "dill._dill._create_array",
    "dill._dill._eval_repr",
    "dill._dill._getattr",
    "dill._dill._load_type",
    "functools.partial",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "operator.itemgetter",
    "random.Random",
    "statistics.NormalDist",
)
_VALUES = {
    "array.array": "array.array",
    "builtins.object": "builtins.object",
    "numpy.ndarray": "numpy.ndarray",
    "numpy.random._mt19937.MT19937": "MT19937",
    "numpy.random._pcg64.PCG64": "PCG64",
    "numpy.random._pcg64.PCG64DXSM": "PCG64DXSM",
    "numpy.random._philox.Philox": "Philox",
    "numpy.random._sfc64.SFC64": "SFC64",
    "numpy.random.bit_generator.SeedSequence": "SeedSequence",
}
_ALIASES = {
    "numpy.core.multiarray._reconstruct": "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar": "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer": "numpy._core.numeric._frombuffer",
    "numpy._core.multiarray.array": "numpy.array",
    "numpy._core.numeric.ones": "numpy.ones",
}
_HINTS = {
    "__main__": "a class or function of a script doesn't exist on the server",
    "dill._dill": "dill sends functions, lambdas and classes by value, and they are never run here",
    "river.datasets": "data sets are not estimators",
    "river.compat": "estimators of other libraries are not admitted",
}


@cache
def _river_classes() -> dict[tuple[str, str], type]:
    """Return the admitted classes of river and of ``tailrace.estimators``, by module and qualified name."""
    admitted: dict[tuple[str, str], type] = {}
    for module in _modules():
        helpers = HELPERS.get(module.__name__, ())
        for cls in _classes_of(module):
            if issubclass(cls, base.Base) or cls.__qualname__ in helpers:
                admitted[module.__name__, cls.__qualname__] = cls
    return admitted


def _modules() -> Iterator[types.ModuleType]:
    import tailrace.estimators

    for found in pkgutil.iter_modules(tailrace.estimators.__path__, "tailrace.estimators."):
        yield importlib.import_module(found.name)
    for name in sorted(sys.modules):
        if (name == river.__name__ or name.startswith("river.")) and not _within(name, RIVER_EXCLUDED):
            yield sys.modules[name]


def _classes_of(holder: types.ModuleType | type, module: str | None = None) -> Iterator[type]:
    module = module or holder.__name__
    for value in list(vars(holder).values()):
        if not isinstance(value, type) or value.__module__ != module:
            continue
        if isinstance(holder, type) and not value.__qualname__.startswith(f"{holder.__qualname__}."):
            continue
        yield value
        yield from _classes_of(value, module)


@cache
def _functions() -> dict[tuple[str, str], Callable[..., Any]]:
    found: dict[tuple[str, str], Callable[..., Any]] = {}
    for module, names in RIVER_FUNCTIONS.items():
        for name in names:
            value: Any = sys.modules[module]
            for part in name.split("."):
                value = inspect.getattr_static(value, part)
            found[module, name] = getattr(value, "__func__", value)
    return found


@cache
def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {}
    table.update({("builtins", name): value for name, value in PLAIN_TYPES.items()})
    table.update({("collections", name): value for name, value in COLLECTIONS.items()})
    for name in _ONLY_CALLED:
        table[_split(name)] = Only(name)
    for name in _VALUES:
        table[_split(name)] = Only(name)
    for name, real in (("numpy.array", np.array), ("numpy.ones", np.ones), ("copy.deepcopy", copy.deepcopy)):
        table[_split(name)] = Only(name, real)
    for alias, name in _ALIASES.items():
        table[_split(alias)] = table[_split(name)]
    for cls in RUST_CLASSES.values():
        table[cls.__module__, cls.__qualname__] = cls
    table.update(_river_classes())
    table.update(_functions())
    return table


def find(module: str, name: str, trusted_modules: Sequence[str] = ()) -> Any:
    """Return the object for a global of an upload.

    Parameters
    ----------
    module, name
        Names from the pickle. Nothing is imported for them, except from trusted modules.
    trusted_modules
        Modules that the operator trusts. Classes and functions defined in them, or in their submodules, are admitted.

    Returns
    -------
    A class or function that may be stored as a value, or an `Only`.

    Raises
    ------
    Invalid
        If the global is not admitted.
    """
    found = _table().get((module, name))
    if found is not None:
        return found
    if _within(module, trusted_modules):
        return _trusted(module, name, trusted_modules)
    raise Invalid(_refusal(f"{module}.{name}", module))


def _trusted(module: str, name: str, trusted_modules: Sequence[str]) -> Any:
    full = f"{module}.{name}"
    try:
        value: Any = importlib.import_module(module)
        for part in name.split("."):
            value = inspect.getattr_static(value, part)
    except (ImportError, AttributeError) as error:
        raise Invalid(f"the upload refers to {full}, which the server doesn't have: {error}.") from error
    if not isinstance(value, (type, types.FunctionType)) or not _within(value.__module__, trusted_modules):
        raise Invalid(_refusal(full, module, "it is not a class or function defined in a trusted module"))
    return value


def is_river_class(cls: Any) -> bool:
    """Return whether the class is on the allowlist. Instances of such a class are made from their attributes."""
    return isinstance(cls, type) and _river_classes().get((cls.__module__, cls.__qualname__)) is cls


def is_admitted_function(value: Any) -> bool:
    """Return whether the value is one of :data:`RIVER_FUNCTIONS`."""
    return any(value is function for function in _functions().values())


def is_trusted_class(cls: Any, trusted_modules: Sequence[str]) -> bool:
    """Return whether the class is from a module that the operator trusts."""
    return isinstance(cls, type) and _within(cls.__module__, trusted_modules)


def is_trusted_function(value: types.FunctionType, trusted_modules: Sequence[str]) -> bool:
    """Return whether the function is from a module that the operator trusts."""
    return _within(value.__module__, trusted_modules)


def _split(full: str) -> tuple[str, str]:
    module, _, name = full.rpartition(".")
    return module, name


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _refusal(full: str, module: str, why: str = "") -> str:
    shown = full if len(full) <= 200 else f"{full[:200]}…"
    why = why or next((hint for package, hint in _HINTS.items() if _within(module, [package])), "")
    return (
        f"the upload refers to {shown!s}, which is not admitted{': ' + why if why else ''}. "
        f"Only estimators of river {river.__version__} and the plain data they hold are admitted. Send one of those, "
        "or ask the operator to add the module to TAILRACE_TRUSTED_MODULES, for the custom flavor."
    )
