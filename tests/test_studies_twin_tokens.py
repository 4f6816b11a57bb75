"""SFT before RLVR of a network: tiny runs, and verdicts that can go either way."""

import numpy as np
import pytest

from qra_jax import plot, theory, transformer
from qra_jax.studies import transformer_sft_first as first
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

pytestmark = pytest.mark.usefixtures("compiled_plainly")

# transformer-sft-first


def test_the_weak_base_is_entangled():
    problem = first.weak()
    assert bool(theory.regime(problem).entangled)
    assert float(problem.success.max()) < 0.5
    x = first.shares(problem)
    needed = float(theory.sft_mass_needed(problem))
    assert x[0] < x[1] < needed < x[2] < 1


def test_crossing_is_linear_between_records():
    path = np.array([[0.1, 0.8, 1.0, 0.2], [0.95, 1.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_allclose(first.crossing(path), [1.5 * first.RECORD, 0, np.inf])


def test_rank_correlation_knows_order():
    steps = np.arange(12.0).reshape(3, 4)
    assert first.rank_correlation(np.exp(steps), steps) == pytest.approx((1, 1, 1))
    assert first.rank_correlation(-steps, steps)[0] == pytest.approx(-1)
    assert first.rank_correlation(np.zeros((3, 4)), steps) == pytest.approx((0, 0, 0))
    lost = np.where(steps > 7, np.inf, steps)
    assert 0.9 < first.rank_correlation(steps, lost)[0] < 1
    assert first.rank_correlation(steps, steps, -steps) == pytest.approx((2, 2, 2))
    assert first.rank_correlation(steps, steps, np.exp(steps)) == pytest.approx((0, 0, 0))
    assert first.rank_correlation(steps[:, :1], steps[:, :1]) == pytest.approx((1, -np.inf, np.inf))


def test_lost_pattern_has_no_tabular_time():
    policy = np.tile([[0.05, 0.7, 0.25], [0.9, 0.06, 0.04]], (8, 1))
    success = np.tile([[0.3, 0.6, 0.1], [0.9, 0.6, 0.1]], (8, 1))
    policy[-1] = np.nan
    found = first.predicted(policy, success)
    assert all(np.isnan(values[-1]) for values in found.values())
    assert np.isinf(found["softmax"][0])
    assert found["entangled"][0]
    assert not found["entangled"][1]
    np.testing.assert_allclose(found["rarity"], -np.log(policy[:, 0]))


def computed(study, small, cache):
    """The quick version with smaller numbers and a lookup table for a network."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(study, name, value)
        patch.setattr(transformer, "Decoder", lambda vocabulary, **_: transformer.Lookup(vocabulary))
        patch.setenv("QRA_CACHE", str(cache))
        return study.compute(quick=True)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    small = {"PRETRAINING": 8, "STEPS": 4, "RECORD": 2, "QUESTIONS": 4}
    return computed(first, small, tmp_path_factory.mktemp("cache"))


def test_sft_moves_the_pattern_and_the_coin_stays(networks):
    data = networks
    start = data["policy"][0, :, :, 0, 0].mean(axis=1)
    assert start[-1] > start[0]
    np.testing.assert_allclose(
        data["success"][0], np.broadcast_to([0.45, 0.3, 0.05], data["success"][0].shape)
    )
    assert all(np.isfinite(value).all() for name, value in data.items() if name in ("policy", "accuracy"))
    assert len(first.judge(data)) == 9
    with plot.style():
        assert len(first.draw(data).axes) == 4


@pytest.fixture(scope="module")
def made_up():
    """Eight seeds that do as the theory says: time is 4 steps for each unit of tabular time."""
    rng, seeds, lengths = np.random.default_rng(0), 8, (5, 20)
    share, length = np.array([0, *np.repeat([0.03, 0.2, 0.4], 2)]), np.array([0, *np.tile(lengths, 3)])
    log_time = np.log([16, 18, 17, 16.5, 17.5, 9, 4])[:, None] + 0.01 * rng.normal(size=(7, seeds))
    steps = np.stack([4 * np.exp(log_time)] * 2) * np.exp(0.01 * rng.normal(size=(2, 7, seeds)))
    entangled = np.broadcast_to((np.arange(7) < 5)[None, :, None], steps.shape)
    steps[1] = np.where(entangled[1], np.inf, steps[1])
    policy = np.broadcast_to([0.2, 0.7, 0.1], (2, 7, seeds, 3, 3)).copy()
    success = np.broadcast_to([0.45, 0.3, 0.05], policy.shape).copy()
    return {
        "settings": np.array(["coin, SGD", "learnt, SGD"]),
        "share": share,
        "length": length,
        "needed": np.asarray(0.27),
        "step": np.array([0, 50, 100]),
        "steps": steps,
        "accurate": np.full(steps.shape, np.inf),
        "policy": policy,
        "success": success,
        "accuracy": (policy * success).sum(axis=-1),
        "softmax": np.stack([log_time] * 2),
        "natural": np.stack([log_time / 3] * 2),
        "rarity": np.stack([log_time[[2, 0, 1, 5, 3, 6, 4]]] * 2),
        "entangled": entangled,
    }


def test_theory_is_confirmed_where_it_is_right(made_up):
    assert [row.verdict for row in first.judge(made_up)] == [HOLDS] * 9
    alike = first.judge(made_up | {"rarity": made_up["softmax"]})
    assert [row.verdict for row in alike[4:6]] == [
        ONLY_IF + "ranking as well as −log π(r*) is enough: no lead over it is shown"
    ] * 2


def test_theory_is_refuted_where_it_is_wrong(made_up):
    worse = made_up | {"steps": np.minimum(made_up["steps"][:, ::-1], first.STEPS)}
    worse["accurate"] = np.full(worse["steps"].shape, 30.0)
    worse["success"] = np.concatenate(
        [worse["success"][..., :2, :], worse["success"][..., 2:, :] * 2], axis=-2
    )
    rows = [row.verdict for row in first.judge(worse)]
    assert rows[0] == rows[2] == rows[3] == rows[4] == rows[6] == rows[7] == rows[8] == FAILS
    poor = made_up | {"steps": made_up["steps"].copy()}
    poor["steps"][0, 2] /= 3
    assert first.judge(poor)[1].verdict == FAILS
    few = {name: value[:, :, :2] if value.ndim > 2 else value for name, value in made_up.items()}
    few["steps"] = few["steps"].copy()
    few["steps"][0, 0] = [30, 90]
    assert first.judge(few)[0].verdict.startswith(ONLY_IF)


def test_a_run_that_does_not_arrive_leaves_the_size_open(made_up):
    steps = made_up["steps"].copy()
    steps[0, 0, 3] = np.inf
    row = first.judge(made_up | {"steps": steps})[3]
    assert row.verdict.startswith(ONLY_IF)
    assert "7 of 8 seeds" in row.measured


def test_seeds_without_numbers_are_left_out(made_up):
    broken = made_up | {"policy": made_up["policy"].copy()}
    broken["policy"][1, 3, 0, 2] = np.nan
    rows = first.judge(broken)
    assert [row.verdict for row in rows] == [HOLDS] * 9
    assert all("1 of 8 seeds left out" in row.measured for row in rows)
    broken["policy"][1, 3, :, 2] = np.nan
    with pytest.raises(ValueError, match="policy"):
        first.judge(broken)


def test_one_seed_decides_nothing(made_up):
    alone = {name: value[:, :, :1] if value.ndim > 2 else value for name, value in made_up.items()}
    assert all(row.verdict.startswith(ONLY_IF) for row in first.judge(alone))
    with plot.style():
        assert len(first.draw(alone).axes) == 4
