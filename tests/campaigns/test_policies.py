"""What a policy decides in one situation or another, and what holds in every situation."""

import random
from dataclasses import replace
from importlib import metadata

import pytest
from hypothesis import given, settings

from server.campaigns.policies import deciding, registry
from server.campaigns.policies.deciding import CALCULATES, PolicyFailed, decide
from server.campaigns.policies.policy import Policy
from server.campaigns.policies.situation import Choice, Pick, Situation, canonical
from server.core.errors import Invalid
from tests.campaigns.policies_situations import cell, good, rounds, situation, situations, status, strain, unknown

NAMES = ("families", "random", "uncertainty")


@given(situations())
@settings(max_examples=60, deadline=None)
def test_every_choice_can_be_carried_out_and_depends_on_no_order(made: Situation) -> None:
    for name in NAMES:
        choice = decide(name, made)  # refuses what is over the budget, asked for before, or without a reason
        assert choice.reason.count(". ") == 1, choice.reason
        assert choice.reason.endswith("."), choice.reason
        assert all(pick.why and pick.seed >= 1 for pick in choice.picks)
        assert len(choice.picks) <= made.thresholds.batch
        shuffled = random.Random(made.seed)
        other = replace(
            made,
            candidates=tuple(shuffled.sample(made.candidates, len(made.candidates))),
            types=tuple(shuffled.sample(made.types, len(made.types))),
        )
        assert decide(name, other) == choice
        assert Choice.from_json(choice.to_json()) == choice
        assert canonical(Situation.from_json(made.to_json()).to_json()) == canonical(made.to_json())


@pytest.mark.parametrize(
    ("types", "action", "said"),
    [
        ((status(), good("Cu-Cu")), "augment", "95% of the environments"),
        ((status(covered=0.7), good("Cu-Cu")), "explore", "70% of the environments of Zr-Zr in Cu50Zr50"),
        ((good(), status(composition="Cu64Zr36")), "compose", "no cell of Cu64Zr36 was ever learned"),
        ((status(), status(composition="Cu64Zr36")), "augment", "2 of 2 errors are too high"),
        ((unknown(families=2),), "explore", "3 families on"),
        ((unknown(),), "explore", "the interval contains the target"),
        ((unknown(), unknown(composition="Cu64Zr36", rmse=None, low=None, high=None)), "compose", "Cu64Zr36"),
        ((good(), good("Cu-Cu")), "stop", "0.05 of 0.1 eV"),
        ((), "ask", "sets targets"),
    ],
)  # fmt: skip
def test_the_row_follows_from_errors_and_coverage(types: tuple, action: str, said: str) -> None:
    choice = decide("families", situation(*types))
    assert (choice.action, said in choice.reason) == (action, True), choice.reason


def test_a_start_from_nothing_makes_cells_of_the_first_composition() -> None:
    nothing = {"rmse": None, "low": None, "high": None, "covered": None, "families": 0, "bonds": 0}
    choice = decide(
        "families",
        situation(status(**nothing), status(composition="Cu64Zr36", **nothing), learned_compositions=(), round=1),
    )
    assert choice.action == "compose"
    assert choice.picks[0].name == "Cu50Zr50-8-00"
    assert choice.picks[0].seed != choice.picks[1].seed


@pytest.mark.parametrize("name", NAMES)
def test_failures_pause_and_a_budget_ends_any_policy(name: str) -> None:
    assert decide(name, situation(status(), failed_share=0.31)).action == "pause"
    assert decide(name, situation(status(), failed_share=0.30)).action != "pause"
    spent = decide(name, situation(status(), budget_calculations=9, used_calculations=9))
    assert (spent.action, "9 of 9 calculations" in spent.reason) == ("stop", True)
    assert decide(name, situation(status(), budget_hours=1.0, used_hours=1.0)).action == "stop"
    assert len(decide(name, situation(status(), budget_calculations=9, used_calculations=8)).picks) == 1


def test_two_rounds_without_gain_are_followed_by_the_next_row_and_then_by_a_stop() -> None:
    def action(*past: tuple) -> str:
        return decide("families", situation(status(), history=rounds(*past))).action

    assert action(("explore", 0.3), ("augment", 0.299)) == "augment"
    assert action(("explore", 0.3), ("augment", 0.299), ("augment", 0.298)) == "explore"
    assert action(("explore", 0.3), ("augment", 0.299), ("augment", 0.25)) == "augment"
    four = [("explore", 0.3), *[("augment", 0.3)] * 2, *[("explore", 0.3)] * 2]
    assert action(*four) == "compose"
    assert action(*four, ("compose", 0.3), ("compose", 0.3)) == "stop"


def test_unknown_errors_that_more_families_do_not_settle_are_for_a_person() -> None:
    tired = rounds(("explore", 0.2), *[(row, 0.2) for row in CALCULATES for _ in range(2)])
    choice = decide("families", situation(unknown(), history=tired))
    assert (choice.action, "a person decides" in choice.reason) == ("ask", True)


def test_picks_are_uncertain_where_it_matters_and_different_from_each_other() -> None:
    kept = strain("Cu50Zr50-1-00", 1)
    some = (
        replace(kept, sigma=0.9, sigmas={"Cu-Cu": 0.9, "Zr-Zr": 0.1}),  # uncertain in a type that is good
        replace(strain("Cu50Zr50-1-00", 2), sigma=0.3, sigmas={"Zr-Zr": 0.30}),
        replace(strain("Cu50Zr50-1-00", 3), sigma=0.29, sigmas={"Zr-Zr": 0.29}),  # nearly the same once more
        replace(strain("Cu50Zr50-2-00", 8), sigma=0.25, sigmas={"Zr-Zr": 0.25}),
    )
    made = situation(status(), good("Cu-Cu"), candidates=some)
    assert [pick.name for pick in decide("families", made).picks] == ["Cu50Zr50-1-02", "Cu50Zr50-2-08"]
    assert decide("uncertainty", made).picks[0].name == "Cu50Zr50-1-01"
    asked = replace(made, asked=("Cu50Zr50-1-02",))
    assert "Cu50Zr50-1-02" not in [pick.name for pick in decide("families", asked).picks]


def test_stored_cells_are_asked_for_before_new_ones_are_made() -> None:
    stored = cell("label", "Cu50Zr50-9-00", family="Cu50Zr50-9-00", sigma=0.01)
    new = cell("explore", "Cu50Zr50-10-00")
    choice = decide("families", situation(status(covered=0.5), candidates=(new, stored)))
    assert [pick.name for pick in choice.picks] == ["Cu50Zr50-9-00", "Cu50Zr50-10-00"]


def test_the_expected_gain_is_what_such_rounds_brought() -> None:
    past = rounds(("explore", 0.4), ("augment", 0.3))  # a quarter, by two calculations
    assert decide("families", situation(status(), history=past)).picks[0].expected_gain == pytest.approx(0.125)


class Greedy(Policy):
    """A policy with a fault."""

    name, answer = "greedy", Choice("augment", "Because. It is so.")

    def decide(self, situation: Situation) -> Choice:
        return self.answer


PICK = Pick("augment", "Cu50Zr50", "Cu50Zr50-1-01", "Cu50Zr50-1-00", 1, 5, "It is.", 0.1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Choice("augment", "Because."), "with 0 picks"),
        (Choice("stop", " "), "no reason"),
        (Choice("dance", "Because."), "'dance'"),  # type: ignore[arg-type]
        (Choice("augment", "Because.", (PICK, PICK)), "twice"),
        (Choice("augment", "Because.", (replace(PICK, name="X"),)), "not a candidate"),
        (Choice("augment", "Because.", (replace(PICK, cost=0.0),)), "differs"),
        (None, "AttributeError"),
    ],
)  # fmt: skip
def test_a_plug_in_is_found_and_what_it_answers_is_checked(
    monkeypatch: pytest.MonkeyPatch, answer: Choice, said: str
) -> None:
    def installed(group: str) -> list[metadata.EntryPoint]:
        return [metadata.EntryPoint("greedy", f"{__name__}:Greedy", group)]

    monkeypatch.setattr(registry.metadata, "entry_points", installed)
    monkeypatch.setattr(Greedy, "answer", answer)
    assert registry.names() == ["families", "greedy", "random", "uncertainty"]
    with pytest.raises(PolicyFailed, match=said):
        deciding.decide("greedy", situation(status()))
    with pytest.raises(PolicyFailed, match="budget of 0"):
        monkeypatch.setattr(Greedy, "answer", Choice("augment", "Because.", (PICK,)))
        deciding.decide("greedy", situation(status(), budget_calculations=0))
    with pytest.raises(PolicyFailed, match="before"):
        deciding.decide("greedy", situation(status(), asked=(PICK.name,)))


def test_a_policy_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="expected one of families, random, uncertainty"):
        registry.find("unknown")
