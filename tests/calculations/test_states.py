"""The table of states: every pair of states, and the diagram of the documentation."""

import itertools

import pytest

from server.calculations import states
from server.core.errors import Conflict
from tests.calculations import states_page, states_picture


@pytest.mark.parametrize("before, after", list(itertools.product(states.STATES, repeat=2)))
def test_every_pair_is_allowed_to_just_those_who_are_in_the_table(before, after):
    allowed = {move.who for move in states.MOVES if (move.before, move.after) == (before, after)}
    for who in states.WHO:
        if who in allowed:
            states.check("s", before, after, who)
        else:
            with pytest.raises(Conflict, match=f"is {before}, and the {who} can't make it {after}"):
                states.check("s", before, after, who)


def test_nothing_follows_a_valid_result():
    assert not [move for move in states.MOVES if move.before == states.DONE]


def test_once_a_job_may_exist_neither_the_server_nor_time_moves_it_on():
    by_server = [move for move in states.MOVES if move.who == states.SERVER and move.before in states.SUBMITTED]
    assert not by_server


def test_a_valid_result_counts_from_every_state():
    assert all(states.may(state, states.DONE, states.AGENT) for state in states.STATES if state != states.DONE)


def test_every_state_is_reached_and_all_but_done_are_left():
    reached = {move.after for move in states.MOVES}
    left = {move.before for move in states.MOVES}
    assert reached == set(states.STATES)
    assert left == set(states.STATES) - {states.DONE}


def test_only_permitted_steps_get_further():
    into = {move.before for move in states.MOVES if move.after in states.SUBMITTED[1:]}
    assert into <= set(states.SUBMITTED)


def test_the_page_and_its_picture_are_those_of_the_table():
    written = "write it anew: python -m tests.calculations.states_page"
    assert states_page.PAGE.read_text() == states_page.page(), written
    assert states_page.PICTURE.read_text() == states_picture.svg(), written


def test_the_arrows_of_the_picture_are_the_moves_of_the_table():
    drawn = [(before, after, one.who) for one in states_picture.ARROWS for before in one.before for after in one.after]
    moves = {move[:3] for move in states.MOVES if move.when != "a valid result that came late"}
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == moves
