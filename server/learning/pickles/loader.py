"""Reads and writes estimators as pickles: uploads of clients, and states that the server stores itself.

:mod:`server.learning.pickles.machine` reads uploads and checks each operation. Python's own unpickler reads stored states at full
speed, with every global looked up in the same tables.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import types
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from river import base, preprocessing
from tailrace.estimators.limits import is_panic

from server.core.errors import Invalid, TooLarge
from server.learning.pickles import allowlist as allowlist
from server.learning.pickles import trees
from server.learning.pickles.allowlist import Only
from server.learning.pickles.calls import CALLS
from server.learning.pickles.context import Context
from server.learning.pickles.graph import check_graph
from server.learning.pickles.machine import Machine

PROTOCOL = 4
"""Pickle protocol of `dumps`: the default of every Python that river supports, and of dill."""

MAX_BYTES = 64 * 2**20
"""Default size limit of an upload."""

_TRUNCATED = ("exhausted", "not enough data", "remain")
"""Words in errors of `pickletools` for data that ends too early."""

_WHAT_TO_SEND = "send dill.dumps(model) or pickle.dumps(model) of a river estimator"


def load_estimator(data: bytes, *, trusted_modules: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> object:
    """Read an estimator that a client sent as a pickle, without running code that the client chose.

    Parameters
    ----------
    data
        The output of ``dill.dumps`` or ``pickle.dumps``, protocol 3 to 5.
    trusted_modules
        Modules (with their submodules) whose classes and functions are also admitted, for the ``custom``
        flavor.
    max_bytes
        Largest upload, in bytes.

    Returns
    -------
    The estimator: an instance of a class of river, of ``tailrace.estimators`` or of a trusted module.
    It can be written by `dumps`.

    Raises
    ------
    Invalid
        If it is not a pickle, is truncated, holds no estimator, or refers to, calls or sets anything
        that is not admitted; the message names it.
    TooLarge
        If it is larger than `max_bytes`.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the upload has {len(data)} bytes; at most {max_bytes} are admitted.")
    if not data:
        raise Invalid(f"the upload is empty; {_WHAT_TO_SEND}.")
    machine = Machine(data, trusted_modules)
    try:
        return _admitted(data, machine, trusted_modules)
    except BaseException:
        machine.context.scrap()
        raise


def load_values(data: bytes, *, max_bytes: int = MAX_BYTES) -> object:
    """Read plain data, metrics or statistics of river from a pickle, as :func:`load_estimator` reads an estimator.

    Raises
    ------
    Invalid, TooLarge
        As :func:`load_estimator`.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the pickle has {len(data)} bytes; at most {max_bytes} are admitted.")
    machine = Machine(data)
    try:
        found = _guarded(data, machine.run)
        _guarded(data, partial(check_graph, found))
    except BaseException:
        machine.context.scrap()
        raise
    return found


def _admitted(data: bytes, machine: Machine, trusted_modules: Sequence[str]) -> object:
    estimator = _guarded(data, machine.run)
    kind = type(estimator)
    if not issubclass(kind, base.Base) and not allowlist.is_trusted_class(kind, trusted_modules):
        raise Invalid(f"the upload holds a {kind.__module__}.{kind.__qualname__}, not an estimator; {_WHAT_TO_SEND}.")
    _guarded(data, partial(check_graph, estimator))
    _guarded(data, partial(_check_usable, estimator))
    return estimator


def _check_usable(estimator: Any) -> None:
    dumps(estimator)
    if isinstance(parameters := getattr(type(estimator), "_get_params", None), types.FunctionType):
        parameters(estimator)


def _guarded(data: bytes, work: Callable[[], Any]) -> Any:
    """Run a function that reads or checks an upload. Every error becomes `Invalid`, because the upload causes it."""
    try:
        return work()
    except Invalid:
        raise
    except RecursionError as error:
        raise Invalid(
            "the upload nests objects deeper than Python can follow; send the estimator untrained."
        ) from error
    except MemoryError as error:
        raise Invalid("the upload needs more memory than is available.") from error
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise Invalid(_malformed(data, error)) from error


def _malformed(data: bytes, error: BaseException) -> str:
    if data[:1] != pickle.PROTO:
        return f"the upload is not a pickle of protocol 3 or later: it starts with {data[:12]!r}; {_WHAT_TO_SEND}."
    if isinstance(error, ValueError) and any(sign in str(error) for sign in _TRUNCATED):
        return f"the upload is truncated: its pickle continues after the {len(data)} bytes that arrived ({error})."
    return f"the upload is a malformed pickle ({type(error).__name__}: {str(error)[:200]}); {_WHAT_TO_SEND}."


def dumps(estimator: object) -> bytes:
    """Return an estimator, or a state that holds one, as a pickle that loads wherever river and tailrace are installed.

    Parameters
    ----------
    estimator
        An estimator, or a dict of plain data and estimators.
    """
    return pickle.dumps(estimator, PROTOCOL)


def dump_state(state: object) -> bytes:
    """Return a state as bytes for `load_state`, in a form that makes the loaded objects as fast as the original ones.

    If an unpickler fills an object's ``__dict__`` at once, the object stays slower: CPython stores attributes of ordinary
    objects inline, and stops doing so when the dict is accessed. Attributes that are stored as slots are set one by one
    instead. This makes learning with a loaded model 20% faster.
    """
    file = io.BytesIO()
    _StatePickler(file, PROTOCOL).dump(state)
    return file.getvalue()


class _StatePickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind in trees.KINDS:
            return trees.grown, (kind, trees.flat(value))
        descriptors = _descriptors(kind)  # type: ignore[arg-type]
        if descriptors is None or not value.__dict__ or not descriptors.isdisjoint(value.__dict__):
            return NotImplemented
        if kind in _DEFAULTING:
            return copyreg.__newobj__, (kind,), value.__dict__, None, None, _set_attributes  # type: ignore[attr-defined]
        return copyreg.__newobj__, (kind,), (None, value.__dict__)  # type: ignore[attr-defined]


def _set_attributes(target: object, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(target, name, value)


_DEFAULTING = (preprocessing.StandardScaler, preprocessing.MinMaxScaler, preprocessing.MaxAbsScaler)
"""Ordinary classes except for a ``__setstate__`` that only adds attributes missing in pickles of older versions of river."""


@cache
def _descriptors(kind: type) -> frozenset[str] | None:
    """Return the data descriptors of a class whose objects consist of their ``__dict__`` only; None for other classes."""
    own = ["__reduce__", "__reduce_ex__", "__getstate__", "__setattr__", "__setstate__"]
    if kind in _DEFAULTING:
        own.remove("__setstate__")
    ordinary = (
        issubclass(kind, base.Base)
        and all(getattr(kind, name, None) is getattr(object, name, None) for name in own)
        and not any(vars(cls).get("__slots__") for cls in kind.__mro__)
    )
    if not ordinary:
        return None
    return frozenset(name for cls in kind.__mro__ for name, value in vars(cls).items() if hasattr(value, "__set__"))


def load_state(data: bytes, *, trusted_modules: Sequence[str] = ()) -> Any:
    """Read a state that the server wrote with `dump_state`, at the speed of Python's own unpickler.

    Globals are looked up in the same tables as for uploads, so nothing is imported. Calls are not checked. Never use it for data
    from a client: use `load_estimator`.

    Raises
    ------
    Invalid
        If it refers to a global that is not admitted, or can't be read (such as a snapshot of another version of river).
    """
    try:
        return _StateUnpickler(data, trusted_modules).load()
    except Invalid:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise Invalid(f"the stored state can't be read: {type(error).__name__}: {str(error)[:200]}.") from error


@cache
def _own_functions() -> dict[tuple[str, str], Any]:
    """Return the functions of this package that stored states refer to, by module and name.

    Earlier releases used other modules.
    """
    attributes, tree = _set_attributes.__name__, trees.grown.__name__
    return {
        (__name__, attributes): _set_attributes,
        ("server.learning.pickles", attributes): _set_attributes,
        (trees.__name__, tree): trees.grown,
        ("server.learning.pickle_trees", tree): trees.grown,
    }


class _StateUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, trusted_modules: Sequence[str]) -> None:
        super().__init__(io.BytesIO(data))
        self._trusted_modules = trusted_modules
        self._context = Context(2**62, trusted_modules)

    def find_class(self, module: str, name: str) -> Any:
        own = _own_functions().get((module, name))
        if own is not None:
            return own
        found = allowlist.find(module, name, self._trusted_modules)
        if not isinstance(found, Only):
            return found
        if found.real is not None:
            return found.real
        return _state_calls().get(found.name) or partial(CALLS[found.name], self._context)

    def persistent_load(self, pid: Any) -> Any:
        raise Invalid("the stored state has a persistent id, which is not admitted.")


@cache
def _state_calls() -> dict[str, Any]:
    """Return the real callables for globals in stored states for which the checked call is too strict or too slow."""
    import array
    import functools
    import random
    import statistics

    import numpy as np
    from numpy._core import multiarray
    from numpy.random import _pickle as random_pickle
    from numpy.random import bit_generator

    kinds: dict[str, Any] = {
        "array._array_reconstructor": array._array_reconstructor,  # type: ignore[attr-defined]
        "array.array": array.array,
        "builtins.iter": iter,
        "builtins.object": object,
        "functools.partial": functools.partial,
        "numpy._core.multiarray._reconstruct": multiarray._reconstruct,  # type: ignore[attr-defined]
        "numpy._core.multiarray.scalar": multiarray.scalar,  # type: ignore[attr-defined]
        "numpy.dtype": np.dtype,
        "numpy.ndarray": np.ndarray,
        "numpy.random._pickle.__bit_generator_ctor": random_pickle.__dict__["__bit_generator_ctor"],
        "numpy.random._pickle.__generator_ctor": random_pickle.__dict__["__generator_ctor"],
        "numpy.random._pickle.__randomstate_ctor": random_pickle.__dict__["__randomstate_ctor"],
        "numpy.random.bit_generator.SeedSequence": bit_generator.SeedSequence,  # type: ignore[attr-defined]
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": bit_generator.__dict__["__pyx_unpickle_SeedSequence"],
        "random.Random": random.Random,
        "statistics.NormalDist": statistics.NormalDist,
    }
    for name in ("_mt19937.MT19937", "_pcg64.PCG64", "_pcg64.PCG64DXSM", "_philox.Philox", "_sfc64.SFC64"):
        kinds[f"numpy.random.{name}"] = getattr(np.random, name.rpartition(".")[2])
    return kinds
