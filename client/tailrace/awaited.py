"""Methods and properties of the plain client, awaited: the same names, arguments, docstrings and results."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial, update_wrapper
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tailrace.workers import Call, Workers

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec  # noqa: UP035  (for those who check types for 3.9)

    Given = ParamSpec("Given")

__all__ = ["Asked", "Asking", "awaited", "awaited_as"]

Found = TypeVar("Found")
Made = TypeVar("Made")


class Asked(Generic[Found]):
    """What a property stands for until it is awaited; nothing is asked before.

    Parameters
    ----------
    ask
        Asks for it.
    what
        Which it is, for whoever looks at it without awaiting it.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Found]], what: str) -> None:
        self._ask = ask
        self._what = what

    def __await__(self) -> Generator[Any, Any, Found]:
        return self._ask().__await__()

    def __repr__(self) -> str:
        return f"<{self._what}: to be awaited>"


class Asking:
    """Something that asks a server by its plain twin, in a worker's thread.

    Parameters
    ----------
    plain
        The twin: a `Client`, `Model` or `Stream`.
    """

    def __init__(self, plain: Any, workers: Workers) -> None:
        self._plain = plain
        self._workers = workers

    def _asked(self, name: str) -> Asked[Any]:
        """The twin's property of that name, which asks the server, to be awaited."""

        def look() -> Any:
            return getattr(self._plain, name)

        return Asked(lambda: self._workers.do(look, Call()), f"{name} of {self!r}")

    def __init_subclass__(cls) -> None:
        # So that help() and tracebacks name them as what they are.
        for name, value in vars(cls).items():
            if hasattr(value, "__wrapped__"):
                value.__module__, value.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"


def awaited(
    method: Callable[Concatenate[Any, Given], Found], *, lasting: bool = False
) -> Callable[Concatenate[Any, Given], Coroutine[Any, Any, Found]]:
    """A method of a plain twin, as a coroutine function.

    Parameters
    ----------
    lasting
        Whether a call that has begun goes on to its end although whoever awaits it is cancelled.
    """

    async def asked(self: Any, /, *arguments: Given.args, **options: Given.kwargs) -> Found:
        return await self._workers.do(partial(method, self._plain, *arguments, **options), Call(lasting))

    return update_wrapper(asked, method)


def awaited_as(
    method: Callable[Concatenate[Any, Given], Any], make: Callable[[Any, Any], Made], name: str
) -> Callable[Concatenate[Any, Given], Coroutine[Any, Any, Made]]:
    """The same for one that returns a plain twin.

    Parameters
    ----------
    make
        Makes what is returned instead, from the asynchronous twin and from what was found.
    name
        That of its class.
    """

    async def asked(self: Any, /, *arguments: Given.args, **options: Given.kwargs) -> Made:
        found = await self._workers.do(partial(method, self._plain, *arguments, **options), Call())
        return make(self, found)

    update_wrapper(asked, method)
    asked.__signature__ = signature(method).replace(return_annotation=name)  # type: ignore[attr-defined]
    asked.__annotations__ = {**method.__annotations__, "return": name}
    return asked
