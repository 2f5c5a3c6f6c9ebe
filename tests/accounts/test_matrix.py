"""Who may use which address: every one in the URL configuration, with every method, by everybody. The table is in ``matrix.py``."""

import base64
import hashlib
import json
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from river import linear_model

from server.accounts import credential_cache, jwt, signins, tokens
from server.accounts.access import API_PREFIXES
from server.accounts.models import SignIn, Token
from server.api.v1 import agents
from server.calculations import clusters, sessions, settling, structures, submitting, syncing
from server.calculations.models import Calculation, Step, Structure
from server.campaigns import compositions
from server.campaigns.evaluation_table import Evaluation
from server.campaigns.models import Campaign, Composition, Decision, Run, RunAttempt
from server.campaigns.policies.situation import Choice, Pick, Situation, canonical
from server.cells import databases, descriptors, posting
from server.learning import quarantine
from server.learning import registry as models
from server.learning.fold.replica_set import SETS
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.learning.write_path import learn_points
from server.services.models import Service
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point
from server.tracking import experiments, feeds, registered_models
from server.tracking import runs as tracked_runs
from server.tracking.models import Experiment, RegisteredModel
from server.tracking.models import Run as TrackedRun
from tests.accounts.matrix import ANYONE, CELL, MATRIX, MORE, PASSWORD, POINT, RUN, SERVICE
from tests.accounts.rules import ACTORS, METHODS, NOBODY, Actor, Rule, expected
from tests.people import bearer, person

pytestmark = [pytest.mark.one_database, pytest.mark.django_db]

MIGHTIEST = (NOBODY, "admin", "admin who signed in", "admin on a page")
"""Of each kind the one who may most."""


def patterns(found: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every address of the URL configuration, as Django matches it: its pattern and its view."""
    for pattern in get_resolver().url_patterns if found is None else found:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns, prefix + str(pattern.pattern))
        else:
            assert isinstance(pattern, URLPattern)
            yield prefix + str(pattern.pattern), pattern.callback


def is_page(pattern: str) -> bool:
    return not f"/{pattern}".startswith(API_PREFIXES)


def takes_head(pattern: str) -> bool:
    """Whether it answers HEAD where it answers GET: riverapi has no such call, and the end of events is never reached."""
    no_head = ("api/v1/events/", "login/oidc/callback/")
    return pattern not in no_head and (is_page(pattern) or pattern.startswith(("api/v1/", "api/seed/", "metrics")))


def lines() -> Iterator[tuple[str, str, str, Rule]]:
    """Pattern, path, method and rule of every cell of the matrix but for who asks."""
    for table in (MATRIX, MORE):
        for pattern, line in table.items():
            for method, rule in line.rules.items():
                yield pattern, line.path(pattern), method, rule
                if method == "GET" and takes_head(pattern):
                    yield pattern, line.path(pattern), "HEAD", rule


def callers_of(pattern: str, rule: Rule) -> Iterator[Actor]:
    """Everybody, but one of each kind alone where all of that kind must come to the same."""
    for actor in ACTORS:
        is_at_home = actor.kind == "" or is_page(pattern) is (actor.kind == "session")
        if (is_at_home and not rule.is_public) or actor.name in MIGHTIEST:
            yield actor


class World:
    """Real objects, and somebody of every kind with a credential that works."""

    def __init__(self) -> None:
        self.somebody = person("somebody", "researcher", password=PASSWORD)
        made_by = {"created_by": "somebody", "owner_id": self.somebody.pk}
        streams.create("s", target_name="y", target_kind="number", **made_by)
        streams.create("unused", **made_by)
        descriptors.create("d", {"r_cut": 3.75})
        models.create("m", "s", "regression", linear_model.LinearRegression(), **made_by)
        stopped = models.create("quarantined", "s", "regression", linear_model.LinearRegression(), **made_by)
        quarantine.demand(stopped.pk, "learn", 1, "it took too long")
        quarantine.settle()
        predict_points.predict("m", [{"a": 1.0}], identifier="kept", keep=True)
        learn_points.learn(streams.find("s").pk, [Point(POINT["x"], POINT["y"])])
        self._post_a_cell(streams.find("s"))
        self.token, _ = tokens.create(self.somebody, "somebody's", scopes=["manage"])
        self.sign_in, _ = signins.begin(self.somebody)
        person("eve", "viewer")
        self._calculate(made_by)
        self._plan(made_by)
        signed_in = Client().post("/api/v1/signin/", {"user": "somebody", "password": PASSWORD}, "application/json")
        assert signed_in.status_code == 200, signed_in.content
        self.cookies = signed_in.cookies
        self.users = {actor: person(f"user{n}", actor.role, password=PASSWORD) for n, actor in enumerate(ACTORS)}
        self.sessions = {actor: self._session(actor) for actor in ACTORS if actor.kind == "session"}
        self.shown = {actor: self._credential(actor) for actor in ACTORS if actor.kind not in ("", "session")}

    def _post_a_cell(self, stream: Stream) -> None:
        cell = posting.checked({**CELL, "name": "c"})
        cell.stream, cell.types = stream, posting.types_of([POINT["x"]], None)
        learn_points.learn(stream.pk, [Point(POINT["x"], POINT["y"])], attachment=posting.CellAttachment(cell))
        stream.refresh_from_db()
        databases.create("b", databases.asked_for({"name": "b", "stream": "s"}, stream), stream)

    def _calculate(self, made_by: dict[str, Any]) -> None:
        """A cluster, and a calculation in each of the states on which somebody may act."""
        self.cluster = clusters.create("k", "somebody").pk
        Service.objects.create(name="v", cluster_id=self.cluster, image=SERVICE["image"], **made_by)
        program = {"name": "code", "schema": {"type": "object"}}
        agent = {"agent": "a", "host": "h", "root": "/r", "version": "1", "launcher": "bare", "slots": 1}
        sessions.register(self.cluster, {**agent, "programs": [program], "holdings": []})
        structures.create("h", "1\n\nH 0 0 0", "xyz", **made_by)
        asked = {"name": "somebody's", "program": "code", "again": True}
        names = ("claimed", "failed", "lost", "ready", "held", "unapproved")
        self.calculations = {}
        for name in names:
            made, _ = submitting.submit({**asked, "hold": name in ("held", "unapproved")}, **made_by)
            self.calculations[name] = made.pk
        Calculation.objects.filter(pk=self.calculations["unapproved"]).update(
            needs_approval="it does", state=Calculation.NEEDS_APPROVAL
        )
        for name in names[:3]:
            sync = {"epoch": 1, "claim": name, "free": 1, "load": None, "messages": [], "steps": []}
            (work,) = syncing.sync(self.cluster, sync)["work"]
            self.calculations[f"{name}_step"] = work["step"]
            if name != "claimed":
                settling.permit(self.cluster, work["step"], 1, 1)
        result = agents.ResultSerializer(data={
            "epoch": 1, "fence": 1, "state": "failed",
            "files": [{"name": "f", "size": 4, "sha256": hashlib.sha256(b"text").hexdigest()}],
        })  # fmt: skip
        result.is_valid()
        settling.accept(self.cluster, self.calculations["failed_step"], result.validated_data)
        Step.objects.filter(calculation=self.calculations["lost"]).update(lost=True)
        self.calculations["claimed"] = self.calculations["claimed_step"]

    def _plan(self, made_by: dict[str, Any]) -> None:
        """Compositions, a campaign with an open proposal and a failed run, and one that has ended."""
        compositions.create("Zr", **made_by)
        copper, _ = compositions.create("Cu", **made_by)
        known = {
            "stream": streams.find("s"), "stream_name": "s", "models_json": '["m"]', "targets": '{"Cu-Cu":1.0}',
            "budget": '{"calculations":null,"node_hours":null}', "thresholds": "{}", **made_by,
        }  # fmt: skip
        Campaign.objects.create(name="ended", state=Campaign.STOPPED, **known).compositions.add(
            copper, through_defaults={"place": 0}
        )
        campaign = Campaign.objects.create(name="g", **known)
        pick = Pick("label", "Cu", "h")
        decision = Decision.objects.create(
            campaign=campaign, number=1, settings="{}", made_from='{"retraction":0}', action="explore",
            situation=canonical(Situation("g", 1, 0, 0, 0).to_json()),
            choice=canonical(Choice("explore", "one is missing", (pick,)).to_json()),
        )  # fmt: skip
        run = Run.objects.create(
            campaign=campaign, decision=decision, number=1, stage="label", composition=copper, cell="x"
        )
        RunAttempt.objects.create(run=run, number=1, stage="label", state=Run.FAILED)
        Evaluation.objects.create(campaign=campaign, number=1, kind="coverage", asked='{"model":"m"}')
        experiment = experiments.create("e", **made_by)
        self.calculations["experiment"] = experiment.pk
        tracked_runs.create(experiment, uid=RUN, **made_by)
        feeds.create(experiment, streams.find("s"), {"a": "number"}, **made_by)
        registered_models.create("registered", **made_by)

    def _session(self, actor: Actor) -> SimpleCookie:
        client = Client()
        signed_in = client.post("/login/", {"username": self.users[actor].username, "password": PASSWORD})
        assert signed_in.status_code == 303, signed_in.content
        return client.cookies

    def _credential(self, actor: Actor) -> str:
        user = self.users[actor]
        only = {"this": ["s", "unused"], "others": ["elsewhere"], None: None}[actor.streams]
        cluster = self.cluster if actor.kind == "agent" else None
        token, secret = tokens.create(user, "test", scopes=actor.scopes, streams=only, cluster_id=cluster)
        if actor.kind in ("token", "agent"):
            return secret
        sign_in = signins.begin(user)[0].pk if actor.kind == "person" else None
        caller = tokens.verify_id(token.pk) if sign_in is None else signins.verify_id(sign_in)
        assert caller is not None
        return jwt.issue(caller, sign_in)["token"]

    def headers(self, actor: Actor, rule: Rule) -> dict[str, str]:
        """How the actor shows who they are."""
        if actor not in self.shown:
            return {}
        if rule.takes == "basic":
            pair = f"{self.users[actor].username}:{self.shown[actor]}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return bearer(self.shown[actor])

    def give_everything_to(self, user: User) -> None:
        """Make a user the owner of what the matrix acts on."""
        own = (
            Stream,
            Model,
            Structure,
            Calculation,
            Composition,
            Campaign,
            Experiment,
            TrackedRun,
            RegisteredModel,
            Service,
        )
        for kind in own:
            kind.objects.update(owner_id=user.pk, created_by=user.username)
        Token.objects.filter(pk=self.token.pk).update(owner=user)
        SignIn.objects.filter(pk=self.sign_in.pk).update(user=user)


@pytest.fixture
def world(required: None, quick_passwords: None, settings: Any) -> World:
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"invocations_model": "m"})
    return World()


def encoded(rule: Rule) -> tuple[bytes, str]:
    """What is sent, and its content type."""
    if rule.form is not None:
        return urlencode(rule.form).encode(), "application/x-www-form-urlencoded"
    if isinstance(rule.body, bytes):
        return rule.body, "application/octet-stream"
    return b"" if rule.body is None else json.dumps(rule.body).encode(), "application/json"


def close(response: HttpResponseBase) -> None:
    """As a server does, but for the connection to the database, which is the test's own."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def ask(world: World, actor: Actor, method: str, path: str, rule: Rule, *, own: bool = False) -> str:
    """What a request comes to: ``ok``, ``sign in``, or its status. Nothing of it is kept."""
    client = Client(raise_request_exception=False)
    user = world.users[actor]
    names = {
        "user": user.username if own else "somebody",
        "token": world.token.pk,
        "sign_in": world.sign_in.pk,
        **world.calculations,
    }
    if rule.form is not None and "calculation" in rule.form:
        rule = rule(form={**rule.form, "calculation": rule.form["calculation"].format(**names)})
    body, kind = encoded(rule)
    path = path.format(**names)
    with transaction.atomic():
        if own:
            world.give_everything_to(user)
        if actor in world.sessions:
            client.cookies.update(world.sessions[actor])
        if rule.with_cookies:
            client.cookies.update(world.cookies)
        response = client.generic(method, path, body, kind, headers=world.headers(actor, rule))
        close(response)
        transaction.set_rollback(True)
    SETS.clear()
    credential_cache.clear()  # it was of a generation that never came to be
    asks = 300 <= response.status_code < 400 and response.headers["Location"].startswith(django_settings.LOGIN_URL)
    if asks and not rule.is_public:
        return "sign in"
    if 200 <= response.status_code < 400:
        return "ok"
    if response.status_code in (401, 403, 404, 405) or str(response.status_code) in (rule.always, rule.known):
        return str(response.status_code)
    return f"{response.status_code}: {response.content.decode()[:300]}"


# The matrix


def test_every_address_has_a_line_and_every_line_an_address():
    assert {pattern for pattern, _ in patterns()} == set(MATRIX)


def test_every_method_of_an_address_has_a_rule_and_every_rule_a_method():
    ruled = {
        pattern: set(line.rules) | set(MORE[pattern].rules if pattern in MORE else ())
        for pattern, line in MATRIX.items()
    }
    declared = {pattern: set(view.access) for pattern, view in patterns()}
    assert ruled == declared


@pytest.mark.parametrize("own", [True, False], ids=["of their own", "of somebody else's"])
def test_it_lets_in_whom_it_should_and_nobody_else(world, own):
    wrong = {}
    for pattern, path, method, rule in lines():
        for actor in callers_of(pattern, rule):
            found = ask(world, actor, method, path, rule, own=own)
            right = expected(actor, rule, own=own, is_page=is_page(pattern))
            if found != right:
                wrong[f"{method} {pattern} by {actor.name}"] = f"is {found}, must be {right}"
    assert not wrong, "\n".join(f"{cell} {what}" for cell, what in wrong.items())


def test_a_method_that_an_address_does_not_have_is_refused_to_all(world):
    taken = {(pattern, method) for pattern, _, method, _ in lines()}
    wrong = {}
    for pattern, line in MATRIX.items():
        for actor in (actor for actor in ACTORS if actor.name in MIGHTIEST):
            refusals = ("405",) if actor.kind in ("token", "person") else ("401", "405")
            for method in METHODS:
                if (pattern, method) not in taken:
                    found = ask(world, actor, method, line.path(pattern), ANYONE)
                    if found not in refusals:
                        wrong[f"{method} {pattern} by {actor.name}"] = f"is {found}, must be {' or '.join(refusals)}"
    assert not wrong, "\n".join(f"{cell} {what}" for cell, what in wrong.items())
