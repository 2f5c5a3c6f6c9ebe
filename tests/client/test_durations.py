"""Lengths of time as schedulers write them, read and written."""

import pytest
from tailrace.durations import FORMATS, format_duration, parse_duration
from tailrace.errors import Unusable

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:30:00", 5400), ("00:00:01", 1), ("36:00:00", 129600), ("1-00:00:00", 86400), ("2-03:04:05", 183845),
        ("90s", 90), ("5m", 300), ("5min", 300), ("1h30m", 5400), ("1h 30m", 5400), ("2d", 172800), ("0.5h", 1800),
        (" 1H ", 3600),
    ],
)  # fmt: skip
def test_it_reads_what_people_and_schedulers_write(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60", r"did you mean 60s or 60m\?"), ("12:30", r"did you mean 00:12:30 or 12:30:00\?"), ("", "expected HH:MM"),
        ("ten", "expected HH:MM"), ("-5m", "expected"), ("01:60:00", "expected"), ("00:00:61", "expected"),
        ("1-24:00:00", "expected"), ("5 parsecs", "expected"), ("5m3", "expected"), ("nan", "expected"),
    ],
)  # fmt: skip
def test_what_two_schedulers_would_read_differently_is_refused(text, said):
    with pytest.raises(Unusable, match=said):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "form", "text"),
    [
        (199.2, "slurm", "00:03:20"), (86399.5, "slurm", "1-00:00:00"), (90061, "slurm", "1-01:01:01"),
        (199.2, "pbs", "00:03:20"), (90061, "pbs", "25:01:01"), (400000, "pbs", "111:06:40"),
        (199.2, "lsf", "00:04"), (60, "lsf", "00:01"), (60.1, "lsf", "00:02"), (90061, "lsf", "25:02"),
        (199.2, "flux", "200s"), (199.2, "seconds", "200"), (200.0000000001, "seconds", "200"),
    ],
)  # fmt: skip
def test_it_writes_what_a_scheduler_takes_rounded_up(seconds, form, text):
    assert format_duration(seconds, form) == text


@pytest.mark.parametrize("form", FORMATS)
def test_it_never_writes_zero_which_would_mean_no_limit(form):
    assert format_duration(0.0, form).strip("0:s") == "1"
