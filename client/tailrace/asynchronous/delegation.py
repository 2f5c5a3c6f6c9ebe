"""Methods and properties of the synchronous client as coroutines, with the same arguments, docstrings and results."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial, update_wrapper
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tailrace.asynchronous.worker_threads import Call, Workers

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec  # noqa: UP035  (for type checkers on Python 3.9)

    Given = ParamSpec("Given")

__all__ = ["AsyncDelegate", "Deferred", "as_coroutine", "as_coroutine_returning"]

Found = TypeVar("Found")
Made = TypeVar("Made")


class Deferred(Generic[Found]):
    """The value of a property, which is requested when it is awaited.

    Parameters
    ----------
    ask
        Requests the value.
    what
        Name of the property, to show if it was not awaited.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Found]], what: str) -> None:
        self._ask = ask
        self._what = what

    def __await__(self) -> Generator[Any, Any, Found]:
        return self._ask().__await__()

    def __repr__(self) -> str:
        return f"<{self._what}: to be awaited>"


class AsyncDelegate:
    """Base class that runs the calls of a synchronous object in worker threads.

    Parameters
    ----------
    plain
        The synchronous object: a session (such as a `Client`), a `Model` or a `Stream`.
    workers
        The threads.
    """

    def __init__(self, plain: Any, workers: Workers) -> None:
        self._plain = plain
        self._workers = workers

    def _deferred(self, name: str) -> Deferred[Any]:
        """Returns an awaitable for a property of the synchronous object that sends a request."""

        def look() -> Any:
            return getattr(self._plain, name)

        return Deferred(lambda: self._workers.do(look, Call()), f"{name} of {self!r}")

    def __init_subclass__(cls) -> None:
        # So that help() and tracebacks show the names of this class.
        for name, value in vars(cls).items():
            if hasattr(value, "__wrapped__"):
                value.__module__, value.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"


def as_coroutine(
    method: Callable[Concatenate[Any, Given], Found], *, lasting: bool = False
) -> Callable[Concatenate[Any, Given], Coroutine[Any, Any, Found]]:
    """Returns a coroutine function that calls a method of the synchronous object.

    Parameters
    ----------
    lasting
        Whether a call that has started continues to its end if its caller is cancelled.
    """

    async def call(self: Any, /, *arguments: Given.args, **options: Given.kwargs) -> Found:
        return await self._workers.do(partial(method, self._plain, *arguments, **options), Call(lasting))

    return update_wrapper(call, method)


def as_coroutine_returning(
    method: Callable[Concatenate[Any, Given], Any],
    make: Callable[[Any, Any], Made],
    name: str,
    *,
    lasting: bool = False,
) -> Callable[Concatenate[Any, Given], Coroutine[Any, Any, Made]]:
    """Returns a coroutine function for a method that returns a synchronous object.

    Parameters
    ----------
    make
        Makes the asynchronous object to return, from the object of the call and the method's result.
    name
        Name of the class of the asynchronous object.
    lasting
        As for `as_coroutine`.
    """

    async def call(self: Any, /, *arguments: Given.args, **options: Given.kwargs) -> Made:
        found = await self._workers.do(partial(method, self._plain, *arguments, **options), Call(lasting))
        return make(self, found)

    update_wrapper(call, method)
    call.__signature__ = signature(method).replace(return_annotation=name)  # type: ignore[attr-defined]
    call.__annotations__ = {**method.__annotations__, "return": name}
    return call
