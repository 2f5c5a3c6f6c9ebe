"""Errors and handles go to other processes and come back: a typing error in a worker hangs no pool."""

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from typing import Any

import pytest
import tailrace
from tailrace import Client
from tailrace.errors import Refused, TailraceError, Unreachable, Unusable
from tailrace.estimators.description import DescriptionError
from tailrace.handles.model import Model

from tests.client.running import NOBODY

pytestmark = pytest.mark.one_database

SECRET = "tr_0123456789abcdefghij"


def every_error() -> list[type[BaseException]]:
    for module in pkgutil.walk_packages(tailrace.__path__, "tailrace."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = [], [TailraceError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return found


def made(cls: type[BaseException]) -> BaseException:
    if issubclass(cls, Refused):
        return cls("no", 403, "quota_exceeded", "x.a", "r1")
    if issubclass(cls, DescriptionError):
        return cls("is wrong", "estimator.params.lr")
    if issubclass(cls, OSError):
        return cls(28, "No space left on device", "/spool")
    return cls("what is wrong")


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_every_error_comes_back_as_it_was(cls):
    error = made(cls)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_what_the_client_raises_on_purpose_is_a_tailrace_error():
    names = {cls.__name__ for cls in every_error()}
    assert {"DescriptionError", "StillLearning", "UnknownName", "Unusable", "QuotaExceeded"} <= names


def ask(client: Client) -> Any:
    return client.model("m").predict(x=float("nan"))


def refused(number: int) -> None:
    raise Refused(f"no {number}", 400, "invalid", "x.a")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_gets_the_error_of_its_worker(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        with pytest.raises(Refused, match="no 3") as found:
            pool.map_async(refused, [3]).get(30)
        assert (found.value.status, found.value.code) == (400, "invalid")
        with pytest.raises(Unusable, match="expected a finite number"):
            pool.apply_async(ask, [Client(NOBODY, SECRET)]).get(30)


def test_handles_are_remade_with_their_token_and_show_it_nowhere():
    client = Client(NOBODY, SECRET, deadline=1)
    for one in (client, client.model("m"), client.model("m").as_of(2), client.stream("s")):
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is type(one)
        assert SECRET not in repr(again)
    again = pickle.loads(pickle.dumps(client))
    assert (again.server.token, again.server.url, again.deadline) == (SECRET, client.server.url, 1)
    assert pickle.loads(pickle.dumps(client.model("m").as_of(2))).at == 2
    with pytest.raises(Unreachable):
        list(again.models)


def test_a_model_as_of_then_does_not_answer_as_of_now():
    model = Model(Client(NOBODY), "m").as_of(2)
    with pytest.raises(Unusable, match="as of observation 2, and a server predicts only"):
        model.predict(x=8)


def test_a_client_can_be_entered_as_others_can():
    with Client(NOBODY) as client:
        assert isinstance(client, Client)
