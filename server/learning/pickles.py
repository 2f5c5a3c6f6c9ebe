"""Estimators as pickles: what comes from the wire, and what the server stores itself.

An upload is read by `pickle_machine`, which checks each operation. What the server stored is read by
Python's own unpickler at its full speed, with every global looked up in the same tables.
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

from server.learning import pickle_allowlist as allowlist
from server.learning import pickle_trees
from server.learning.pickle_allowlist import Only
from server.learning.pickle_calls import CALLS
from server.learning.pickle_context import Context
from server.learning.pickle_graph import check_graph
from server.learning.pickle_machine import Machine
from server.streams.errors import Invalid, TooLarge

PROTOCOL = 4
"""What `dumps` writes: the default of every Python that river supports, and of dill."""

MAX_BYTES = 64 * 2**20
"""Size of an upload, unless the caller says another."""

_TRUNCATED = ("exhausted", "not enough data", "remain")
"""How `pickletools` says that the data ends too early."""

_WHAT_TO_SEND = "send dill.dumps(model) or pickle.dumps(model) of a river estimator"


def load_estimator(data: bytes, *, trusted_modules: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> object:
    """Read an estimator that a client sent as a pickle, running nothing that the client chose.

    Parameters
    ----------
    data
        What ``dill.dumps`` or ``pickle.dumps`` made of the estimator, protocol 3 to 5.
    trusted_modules
        Modules (with their submodules) whose classes and functions are admitted too; for the ``custom``
        flavor.
    max_bytes
        Largest upload, in bytes.

    Returns
    -------
    The estimator: an instance of a class of river, of ``tailrace.estimators`` or of a trusted module,
    which `dumps` can write.

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


def _admitted(data: bytes, machine: Machine, trusted_modules: Sequence[str]) -> object:
    estimator = _guarded(data, machine.run)
    kind = type(estimator)
    if not issubclass(kind, base.Base) and not allowlist.is_trusted_class(kind, trusted_modules):
        raise Invalid(f"the upload holds a {kind.__module__}.{kind.__qualname__}, not an estimator; {_WHAT_TO_SEND}.")
    _guarded(data, partial(check_graph, estimator))
    _guarded(data, partial(_prove_usable, estimator))
    return estimator


def _prove_usable(estimator: Any) -> None:
    dumps(estimator)
    if isinstance(parameters := getattr(type(estimator), "_get_params", None), types.FunctionType):
        parameters(estimator)


def _guarded(data: bytes, work: Callable[[], Any]) -> Any:
    """Do the work on an upload; whatever is wrong with it then is the upload's fault and is told as such."""
    try:
        return work()
    except Invalid:
        raise
    except RecursionError as error:
        raise Invalid(
            "the upload nests objects deeper than Python can follow; send the estimator untrained."
        ) from error
    except MemoryError as error:
        raise Invalid("the upload makes more data than there is memory for.") from error
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise Invalid(_malformed(data, error)) from error


def _malformed(data: bytes, error: BaseException) -> str:
    if data[:1] != pickle.PROTO:
        return f"the upload is not a pickle of protocol 3 or later: it starts with {data[:12]!r}; {_WHAT_TO_SEND}."
    if isinstance(error, ValueError) and any(sign in str(error) for sign in _TRUNCATED):
        return f"the upload is truncated: its pickle goes on after the {len(data)} bytes that arrived ({error})."
    return f"the upload is a malformed pickle ({type(error).__name__}: {str(error)[:200]}); {_WHAT_TO_SEND}."


def dumps(estimator: object) -> bytes:
    """Write an estimator, or state that holds one, as a pickle for where river and tailrace are installed.

    Parameters
    ----------
    estimator
        An estimator, or a dict of plain data and estimators.
    """
    return pickle.dumps(estimator, PROTOCOL)


def dump_state(state: object) -> bytes:
    """Write state for `load_state`, so that what it gives back is as quick as what was written.

    An object whose ``__dict__`` an unpickler has filled at once is slower for the rest of its life: CPython keeps
    the attributes of ordinary objects in line, and gives that up when it is asked for the dict. Attributes that
    are stored as slots are set one by one instead, and learning with a stored model is a fifth quicker for it.
    """
    file = io.BytesIO()
    _StatePickler(file, PROTOCOL).dump(state)
    return file.getvalue()


class _StatePickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind in pickle_trees.KINDS:
            return pickle_trees.grown, (kind, pickle_trees.flat(value))
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
"""Ordinary but for a ``__setstate__`` that only fills in what a pickle of an older river lacks."""


@cache
def _descriptors(kind: type) -> frozenset[str] | None:
    """The properties of a class whose objects are what their ``__dict__`` holds; None for other classes."""
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
    """Read what the server itself wrote with `dumps`, at the speed of Python's own unpickler.

    Globals are looked up in the tables that uploads use, so nothing is imported; what is done with them
    is not checked. Never give it what came from a client: that is what `load_estimator` is for.

    Raises
    ------
    Invalid
        If it refers to what is not admitted, or can't be read (such as a snapshot of another version of
        river).
    """
    try:
        return _StateUnpickler(data, trusted_modules).load()
    except Invalid:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise Invalid(f"the stored state can't be read: {type(error).__name__}: {str(error)[:200]}.") from error


class _StateUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, trusted_modules: Sequence[str]) -> None:
        super().__init__(io.BytesIO(data))
        self._trusted_modules = trusted_modules
        self._context = Context(2**62, trusted_modules)

    def find_class(self, module: str, name: str) -> Any:
        if name == _set_attributes.__name__ and module == __name__:
            return _set_attributes
        if name == pickle_trees.grown.__name__ and module == pickle_trees.__name__:
            return pickle_trees.grown
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
    """What our own state's globals stand for, where the checked call would not do or would be slow."""
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
