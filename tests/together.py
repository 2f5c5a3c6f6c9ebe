"""Cases of one test that share what its fixtures have made."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def together(names: str, cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As ``pytest.mark.parametrize``, but all cases are one test: for requests that change nothing, where fixtures cost most.

    Each case is tried, whatever becomes of the others, and those that fail are named.

    Parameters
    ----------
    names
        Of the parameters, with commas.
    cases
        A value for one name, a tuple for several.
    """
    parameters = [name.strip() for name in names.split(",")]
    values = [dict(zip(parameters, case if len(parameters) > 1 else (case,), strict=True)) for case in cases]

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def all_cases(**fixtures: Any) -> None:
            failed = []
            for case in values:
                try:
                    test(**fixtures, **case)
                except Exception as exc:
                    failed.append(f"{str(case)[:300]}: {type(exc).__name__}: {exc}")
            assert not failed, f"{len(failed)} of {len(values)} cases:\n" + "\n".join(failed)

        signature = inspect.signature(test)
        kept = [one for name, one in signature.parameters.items() if name not in parameters]
        all_cases.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return all_cases

    return decorated
