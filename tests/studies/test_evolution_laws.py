"""What `evolution` compares with GRPO, and where both have gained as much."""

import numpy as np
import pytest

from qra_jax.studies.weights import _drift as drift
from qra_jax.studies.weights._reference import Course


def course(*accuracy, tried=()):
    steps = np.arange(len(accuracy))
    return Course({}, np.array([accuracy]), np.array([accuracy]), steps, 0.1, np.array(tried).reshape(-1, 2))


def test_the_best_size_is_that_of_the_choosing_bases():
    scores = dict(zip(drift.SIZES, (0.2, 0.5, 0.4), strict=True))
    tried = {name: course(0.2, 0.9, tried=[[0.1, x], [0.3, 0.0]]) for name, x in scores.items()}
    assert drift.best(tried) == drift.SIZES[1]


@pytest.mark.parametrize(("own", "share"), [(0.9, 0.5), (0.5, 0.375), (0.3, np.nan), (0.1, np.nan)])
def test_equal_gain_is_half_or_all_that_the_smaller_one_has(own, share):
    found = drift.share_of(course(0.2, own), course(0.2, 1.0))
    assert found == pytest.approx(share, nan_ok=True)


def test_nothing_is_compared_without_a_gain():
    assert np.isnan(drift.share_of(course(0.2, 0.9), course(0.2, 0.21)))


def test_moves_are_turns_after_which_a_weight_differs():
    still = np.zeros((1, 4, 2, 2))
    moved = still.copy()
    moved[0, 2:, 1, 0] = 1.0
    assert drift.moves({"a": still, "b": moved}).tolist() == [[False, True, False]]
