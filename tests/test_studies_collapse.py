"""The studies of noise, entropy and stale rollouts: small sizes, and verdicts that can go either way."""

import numpy as np
import pytest

from qra_jax import plot
from qra_jax.studies import collapse_map, entropy, staleness
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF


def verdicts(study, data):
    return [row.verdict for row in study.judge(data)]


# collapse-map


@pytest.fixture(scope="module")
def collapses():
    return collapse_map.compute(quick=True)


def test_noise_loses_what_expected_training_finds(collapses):
    found = verdicts(collapse_map, collapses)
    # Loss by noise, and its exponent for an algorithm whose log odds sink continuously.
    assert found[:2] == [HOLDS, HOLDS]
    assert found[3] != FAILS
    # In the tabular model everything comes back: the share that is lost depends on the threshold.
    assert found[5] == FAILS
    # The waiting time and the drift of diversity follow from the same jumps.
    assert found[6:] == [HOLDS] * 4
    with plot.style():
        assert len(collapse_map.draw(collapses).axes) == 5


def test_loss_is_judged(collapses):
    safe = collapses | {"lost": np.zeros_like(collapses["lost"]) + 11}
    assert verdicts(collapse_map, safe)[1] == FAILS
    lost_by_all = collapses | {"mean_last": np.zeros_like(collapses["mean_last"])}
    assert verdicts(collapse_map, lost_by_all)[0] == FAILS
    # A boundary in η/√G instead: the same curve, read at ratios that shrink like 1/√G.
    ratios, groups = collapses["ratios"], collapses["groups"]
    share = np.exp(-collapses["exponent"][..., None] / (ratios * np.sqrt(groups)[:, None] / 4))
    moved = np.round(share * collapses["seeds"])[..., None] * np.ones(len(collapse_map.LEVELS))
    assert verdicts(collapse_map, collapses | {"lost": moved})[3] == FAILS
    absorbing = collapses | {
        name: np.full_like(collapses[name], -30.0) for name in ("long/lowest", "long/last")
    }
    assert verdicts(collapse_map, absorbing)[5] == HOLDS
    quick = collapses | {"long/time": np.sqrt(collapses["long/time"]) * 60}
    assert verdicts(collapse_map, quick)[6] == FAILS


def test_diversity_is_judged(collapses):
    steep = collapses | {"diversity/slope": 1.5 * collapses["diversity/slope"]}
    assert verdicts(collapse_map, steep)[7] == FAILS
    curves = collapses["diversity/curves"].copy()
    curves[1] = 0.2 + (curves[1] - 0.2) * 0.7
    assert verdicts(collapse_map, collapses | {"diversity/curves": curves})[8] == FAILS


# entropy


@pytest.fixture(scope="module")
def entropies():
    return entropy.compute(quick=True)


def test_entropy_falls_by_drift_and_noise(entropies):
    found = verdicts(entropy, entropies)
    assert found[:4] == [HOLDS] * 4
    # Old rollouts leave both ratios away from 1 whichever way a step went: either clip then slows training.
    assert found[4] == ONLY_IF + "random rewards, epochs"
    assert found[5] == FAILS
    assert found[7] == ONLY_IF + "entropy and accuracy are averages over many questions"
    assert found[8] == FAILS
    with plot.style():
        assert len(entropy.draw(entropies).axes) == 4


def test_entropy_is_judged(entropies):
    flat = entropies | {"identity/error": np.ones_like(entropies["identity/error"])}
    assert verdicts(entropy, flat)[0] == FAILS
    assert verdicts(entropy, entropies | {"step/second": -entropies["step/second"]})[1] == FAILS
    split = entropies["split"].copy()
    split[..., 1:3] = split[..., 2:0:-1]
    assert verdicts(entropy, entropies | {"split": split})[2] == FAILS
    swapped = dict(entropies)
    for way in entropy.WAYS:
        for arm in ("low", "both"):
            swapped[f"clip/{way}/{arm}/gap"] = -entropies[f"clip/{way}/{arm}/gap"]
    assert verdicts(entropy, swapped)[3] == FAILS
    assert verdicts(entropy, swapped)[5] == HOLDS
    x = np.linspace(2, 0, 101)
    line = np.broadcast_to(1 - x / 4, entropies["law/accuracy"].shape)
    linear = entropies | {"law/entropy": np.broadcast_to(x, line.shape), "law/accuracy": line}
    assert verdicts(entropy, linear)[7] == FAILS
    exact = linear | {"law/accuracy": np.broadcast_to(1 - np.exp(x) / 10, line.shape)}
    assert verdicts(entropy, exact)[7:] == [HOLDS, HOLDS]


# staleness


@pytest.fixture(scope="module")
def stale():
    return staleness.compute(quick=True)


def test_thresholds_are_the_roots(stale):
    found = verdicts(staleness, stale)
    assert found[:5] == [HOLDS] * 5
    # Without a baseline the old rollouts' total reward pulls at the new policy.
    assert found[5] == ONLY_IF + "the rewards have a baseline"
    assert found[6] == HOLDS
    assert found[7].startswith(ONLY_IF)
    # The swing grows as at a supercritical bifurcation; clipped runs are caught in a cycle of their own.
    assert found[8] == HOLDS
    assert found[9] == ONLY_IF + "the ratios are not clipped"
    assert found[10] == HOLDS
    with plot.style():
        assert len(staleness.draw(stale).axes) == 4


def test_staleness_is_judged(stale):
    for row, key in ((0, "held/measured"), (1, "delayed/measured"), (2, "delayed/measured"), (3, "fresh")):
        assert verdicts(staleness, stale | {key: 1.1 * stale[key]})[row] == FAILS
    for row, key in ((4, "RLOO, rollouts/measured"), (6, "REINFORCE, rollouts, ratios/measured")):
        assert verdicts(staleness, stale | {key: 1.1 * stale[key]})[row] == FAILS
    infinite = stale | {"beyond/gradient": np.full_like(stale["beyond/gradient"], np.nan)}
    assert verdicts(staleness, infinite | {"beyond/gradient": infinite["beyond/gradient"]})[7] == HOLDS
    calm = stale | {"beyond/clip": stale["beyond/ratios"]}
    assert verdicts(staleness, calm)[9] == HOLDS
    assert verdicts(staleness, stale | {"noise2/measured": 2 * stale["noise2/measured"]})[10] == FAILS
