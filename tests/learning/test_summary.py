"""What a stream has seen: the same however the log is cut into parts, and told of a point in words."""

import random

import pytest

from server.core.validation import Checker
from server.streams import feature_summary, feature_warnings
from server.streams.feature_summary import LONGEST_VALUE, MOST_VALUES, Summary
from server.streams.feature_warnings import MORE, MOST_OF_A_CODE

pytestmark = pytest.mark.one_database


def made(count: int, seed: int) -> list[dict | None]:
    """Points whose features come and go and change their kinds, some of which aren't kept."""
    chance = random.Random(seed)
    values = [
        lambda: chance.randint(-5, 5),
        lambda: chance.gauss(0, 9),
        lambda: chance.random() < 0.5,
        lambda: chance.choice("abc"),
    ]
    found: list[dict | None] = []
    for n in range(count):
        x = {"x": chance.random(), "k": f"k{chance.randint(0, n)}"}
        for name in "pqrs":
            if chance.random() < (0.97 if name == "p" else 0.3):
                x[name] = chance.choice(values)()
        found.append(x if chance.random() < 0.95 else None)
    return found


def of(xs, cuts=()):
    """The summary of points that come in parts."""
    found = Summary()
    for low, high in zip([0, *cuts], [*cuts, len(xs)], strict=True):
        found.add(xs[low:high], high)
    return found


def state(summary):
    return summary.count, summary.upto, list(summary.features.items()), summary.usual


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_same_however_the_log_is_cut(seed):
    xs = made(300, seed)
    whole = of(xs)
    chance = random.Random(seed)
    assert state(of(xs, range(1, 300))) == state(whole)
    assert state(of(xs, sorted(chance.sample(range(1, 300), 9)))) == state(whole)
    older, later = of(xs[:120]), Summary(120)
    later.add(xs[120:], 300)
    older.merge(later)
    assert state(older) == state(whole)
    assert state(Summary.from_json(whole.to_json(), 300, ranged=True)) == state(whole)


@pytest.mark.parametrize("seed", range(3))
def test_it_knows_each_point_that_it_was_made_of_but_for_what_is_usual(seed):
    xs = [x for x in made(400, seed) if x is not None]
    summary = of(xs)
    kept = [x["p"] for x in xs if "p" in x]
    assert summary.features["p"][0] == len(kept)
    assert summary.usual == {"x", "k"} | ({"p"} if len(kept) >= 0.95 * len(xs) else set())
    assert summary.unfamiliar(xs) == [n for n, x in enumerate(xs) if "p" in summary.usual and "p" not in x]


def told(summary, *xs):
    faults = feature_warnings.faults(summary, xs, summary.unfamiliar(xs), [f"xs[{n}]" for n in range(len(xs))])
    return [(fault.code, fault.field) for fault in feature_warnings.shortened(faults)]


def test_a_glance_at_many_points_overlooks_none():
    """Points of the same features are looked at by columns, until one differs."""
    summary = of([{"a": n, "k": "u", "f": True} for n in range(10)])
    fine = {"a": 4.5, "k": "u", "f": False}
    for wrong in (
        {"a": 9.5},
        {"a": -1},
        {"a": "4"},
        {"a": True},
        {"k": "v"},
        {"k": 1},
        {"f": 1},
        {"f": "u"},
        {"new": 1},
    ):
        for place in (0, 7, 19):
            xs = [fine] * 20
            xs[place] = {**fine, **wrong}
            assert summary.unfamiliar(xs) == [place], wrong
    assert summary.unfamiliar([{"a": 1, "k": "u"}] * 20) == list(range(20))
    assert summary.unfamiliar([fine] * 20) == []


@pytest.mark.parametrize(("usual", "mistake"), [(8, "8,0"), (8, True), ("u", 8), ("u", True), (True, 8), (False, "no")])
def test_a_mistake_does_not_make_its_kind_an_expected_one(usual, mistake):
    """Neither one mistake among few observations, nor some among many. What is common is expected."""
    few, many = [{"a": usual}] * 3 + [{"a": mistake}], [{"a": usual}] * 97 + [{"a": mistake}] * 3
    for xs, count in ((few, "3 of 4"), (many, "97 of 100")):
        for summary in (of(xs), of(xs, range(1, len(xs))), Summary.from_json(of(xs).to_json(), len(xs), ranged=True)):
            assert told(summary, {"a": mistake}) == [("other_kind", "xs[0].a")]
            assert told(summary, *[{"a": usual}] * 20, {"a": mistake}) == [("other_kind", "xs[20].a")]
            assert told(summary, {"a": usual}) == told(summary, *[{"a": usual}] * 20) == []
            (fault,) = feature_warnings.faults(summary, [{"a": mistake}], [0], ["x"])
            assert fault.statement.endswith(f" in {count} observations")
    both = of([{"a": usual}] * 40 + [{"a": mistake}] * 4)
    assert (
        told(both, {"a": usual})
        == told(both, {"a": mistake})
        == told(of([{"a": usual}, {"a": mistake}]), {"a": mistake})
        == []
    )


def test_a_summary_of_an_older_version_counts_no_kinds():
    older = '{"count": 9, "features": {"a": [9, 1, 5, %d, []]}}'
    assert told(Summary.from_json(older % 1, 9, ranged=True), {"a": "u"}) == [("other_kind", "xs[0].a")]
    with pytest.raises(ValueError, match="not counted"):
        Summary.from_json(older % 5, 9, ranged=True)


def test_a_feature_that_many_points_lack_is_not_missed():
    words = of([{"length": 2, f"word {n % 97}": 1, f"word {n % 89}": 1} for n in range(3000)])
    assert words.usual == {"length"}
    assert told(words, {"length": 2, "word 3": 1}) == []
    assert told(words, {"word 3": 1}) == [("missing_feature", "xs[0].length")]


def test_a_few_warnings_of_each_code_stand_for_all():
    summary = of([{f"f{n}": 1.0 for n in range(30)} for _ in range(20)])
    found = told(summary, {f"f{n}": 2.0 if n < 10 else "s" for n in range(20)} | {f"new {n}": 1 for n in range(5000)})
    codes = [code for code, _ in found]
    assert {code: codes.count(code) for code in codes} == {
        "unknown_feature": MOST_OF_A_CODE, "missing_feature": MOST_OF_A_CODE, "other_kind": MOST_OF_A_CODE,
        "outside": MOST_OF_A_CODE, MORE: 1,
    }  # fmt: skip
    faults = feature_warnings.faults(summary, [{"a": 1}], [0], ["x"])
    assert len(faults) == 31
    assert feature_warnings.shortened(faults)[-1].statement == f"and {31 - 1 - MOST_OF_A_CODE} more"
    assert feature_warnings.refusal(faults, may_read=True).message.count(" is missing") == 30


def test_a_refusal_of_many_faults_ends_within_the_limit_of_messages():
    summary = of([{"a": 1}] * 20)
    message = feature_warnings.refusal(
        feature_warnings.faults(summary, [{f"{'n' * 150}{n}": 1 for n in range(5000)}], [0], ["x"]), may_read=True
    ).message
    assert len(message) < 4000
    named = message.count(" is 1: no observation has such a feature")
    assert message.endswith(f"and {5001 - named:,} more")  # and the feature that is missing


def test_strings_are_outside_only_where_there_are_few():
    summary = of(
        [{"few": "ab"[n % 2], "many": f"v{n}", "text": "t" * (LONGEST_VALUE + 1)} for n in range(MOST_VALUES + 1)]
    )
    assert told(summary, {"few": "c", "many": "c", "text": "c"}) == [("outside", "xs[0].few")]


def test_without_ranges_no_number_is_outside():
    summary = Summary(ranged=False)
    summary.add([{"a": 1.5, "k": "u"}] * 20, 20)
    for again in (summary, Summary.from_json(summary.to_json(), 20, ranged=False)):
        assert told(again, {"a": 1e300, "k": "u"}) == []
        assert told(again, {"a": "u", "k": 1}) == [("other_kind", "xs[0].a"), ("other_kind", "xs[0].k")]
        assert "seen: numbers" in feature_warnings.faults(again, [{"a": "u"}], [0], ["x"])[1].of_point(may_read=True)


def test_a_header_holds_printable_ascii_alone():
    faults = feature_warnings.faults(of([{"a": 1}]), [{"new\r\nSet-Cookie: é": "\n"}], [0], ["x"])
    text = feature_warnings.in_header(faults, may_read=True)
    assert text.isascii() and text.isprintable()
    assert text.startswith("x.new??Set-Cookie: ? is ")


@pytest.mark.parametrize("seed", range(6))
def test_what_is_remembered_of_sets_of_features_never_outlives_a_change(seed):
    """Points are asked about and taken in by turns; each answer is that of a look at each value."""
    chance = random.Random(seed)
    summary, xs = Summary(), [x for x in made(250, seed) if x is not None]
    check = Checker(None, "any")
    for n, x in enumerate(xs):
        for asked in (*chance.sample(xs, 5), {"x": 0.5, "k": "k0"}):
            passed = summary.need_no_checks([asked])
            like = not any(feature_warnings._ways(summary, asked))
            assert (summary.matches(asked), summary.matches(asked)) == (like, like)
            assert like or not passed
            many = [asked] * 9 if n % 2 else chance.choices(xs, k=9)
            expected = [index for index, one in enumerate(many) if any(feature_warnings._ways(summary, one))]
            assert not summary.need_no_checks(many) or not expected
            assert summary.unfamiliar(many) == expected
            check.x(asked)
        summary.add([x], n + 1)


def test_a_point_that_passes_unchecked_is_one_that_the_checker_passes():
    summary = of([{"a": 1, "k": "u"}, {"a": 2.5, "k": "v"}])
    fine = {"a": 2, "k": "u"}
    assert not summary.need_no_checks([fine])  # the first of its features is checked
    assert summary.matches(fine) and summary.matches(fine)
    assert summary.need_no_checks([fine])
    assert summary.need_no_checks([fine] * 20)
    for wrong in (
        None, [], "a", 1, {}, {"a": 2}, {**fine, "new": 1}, {**fine, "a": None}, {**fine, "a": [1]}, {**fine, "a": True},
        {**fine, "a": float("nan")}, {**fine, "a": float("inf")}, {**fine, "k": None}, {**fine, "k": {}}, {**fine, "k": "w"},
    ):  # fmt: skip
        assert not summary.need_no_checks([wrong]), wrong
        assert not summary.need_no_checks([fine] * 19 + [wrong]), wrong
    unbounded = of([{"a": n, "k": f"v{n}"} for n in range(MOST_VALUES + 1)])
    assert unbounded.matches({"a": 1, "k": "\ud800"}) and unbounded.matches({"a": 1, "k": "v1"})
    assert not unbounded.need_no_checks([{"a": 1, "k": "\ud800"}])  # which can't be stored
    unranged = Summary(ranged=False)
    unranged.add([{"a": 1}], 1)
    assert unranged.matches({"a": 5}) and unranged.matches({"a": 5})
    assert not unranged.need_no_checks([{"a": float("inf")}])


def test_strings_of_all_features_together_are_bounded(monkeypatch):
    monkeypatch.setattr(feature_summary, "MOST_STRINGS", 3)
    seen = Summary()
    seen.add([{"a": "x", "b": "y"}], 1)
    seen.add([{"a": "z", "c": "w"}], 2)
    assert [seen.features[name][feature_summary.VALUES] for name in "abc"] == [{"x", "z"}, {"y"}, None]
    again = Summary.from_json(seen.to_json(), 2, ranged=True)
    again.add([{"b": "v"}], 3)
    again.add([{"b": "u"}], 4)
    assert again.features["b"][feature_summary.VALUES] is None
    again.add([{"a": "t"}], 5)
    assert again.features["a"][feature_summary.VALUES] == {"x", "z", "t"}


def test_what_was_asked_is_not_kept(monkeypatch):
    monkeypatch.setattr(feature_summary, "MOST_NAMES", 8)
    seen = Summary()
    seen.add([dict.fromkeys("abcdef", 1)], 1)
    for names in ("abc", "abcd", "abcde", "abcdef", "xyz"):
        for _ in range(3):
            seen.matches(dict.fromkeys(names, 1))
        assert sum(map(len, seen._shapes)) <= 8
        assert all(type(one) is int for one in seen._asked)
