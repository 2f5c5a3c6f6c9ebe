"""The vertical axis of a picture: it has ticks however far its values are apart, and says where it is logarithmic."""

import pytest
from matplotlib.figure import Figure
from tailrace.pictures.figures import log_scale

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        ((2.0, 5.0), False),
        ((0.0, 500.0), False),
        ((0.5, 20.0), True),
        ((0.01, 500.0), True),
        ((1e-4, 1e6), True),
        ((1e-12, 1e12), True),
    ],
)
def test_it_has_a_few_ticks_and_says_where_it_is_logarithmic(values, is_log):
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.plot([1, 2], values)
    axes.set_ylabel("error (s)")
    log_scale(axes, values)
    figure.canvas.draw()
    low, high = axes.get_ylim()
    shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 3 <= len(shown) <= 12
    assert axes.get_yscale() == ("log" if is_log else "linear")
    assert axes.get_ylabel() == ("error (s), log scale" if is_log else "error (s)")
