"""`Client`: everything that a server does, from Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tailrace.catalog import Catalog
from tailrace.errors import Refused, TailraceError, Unreachable, Unusable
from tailrace.listings import model_table, recipe_facts, recipe_table, stream_table
from tailrace.model import Model
from tailrace.server import Server
from tailrace.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.posting import Posted
    from tailrace.results import Facts, Prediction

__all__ = ["Client"]

API = "/api/v1"
DEADLINE, POST_DEADLINE = 30.0, 5.0
PIECE = 256 * 1024


def _remade(server: Server, deadline: float) -> Client:
    """A client as it was pickled, such as for a process of a pool; its token with it."""
    made = Client(server.url, server.token, deadline=deadline)
    made.server = server
    return made


class Client:
    """A Tailrace server.

    Nothing is asked of the server before it is used, and each call is one or a few requests.

    Parameters
    ----------
    url
        Where it is; ``TAILRACE_URL`` where this is None, else ``http://127.0.0.1:8080``.
    token
        What to show it; ``TAILRACE_TOKEN`` where this is None.
    deadline
        Seconds that one request may take, with all its retries.

    Attributes
    ----------
    streams, models, recipes
        What there is, by name: ``c.models`` shows a table, ``c.models["runtime"]`` is a `Model`.

    Examples
    --------
    >>> from tailrace import Client
    >>> c = Client()  # doctest: +SKIP
    >>> c.model("runtime").predict(x=8, y=16, z=8)  # doctest: +SKIP
    83.24 s (74.1 to 95.8 s at 95 %), runtime after observation 120
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, deadline: float = DEADLINE) -> None:
        self.server = Server(url, token)
        self.deadline = deadline
        if "IPython" in sys.modules:
            from tailrace.ipython import complete_names

            complete_names()
        at = self.server.url
        self.streams: Catalog[Stream] = Catalog(
            "stream", lambda within: self._listed("streams", within), lambda one: self.stream(one["name"]),
            lambda some: stream_table(some, f"streams on {at}"),
        )  # fmt: skip
        self.models: Catalog[Model] = Catalog(
            "model", lambda within: self._listed("models", within), lambda one: self.model(one["name"]),
            lambda some: model_table(some, f"models on {at}"),
        )  # fmt: skip
        self.recipes: Catalog[Facts] = Catalog(
            "recipe", lambda within: self._listed("recipes", within), recipe_facts,
            lambda some: recipe_table(some, f"recipes of {at}"),
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.server, self.deadline)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is open between two calls: ``with Client() as c`` is for habit's sake."""

    def stream(self, name: str) -> Stream:
        """A handle on the stream `name`."""
        return Stream(self, name)

    def model(self, name: str) -> Model:
        """A handle on the model `name`."""
        return Model(self, name)

    def post(
        self,
        stream: str,
        x: Mapping[str, Any],
        y: Any,
        *,
        key: str | None = None,
        source: Mapping[str, Any] | None = None,
        deadline: float = POST_DEADLINE,
        strict: bool = False,
    ) -> Posted:
        """Post one labeled point: deliver it, or keep it in the spool for `tailrace flush`.

        Parameters
        ----------
        stream
            The stream's name. Where it isn't there, a token with the scope create makes it, and the result's ``warning`` says
            that no model learns from it.
        x, y
            Features by name, and the target that came true.
        key
            What makes the point unique in its stream, so that posting it again changes nothing. None: made from the
            job that this runs in.
        source
            Where it came from: job, cluster, user …
        deadline
            Seconds for everything, retries included.
        strict
            Raise what prevented the delivery; the point is kept in the spool all the same. Without it, a warning of the
            logger ``tailrace`` says so.

        Raises
        ------
        Unusable
            If an argument can't be used: nothing was sent.
        Unreachable, Refused, SpoolError
            If `strict`.
        """
        from tailrace.posting import observation, post_made, told

        made = observation(x, y, key, source)
        posted = post_made(stream, made, server=self.server, spool=None, deadline=deadline)
        if strict and posted.error is not None:
            raise posted.error
        return told(posted)

    def post_frame(
        self,
        stream: str,
        frame: DataFrame,
        y: str = "y",
        *,
        key: str | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Facts:
        """Post all rows of a DataFrame: a feature a column, many rows a request. A terminal is shown how far it is.

        Each row counts once, however often it is posted: where it was interrupted, the same call goes on. Nothing is kept
        in the spool, as the frame holds it. What `Stream.to_frame` gave can be posted, too, to another stream.

        Parameters
        ----------
        frame
            What is missing in a row (NaN, None) is left out of it.
        y
            Name of the column with the target.
        key
            Name of a column with keys. None: a row's key is made from what it says.
        source
            Where the rows came from.

        Returns
        -------
        Facts
            ``posted``, ``known_before``, and ``refused``: a list of the rows that the server will never take, and why.

        Raises
        ------
        Unusable
            If there is no such column, or a row can't be sent.
        Unreachable, Refused
            If the server can't take them now: what was posted before is there.
        """
        from tailrace.bulk import keyed, send
        from tailrace.frames import rows_of
        from tailrace.progress import Bar
        from tailrace.results import Facts

        rows = keyed(rows_of(frame, y, key), source)
        bar = Bar(len(frame))
        new = known = 0
        refused: list[tuple[str, str]] = []
        try:
            for sent in send(self.server, stream, rows, self.deadline):
                new, known = new + sent.new, known + sent.known
                refused += sent.refused
                bar.show(new + known + len(refused))
        finally:
            bar.clear()
        lines = [("posted", new), ("known before", known), ("refused", [f"{place}: {why}" for place, why in refused])]
        return Facts(f"rows of {stream}", {"posted": new, "known_before": known, "refused": refused}, lines)

    def label(
        self,
        identifier: str | Prediction,
        y: Any,
        source: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        y_text: str | None = None,
    ) -> Facts:
        """Say what came true of a prediction that was kept: it is learned, once, scored on what was predicted then.

        Parameters
        ----------
        identifier
            That of the prediction; or the prediction itself.
        y
            The target that came true, in the stream's unit.
        source
            Where it comes from: job, cluster, user …
        model
            Name of the model whose prediction it is: needed where several models have one of that identifier.
        y_text
            The text that `y` was read from, if it was: what a stream of labels that are text takes.

        Raises
        ------
        NotFound
            If no prediction is kept for the identifier.
        Refused
            If it has another label already, or has expired.
        """
        from tailrace.plain import plain_value
        from tailrace.results import Facts, Prediction

        if isinstance(identifier, Prediction):
            if identifier.identifier is None:
                raise Unusable("the prediction isn't kept for a label: ask with predict(…, track=True)")
            model, identifier = model or identifier.model, identifier.identifier
        y = plain_value(y, "y")
        body = {"y": y} if source is None else {"y": y, "source": dict(source)}
        if model is not None:
            body["model"] = model
        if y_text is not None:
            body["written"] = {"y": y_text}
        data = self.send("POST", self.path("predictions", identifier, "label"), body)
        said = {name: one.get("prediction") for name, one in data["models"].items()}
        before = "known before" if data["duplicates"] else "learned"
        return Facts(
            f"label of {identifier}", data, [("observation", data["last"]), ("this label", before), ("predicted", said)]
        )

    def create_stream(
        self,
        name: str,
        target: str,
        unit: str = "",
        *,
        kind: str | None = None,
        features: Mapping[str, str] | list[str] | None = None,
        segment: str | None = None,
        description: str = "",
    ) -> Stream:
        """Make a stream.

        Parameters
        ----------
        target, unit, kind
            What `y` is: its name, its unit, and number, boolean, category or any.
        features
            Names (of numbers), or names and kinds; None admits any.
        segment
            The feature by whose values metrics are kept apart.

        Raises
        ------
        Refused
            If there is one of that name (status 409), or something can't be; the message says what.
        """
        goal = {"name": target, "unit": unit, **({} if kind is None else {"kind": kind})}
        body = {"name": name, "target": goal, "features": features, "segment": segment, "description": description}
        self.send("POST", self.path("streams"), body, stream=name)
        return self.stream(name)

    def create(
        self,
        name: str,
        stream: str,
        recipe: Any = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        estimator: Any = None,
        flavor: str | None = None,
        backfill: bool = True,
    ) -> Model:
        """Make a model, from a recipe or from an estimator of river's.

        It learns the stream's history first, in the background: `Model.wait` waits for that.

        Parameters
        ----------
        recipe, parameters
            A recipe's name, and its parameters; what is left out has its default. In its place an estimator will do.
        estimator
            An estimator of river or of `tailrace.estimators`, which is sent as a description of its class and
            parameters, not of what it has learned; or such a description, a dict.
        flavor
            The estimator's kind of task; found out from an estimator where it is None.
        backfill
            Whether to learn the stream's history; False learns what comes from now on.

        Raises
        ------
        DescriptionError
            If the estimator can't be described, as one that holds a function.
        Refused
            If the name is taken (status 409), or the server can't make it; the message says why.
        """
        from tailrace.creating import creation

        if estimator is None and recipe is not None and not isinstance(recipe, str):
            recipe, estimator = None, recipe
        body = creation(self, name, stream, recipe, parameters, estimator, flavor)
        self.send("POST", self.path("models"), {**body, "backfill": backfill}, stream=stream)
        return self.model(name)

    # What the handles are built on

    def path(self, *parts: str) -> str:
        """The path of a thing under the native API."""
        return "/".join([API, *(quote(part, safe="") for part in parts), ""])

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        stream: str | None = None,
        deadline: float | None = None,
    ) -> Any:
        """One request with JSON in and out; an error that names something unknown says what was probably meant.

        `deadline` is the client's own where it is None.
        """
        seconds = self.deadline if deadline is None else deadline
        try:
            return self.server.request(method, _with(path, query), body, deadline=seconds, headers=_affinity(stream))
        except Refused as error:
            raise self._explained(error, path, body) from None

    def receive(self, path: str, query: Mapping[str, Any] | None = None, *, stream: str | None = None) -> bytes:
        """What is at a path, as bytes."""
        try:
            answer = self.server.ask("GET", _with(path, query), deadline=self.deadline, headers=_affinity(stream))
        except Refused as error:
            raise self._explained(error, path, None) from None
        return answer.body

    def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> Iterator[bytes]:
        """What is at a path, piece by piece, at constant memory; Unreachable where it breaks off."""
        from http.client import HTTPException

        headers = {**_affinity(stream), "Accept": accept}
        try:
            answer = self.server.stream(_with(path, query), deadline=self.deadline, headers=headers)
        except Refused as error:
            raise self._explained(error, path, None) from None
        with answer:
            while True:
                try:
                    piece = answer.read(PIECE)
                except (OSError, HTTPException) as error:
                    trouble = f"{self.server.url}: the answer broke off ({type(error).__name__}): try again"
                    raise Unreachable(trouble) from None
                if not piece:
                    return
                yield piece

    def _explained(self, error: Refused, path: str, body: Any) -> Refused:
        from tailrace.hints import hint

        error.args = (f"{error}{hint(self, error, path, body)}",)
        return error

    def _listed(self, kind: str, deadline: float | None = None) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.send("GET", self.path(kind), deadline=deadline)[kind]
        return found

    def shown(self, look: Callable[[], Any], what: str) -> str:
        """What a handle shows of itself; where the server can't be asked, why: a shell must not fail on showing."""
        try:
            return repr(look())
        except TailraceError as error:
            return f"<{what}: {error}>"

    def shown_html(self, look: Callable[[], Any], what: str) -> str:
        """The same as HTML."""
        from tailrace.tables import escaped

        try:
            return str(look()._repr_html_())
        except TailraceError as error:
            return f"<pre>{escaped(f'{what}: {error}')}</pre>"

    def __repr__(self) -> str:
        return f"<Tailrace at {self.server.url}: .streams, .models, .recipes show what there is>"


def _with(path: str, query: Mapping[str, Any] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _affinity(stream: str | None) -> dict[str, str]:
    # A router may send all requests of a stream to the process that has its replicas in memory.
    known = stream is not None and stream.isascii() and stream.isprintable()
    return {"X-Tailrace-Stream": str(stream)} if known else {}
