"""The studies of limits: small steps, group sizes, two KL penalties. Verdicts that can go either way."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import plot, theory
from qra_jax.algorithm import dr_grpo, grpo, rloo
from qra_jax.studies import flow_limit, group_size, kl_variants
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF


def verdicts(study, data):
    return [row.verdict for row in study.judge(data)]


def drawn(study, data):
    with plot.style():
        return study.draw(data)


# flow-limit


@pytest.fixture(scope="module")
def limit():
    return flow_limit.compute(quick=True)


def test_orders_and_constants_hold(limit):
    assert verdicts(flow_limit, limit) == [HOLDS] * 5
    assert len(drawn(flow_limit, limit).axes) == 3


@pytest.mark.parametrize(
    ("key", "change", "row"),
    [
        ("GRPO/mean_error", lambda x, eta: x * eta**0.1, 0),
        ("dynamic sampling/mean_error", lambda x, eta: x * 1.05, 0),
        ("GRPO/sampled/rms", lambda x, eta: x * eta**0.25, 1),
        ("dynamic sampling/sampled/bias", lambda x, eta: x / eta**0.5, 2),
        ("REINFORCE/expected/variance", lambda x, eta: 2 * x, 3),
        ("GRPO/sde/variance", lambda x, eta: 1.3 * x, 4),
        ("GRPO/ks", lambda x, eta: x + 0.1, 4),
    ],
)
def test_other_orders_and_constants_fail(limit, key, change, row):
    altered = limit | {key: change(limit[key], limit["rates"])}
    assert verdicts(flow_limit, altered)[row] == FAILS


def test_fits_recover_what_they_are_given():
    rates = 4 / np.array(flow_limit.STEPS[False])
    values = 0.3 * rates**0.5 * np.exp(0.2 * rates - 0.1 * rates**2)
    order, error = flow_limit._order(rates, -values, 0.01 * values, 2)
    assert order == pytest.approx(0.5, abs=1e-10)
    assert 0 < error < 0.1
    assert flow_limit._limit(rates, 1 + rates - 3 * rates**2, 0.01 * rates)[0] == pytest.approx(1)
    assert flow_limit._mean_order(rates, rates * np.exp(0.05 * rates)) == pytest.approx(1, abs=1e-3)
    assert flow_limit._resolved(0.51, 0.01, 0.5)
    assert not flow_limit._resolved(0.51, 0.001, 0.5)  # another order
    assert not flow_limit._resolved(0.51, 0.2, 0.5)  # any order


# group-size


@pytest.fixture(scope="module")
def sizes():
    return group_size.compute(quick=True)


def test_the_mean_path_knows_the_group(sizes):
    found = verdicts(group_size, sizes)
    assert found[0].startswith(ONLY_IF)
    assert found[4].startswith(ONLY_IF)
    assert found[1:4] + found[5:] == [HOLDS] * 3 + [FAILS]
    assert len(drawn(group_size, sizes).axes) == 4


def test_group_size_is_judged(sizes):
    rho = sizes["rho"]
    free = sizes | {"GRPO/speed": np.broadcast_to(1 / np.sqrt(rho * (1 - rho)), sizes["GRPO/speed"].shape)}
    found = verdicts(group_size, free)
    assert found[0] == HOLDS  # no dependence on G
    assert found[1] == found[3] == FAILS
    law = np.broadcast_to(
        1 / np.array([*group_size.SIZES, *sizes["groups"]])[:, None], sizes["rho"].shape * 0 + (11, len(rho))
    )
    usual = sizes | {f"{name}/variance": law for name in ("GRPO", "RLOO")}
    usual |= {f"{s}/noise": np.full(3, 1 / s) for s in sizes["groups"]}
    assert verdicts(group_size, usual)[4] == HOLDS
    assert verdicts(group_size, usual | {"4/noise": np.full(3, 9.0)})[4] == FAILS
    faster = sizes | {f"{s}/rollouts": sizes["16/rollouts"] / s**1.0 for s in sizes["groups"]}
    assert verdicts(group_size, faster)[5] == HOLDS
    late = sizes | {"16/cold": 1.2 * sizes["16/cold"]}
    assert verdicts(group_size, late)[3] == FAILS


@pytest.mark.parametrize("make", [grpo, rloo, dr_grpo, partial(grpo, resample_silent=True)])
def test_speeds_are_the_clocks(make):
    rho = jnp.array([1e-5, 0.01, 0.3, 0.5])
    found = group_size._exact(make(32), jnp.array([4.0, 32.0]), rho)["speed"]
    for row, size in zip(found, (4, 32), strict=True):
        np.testing.assert_allclose(row, make(size).clock(rho), rtol=1e-8)


def test_cold_starts_are_the_closed_form():
    rho = 1 / (1 + np.exp(-group_size.LOGITS))
    found = group_size._cold({"rho": rho, "one/speed": np.ones((1, len(rho)))}, "one")[0]
    exact = theory.two_pattern_time(jnp.asarray(group_size.LOGITS[[0, 500]]), jnp.zeros(2))
    np.testing.assert_allclose(found[[0, 500]], exact, rtol=1e-4)


def test_first_crossings():
    accuracy = np.array([[0.2, 0.5, 0.8, 0.9], [0.2, 0.3, 0.4, 0.5], [0.2, 0.3, 1.0, 1.0]])
    found = group_size._first(accuracy, 0.65)
    assert 1 < found[0] < 2
    assert found[1] == np.inf
    assert 1 <= found[2] <= 2


def test_the_rate_is_chosen_on_other_seeds():
    values = np.full((len(group_size.RATES), 200), 100.0)
    values[3, :100] = 10.0  # lucky on the first half, not on the second
    assert group_size._sure(values)[0] == 100
    assert group_size._sure(values)[3] == group_size.RATES[3]


# kl-variants


@pytest.fixture(scope="module")
def penalties():
    return kl_variants.compute(quick=True)


def test_two_penalties_end_on_their_own_closed_forms(penalties):
    found = verdicts(kl_variants, penalties)
    assert found[2] == FAILS  # k3 in the loss is another penalty
    assert found[:2] + found[3:] == [HOLDS] * 7
    assert len(drawn(kl_variants, penalties).axes) == 4


@pytest.mark.parametrize(
    ("key", "change", "row"),
    [
        ("k3/mean", lambda data: data["reverse/mean"], 0),
        ("k3/sampled", lambda data: data["reverse/sampled"], 1),
        ("k3/fine", lambda data: data["reverse/fine"], 3),
        ("k3/mean", lambda data: data["reverse/mean"], 4),
        ("reverse/rare/0.01", lambda data: data["k3/rare/0.01"], 5),
        ("k3/lost", lambda data: data["reverse/lost"], 6),
        ("reverse/mean", lambda data: data["k3/mean"], 7),
    ],
)
def test_the_other_penalty_fails(penalties, key, change, row):
    assert verdicts(kl_variants, penalties | {key: change(penalties)})[row] == FAILS


def test_equal_ends_would_be_one_penalty(penalties):
    same = penalties | {"k3/mean": penalties["reverse/mean"]}
    assert verdicts(kl_variants, same)[2] == HOLDS
