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
        named += shape(STEPS, drawn(random, level, 2), SAMPLES / 2).kind == "collapse"
    assert named >= 18  # of 97 %


def test_a_level_curve_says_what_would_not_have_shown():
    random = np.random.default_rng(5)
    few = shape(STEPS[:6], drawn(random, np.full(6, 0.4), 4), SAMPLES[:6] / 4)
    many = shape(STEPS, np.full(60, 0.4), 100 * SAMPLES)
    assert few.kind == many.kind == "flat"
    assert few.moved > 0.1 > 0.01 > many.moved


def wandering(random, points, memory, size):
    """Noise of which neighbours correlate."""
    noise = random.standard_normal(points)
    for i in range(1, points):
        noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    return size * noise


@pytest.mark.parametrize(("memory", "points"), [(0.9, 60), (0.8, 60), (0.0, 12)])
def test_wandering_and_overdispersed_noise_is_no_shape(memory, points):
    """Of level and of rising curves with such noise at most one in twenty is called something else, or collapsed."""
    random, steps, many = np.random.default_rng(6), np.arange(points) * 60.0 / points, np.full(points, 64.0)
    wrong = 0
    for _ in range(30):
        for level, right in (
            (np.full(points, 0.4), ("flat",)),
            (rising(random)[:: 60 // points], ("flat", "rising")),
        ):
            seen = np.clip(level + wandering(random, points, memory, 0.05), 0, 1)
            wrong += shape(steps, random.binomial(64, seen) / 64, many).kind not in right
    assert wrong <= 5  # three of sixty are 5 %, and as many again by chance in one of eight


def test_one_point_and_a_dip_are_no_collapse():
    random = np.random.default_rng(7)
    level = 0.2 + 0.5 * np.minimum(STEPS / 30, 1)
    for change in ({59: 0.0}, dict.fromkeys(range(38, 44), 0.15)):
        broken = level.copy()
        broken[list(change)] = list(change.values())
        kinds = [shape(STEPS, drawn(random, broken), SAMPLES).kind for _ in range(5)]
        assert kinds == ["rising"] * 5
    flat = np.append(np.full(59, 0.5), 0.0)
    assert shape(STEPS, drawn(random, flat), SAMPLES).kind == "flat"


def test_onset_is_known_to_a_few_points_where_the_fall_is_steep():
    random, widths, inside = np.random.default_rng(8), [], 0
    for _ in range(20):
        onset = random.integers(20, 50)
        level = np.where(
            onset < STEPS, np.maximum(0.65 - 0.15 * (STEPS - onset), 0.0), 0.2 + 0.45 * STEPS / onset
        )
        found = shape(STEPS, drawn(random, level), SAMPLES)
        assert found.kind == "collapse"
        widths.append(np.diff(found.onset_between)[0])
        inside += found.onset_between[0] - 1 <= onset <= found.onset_between[1] + 1
    assert inside >= 17  # of 95 %
    assert np.median(widths) <= 10


def test_misfit_of_wandering_noise_is_no_alarm():
    random, level = np.random.default_rng(9), np.full(60, 0.4)
    wrong = [
        misfit(STEPS, drawn(random, level + wandering(random, 60, 0.9, 0.05)), SAMPLES, level).chance
        for _ in range(20)
    ]
    assert sum(chance <= SURE for chance in wrong) <= 2
