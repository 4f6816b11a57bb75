"""What curves do beyond their noise: rates of detection and of false alarms, and the fixed cases."""

import numpy as np
import pytest

from qra_jax.fit.shape import SURE, misfit, shape

STEPS, SAMPLES = np.arange(60.0), np.full(60, 64.0)


def rising(random):
    return 0.2 + 0.5 / (1 + np.exp(-(STEPS - random.uniform(0, 60)) / random.uniform(3, 15)))


def drawn(random, level, excess=1):
    return random.binomial(64 // excess, level) / (64 // excess)


@pytest.mark.parametrize("excess", [1, 4])
def test_rising_curves_do_not_collapse(excess):
    random = np.random.default_rng(0)
    kinds = [shape(STEPS, drawn(random, rising(random), excess), SAMPLES).kind for _ in range(60)]
    assert sum(kind in ("collapse", "falling") for kind in kinds) <= 3  # of 60; .6 are expected at most
    assert "collapse" not in kinds[:3]


def test_level_curves_are_flat():
    random = np.random.default_rng(1)
    kinds = [shape(STEPS, drawn(random, np.full(60, 0.3)), SAMPLES).kind for _ in range(60)]
    assert kinds.count("flat") >= 56  # two tests at SURE = .01
    for value in (0.0, 1.0):
        assert shape(STEPS, np.full(60, value), SAMPLES).kind == "flat"


def test_collapses_are_named_with_their_onset():
    random, named, inside = np.random.default_rng(2), 0, 0
    for _ in range(40):
        onset = random.integers(20, 45)
        level = 0.2 + 0.5 * np.minimum(STEPS / 15, 1)
        level = np.where(onset < STEPS, np.maximum(level - 0.03 * (STEPS - onset), 0.02), level)
        found = shape(STEPS, drawn(random, level), SAMPLES)
        named += found.kind == "collapse"
        inside += found.onset_between[0] - 1 <= onset <= found.onset_between[1] + 1
        assert found.chance <= SURE
        assert found.moved == pytest.approx(level.max() - level[-1], abs=0.15)
    assert named == 40
    assert inside >= 34  # 95 % of 40, less three standard deviations


def test_a_rise_has_its_size():
    found = shape(STEPS, 0.1 + STEPS / 100, SAMPLES)
    assert found.kind == "rising"
    assert found.moved == pytest.approx(0.59, abs=0.01)
    assert shape(STEPS, 0.7 - STEPS / 100, SAMPLES).kind == "falling"


def test_misfit_is_one_for_the_right_level_and_says_where_a_wrong_one_leaves():
    random = np.random.default_rng(3)
    level = np.full(60, 0.4)
    squares = [misfit(STEPS, drawn(random, level), SAMPLES, level).squares for _ in range(40)]
    assert np.mean(squares) == pytest.approx(1, abs=0.15)
    off = misfit(STEPS, drawn(random, np.where(STEPS < 40, 0.4, 0.1)), SAMPLES, level)
    assert off.chance <= SURE
    assert off.since == pytest.approx(40, abs=2)
    assert off.off == pytest.approx(-0.3, abs=0.05)


def test_a_rise_that_is_lost_again_is_no_level_curve():
    """Its halves are alike and its ends are alike; neither a rise nor a fall alone would be seen."""
    random, named = np.random.default_rng(4), 0
    level = np.interp(STEPS, [0, 30, 59], [0.3, 0.7, 0.3])
    for _ in range(20):
        named += shape(STEPS, drawn(random, level, 4), SAMPLES / 4).kind == "collapse"
    assert named >= 19


def test_a_level_curve_says_what_would_not_have_shown():
    random = np.random.default_rng(5)
    few = shape(STEPS[:6], drawn(random, np.full(6, 0.4), 4), SAMPLES[:6] / 4)
    many = shape(STEPS, np.full(60, 0.4), 100 * SAMPLES)
    assert few.kind == many.kind == "flat"
    assert few.moved > 0.1 > 0.01 > many.moved
