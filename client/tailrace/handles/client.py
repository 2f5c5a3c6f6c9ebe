"""`Client`: access to a Tailrace server from Python."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tailrace.errors import Refused, Unusable
from tailrace.handles.calculation import Calculation
from tailrace.handles.campaign_calls import CampaignCalls
from tailrace.handles.catalog import Catalog
from tailrace.handles.model import Model
from tailrace.handles.service_calls import ServiceCalls
from tailrace.handles.session import DEADLINE
from tailrace.handles.stream import Stream
from tailrace.handles.tracking_calls import TrackingCalls
from tailrace.results.facts import Listing
from tailrace.results.resource_tables import calculation_table, model_table, recipe_facts, recipe_table, stream_table
from tailrace.transport.server import Server

if TYPE_CHECKING:
    from pandas import DataFrame

    from tailrace.posting.post import Posted
    from tailrace.results.facts import Facts
    from tailrace.results.predictions import Prediction

__all__ = ["Client"]

POST_DEADLINE = 5.0


def _unpickled(server: Server, deadline: float) -> Client:
    """Returns a client from its pickle, with its token. Process pools need this."""
    made = Client(server.url, server.token, deadline=deadline)
    made.server = server
    return made


class Client(CampaignCalls, ServiceCalls, TrackingCalls):
    """A Tailrace server.

    Creating a client sends no request. Each call sends one or a few.

    Parameters
    ----------
    url
        Address of the server. None: ``TAILRACE_URL``, or ``http://127.0.0.1:8080`` if that is not set.
    token
        Token that identifies the caller. None: ``TAILRACE_TOKEN``.
    deadline
        Seconds that one request may take, including its retries.

    Attributes
    ----------
    streams, models, recipes
        What the server has, by name. ``c.models`` shows a table, ``c.models["runtime"]`` is a `Model`.

    Examples
    --------
    >>> from tailrace import Client
    >>> c = Client()  # doctest: +SKIP
    >>> c.model("runtime").predict(x=8, y=16, z=8)  # doctest: +SKIP
    83.24 s (74.1 to 95.8 s at 95 %), runtime after observation 120
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, deadline: float = DEADLINE) -> None:
        super().__init__(Server(url, token), deadline)
        if "IPython" in sys.modules:
            from tailrace.handles.ipython_completion import complete_names

            complete_names(Client)
        at = self.server.url
        self.streams: Catalog[Stream] = Catalog(
            "stream", lambda within: self._list("streams", within), lambda one: self.stream(one["name"]),
            lambda some: stream_table(some, f"streams on {at}"),
        )  # fmt: skip
        self.models: Catalog[Model] = Catalog(
            "model", lambda within: self._list("models", within), lambda one: self.model(one["name"]),
            lambda some: model_table(some, f"models on {at}"),
        )  # fmt: skip
        self.recipes: Catalog[Facts] = Catalog(
            "recipe", lambda within: self._list("recipes", within), recipe_facts,
            lambda some: recipe_table(some, f"recipes of {at}"),
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.server, self.deadline)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        """Does nothing: no connection stays open between calls. ``with Client() as c`` is supported for convenience."""

    def stream(self, name: str) -> Stream:
        """Returns a handle on the stream `name`. Sends no request."""
        return Stream(self, name)

    def model(self, name: str) -> Model:
        """Returns a handle on the model `name`. Sends no request."""
        return Model(self, name)

    def calculation(self, number: int) -> Calculation:
        """Returns a handle on the calculation with this number. Sends no request."""
        return Calculation(self, number)

    def calculations(self, /, **filters: Any) -> Listing:
        """Returns the newest calculations.

        Parameters
        ----------
        filters
            Any of ``state``, ``owner``, ``cluster``, ``program``, ``structure``, ``text``, ``limit``, and ``before``: only
            those before this number.
        """
        found = self.send("GET", self.path("calculations"), query=filters)["calculations"]
        return Listing(found, calculation_table(found, f"calculations on {self.server.url}"))

    def calculate(
        self,
        program: str,
        /,
        structure: Any = None,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        scan: Mapping[str, Any] | None = None,
        chained: bool = True,
        steps: list[dict[str, Any]] | None = None,
        cluster: str | None = None,
        priority: int | None = None,
        resources: Mapping[str, int] | None = None,
        analyses: list[str] | None = None,
        notify: list[str] | None = None,
        hold: bool | None = None,
        again: bool | None = None,
        **more: Any,
    ) -> Calculation:
        """Submit a calculation. If the same was calculated before, return that one.

        Parameters
        ----------
        program
            Name of a program that a cluster offers.
        structure
            ``Atoms`` of ASE, a file (extended XYZ, CIF, POSCAR), its text, or the name of a structure on the server.
        name, description
            For people. None: the program's name.
        parameters, more
            Parameters of the program, by name.
        scan
            One parameter with its values, such as ``{"field": [0, 0.002, 0.004]}``: a step for each.
        chained
            Whether each step of a scan starts from the result of the former one.
        steps
            Steps with ``name``, ``parameters`` and ``parents`` (names), instead of a scan.
        cluster
            Name of a cluster. None: any that offers the program.
        priority
            0 to 100; larger is sooner. Above 50 needs the role of a moderator.
        resources
            ``nodes``, ``processes`` and ``seconds`` of each step.
        analyses
            Names of analyses, with all that they require.
        notify
            Names of users who are told when it ends.
        hold
            Hold it until it is released.
        again
            Run it although the same was calculated before.

        Returns
        -------
        Calculation
            Its ``wait()`` waits for the results, its ``results`` are the values.

        Raises
        ------
        Refused
            If the server does not accept it. The message names the field, its value and what was expected.
        """
        from tailrace.handles.calculation_request import calculation_body

        options = {
            "name": name, "description": description, "parameters": {**(parameters or {}), **more}, "scan": scan,
            "chained": chained, "steps": steps, "cluster": cluster, "priority": priority, "resources": resources,
            "analyses": analyses, "notify": notify, "hold": hold, "again": again,
        }  # fmt: skip
        answer = self.send("POST", self.path("calculations"), calculation_body(program, structure, options))
        if answer["created"]:
            return self.calculation(answer["id"])
        return Calculation(self, answer["identical"][0]["id"], identical=True)

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
        """Post one observation. If it cannot be delivered, keep it in the spool for ``tailrace flush``.

        Parameters
        ----------
        stream
            Name of the stream. If the stream does not exist and the token has the scope ``create``, the server creates
            it, and the result's ``warning`` says that no model learns from it.
        x, y
            Features by name, and the value of the target.
        key
            Idempotency key: it makes the observation unique in its stream, so that posting it again changes nothing.
            None: made from the job that this runs in.
        source
            Where the observation comes from, such as job, cluster and user.
        deadline
            Seconds for the whole call, including retries.
        strict
            Raise the error that prevented the delivery. The observation is kept in the spool anyway. Without `strict`,
            the logger ``tailrace`` logs a warning instead.

        Raises
        ------
        Unusable
            If an argument is invalid. Nothing was sent.
        Unreachable, Refused, SpoolError
            If `strict` is set and the observation was not delivered.
        """
        from tailrace.posting.post import post_or_raise

        return post_or_raise(self.server, stream, x, y, key=key, source=source, deadline=deadline, strict=strict)

    def post_frame(
        self,
        stream: str,
        frame: DataFrame,
        y: str = "y",
        *,
        key: str | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Facts:
        """Post all rows of a DataFrame, many rows per request. A terminal shows the progress.

        Each row counts once, however often it is posted. If the call is interrupted, repeat it to resume. Rows are not
        kept in the spool. A frame from `Stream.to_frame` can be posted to another stream.

        Parameters
        ----------
        frame
            One column for each feature, one row for each observation. Missing values (NaN, None) are left out.
        y
            Name of the column with the target.
        key
            Name of a column with idempotency keys. None: a row's key is made from its values.
        source
            Where the rows come from.

        Returns
        -------
        Facts
            ``posted``: number of new rows; ``known_before``: number of rows that the server already had; ``refused``:
            list of ``(row, reason)`` for the rows that the server refused for good; ``warnings``: what the server warns
            of, such as rows unlike the earlier observations, each once. The logger ``tailrace`` logs them, too.

        Raises
        ------
        Unusable
            If a column is missing, or a row cannot be sent.
        Unreachable, Refused
            If the server cannot accept a request now. The rows of earlier requests are stored.
        """
        from tailrace.display.progress_bar import ProgressBar
        from tailrace.posting.bulk import send_rows, with_keys
        from tailrace.posting.post import log_warning
        from tailrace.results.data_frames import rows_of
        from tailrace.results.facts import Facts

        rows = with_keys(rows_of(frame, y, key), source)
        bar = ProgressBar(len(frame))
        new = known = 0
        refused: list[tuple[str, str]] = []
        warnings: list[str] = []
        try:
            for sent in send_rows(self.server, stream, rows, self.deadline):
                new, known = new + sent.new, known + sent.known
                refused += sent.refused
                if sent.warning:
                    bar.clear()
                    warnings.append(sent.warning)
                    log_warning(sent.warning)
                bar.show(new + known + len(refused))
        finally:
            bar.clear()
        lines = [("posted", new), ("known before", known), ("refused", [f"{place}: {why}" for place, why in refused])]
        data = {"posted": new, "known_before": known, "refused": refused, "warnings": warnings}
        return Facts(f"rows of {stream}", data, lines)

    def label(
        self,
        identifier: str | Prediction,
        y: Any,
        source: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        y_text: str | None = None,
    ) -> Facts:
        """Label a stored prediction. The models learn it once, and are scored on what they predicted then.

        Parameters
        ----------
        identifier
            Identifier of the prediction, or the `Prediction` itself.
        y
            Value of the target, in the stream's unit.
        source
            Where the label comes from, such as job, cluster and user.
        model
            Name of the model that made the prediction. Needed if several models have a prediction with this identifier.
        y_text
            The text that `y` was read from, if any. A stream whose labels are text uses it instead of `y`.

        Raises
        ------
        NotFound
            If no prediction is stored under the identifier.
        Refused
            If the prediction already has another label, or has expired.
        """
        from tailrace.observations.json_values import json_value
        from tailrace.results.facts import Facts
        from tailrace.results.predictions import Prediction

        if isinstance(identifier, Prediction):
            if identifier.identifier is None:
                raise Unusable("the prediction isn't stored for a label: predict with predict(…, track=True)")
            model, identifier = model or identifier.model, identifier.identifier
        if not isinstance(identifier, str):
            raise Unusable(
                f"identifier is {identifier!r}: expected the identifier of a stored prediction, or the prediction itself"
            )
        y = json_value(y, "y")
        body = {"y": y} if source is None else {"y": y, "source": dict(source)}
        if model is not None:
            body["model"] = model
        if y_text is not None:
            body["written"] = {"y": y_text}
        data = self.send("POST", self.path("predictions", identifier, "label"), body)
        predicted = {name: one.get("prediction") for name, one in data["models"].items()}
        before = "known before" if data["duplicates"] else "learned"
        return Facts(
            f"label of {identifier}",
            data,
            [("observation", data["last"]), ("this label", before), ("predicted", predicted)],
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
        """Create a stream.

        Parameters
        ----------
        name
            Name of the stream.
        target, unit, kind
            Name of `y`, its unit, and its kind: ``number``, ``boolean``, ``category`` or ``any``.
        features
            A list of names (all of them numbers), or a mapping of names to kinds. None allows any features.
        segment
            A feature. Metrics are computed for each of its values separately, too.
        description
            A text for people.

        Raises
        ------
        Refused
            If a stream of this name exists (status 409), or an argument is invalid. The message says which.
        """
        declared = {"name": target, "unit": unit, **({} if kind is None else {"kind": kind})}
        body = {"name": name, "target": declared, "features": features, "segment": segment, "description": description}
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
        """Create a model from a recipe or from a river estimator.

        The model first learns the stream's history in the background. `Model.wait` waits for that.

        Parameters
        ----------
        name, stream
            Name of the model, and of the stream that it learns from.
        recipe, parameters
            Name of a recipe, and its parameters. Parameters that are left out have their defaults. `recipe` may also be
            an estimator.
        estimator
            An estimator of river or of `tailrace.estimators`, or its description (a dict). An estimator is sent as a
            description: its class and parameters, without what it has learned.
        flavor
            The estimator's kind of task. None: derived from the estimator.
        backfill
            Whether the model learns the stream's history. If False, it learns only observations that arrive from now
            on.

        Raises
        ------
        DescriptionError
            If the estimator cannot be described, for example because it holds a function.
        Refused
            If the name is taken (status 409), or the server cannot create the model. The message says why.
        """
        from tailrace.handles.model_creation import model_body

        if estimator is None and recipe is not None and not isinstance(recipe, str):
            recipe, estimator = None, recipe
        body = model_body(self, name, stream, recipe, parameters, estimator, flavor)
        self.send("POST", self.path("models"), {**body, "backfill": backfill}, stream=stream)
        return self.model(name)

    def _suggestion(self, error: Refused, path: str, body: Any) -> str:
        """Returns the most similar name that the server has. See `Session._suggestion`."""
        from tailrace.handles.suggestions import suggestion

        return suggestion(self, error, path, body)

    def __repr__(self) -> str:
        return f"<Tailrace at {self.server.url}: .streams, .models, .recipes show what there is>"
