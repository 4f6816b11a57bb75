"""Policy iteration: the recursion against 40 digits, and its bifurcations."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from qra_jax import theory
from qra_jax.problem import Problem, random

sigmoid = jax.nn.sigmoid


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


def exact_map(z, rho, beta, epsilon=0, anchor=1):
    """The published form, in success probabilities, with the reference mixed in."""
    z, rho, beta, epsilon, anchor = (mpmath.mpf(float(x)) for x in (z, rho, beta, epsilon, anchor))
    p = 1 / (1 + mpmath.exp(-z))
    odds = (rho / (1 - rho)) ** anchor * (p / (1 - p)) ** (1 - anchor)
    odds *= mpmath.exp(1 / (beta * mpmath.sqrt(p * (1 - p) + epsilon)))
    return mpmath.log(odds)


# --- The map -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anchor", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 0.1])
def test_map_and_slope_against_forty_digits(anchor, epsilon):
    with mpmath.workdps(60):
        for z in (-40.0, -7.0, -0.3, 0.0, 2.0, 45.0):
            found = theory.success_map(z, 0.02, 3.0, epsilon=epsilon, anchor=anchor)
            close(found, float(exact_map(z, 0.02, 3.0, epsilon, anchor)), 1e-13)
            slope = theory.success_multiplier(z, 3.0, epsilon=epsilon, anchor=anchor)
            numeric = mpmath.diff(lambda x: exact_map_real(x, 0.02, 3.0, epsilon, anchor), z)
            close(slope, float(numeric), 1e-11)


def exact_map_real(z, rho, beta, epsilon, anchor):
    rho, beta, epsilon, anchor = (mpmath.mpf(float(x)) for x in (rho, beta, epsilon, anchor))
    spread = 1 / (2 + mpmath.exp(z) + mpmath.exp(-z))
    ref = mpmath.log(rho / (1 - rho))
    return anchor * ref + (1 - anchor) * z + 1 / (beta * mpmath.sqrt(spread + epsilon))


def test_map_at_its_ends():
    step = theory.success_map
    assert step(jnp.inf, 0.3, 2.0) == jnp.inf
    assert step(-jnp.inf, 0.3, 2.0) == jnp.inf  # the limit ρ → 0: a rare success is worth without bound
    capped = np.log(0.3 / 0.7) + 1 / (2 * np.sqrt(1e-4))
    for end in (-jnp.inf, jnp.inf, -3000.0, 3000.0):
        close(step(end, 0.3, 2.0, epsilon=1e-4), capped)
    for anchor in (0.0, 0.5):  # no mass on what is right in the previous policy
        assert step(-jnp.inf, 0.3, 2.0, anchor=anchor) == -jnp.inf
        assert step(jnp.inf, 0.3, 2.0, anchor=anchor) == jnp.inf
    assert step(0.0, 0.0, 2.0) == -jnp.inf
    assert step(0.0, 1.0, 2.0) == jnp.inf
    close(step(0.0, 0.0, 2.0, anchor=0.0), 1.0)  # mirror forgets the reference
    assert step(0.0, 0.3, 0.0) == jnp.inf


def test_map_is_differentiable_in_everything():
    def function(z, rho, beta, epsilon, anchor):
        return theory.success_map(z, rho, beta, epsilon=epsilon, anchor=anchor)

    point = [-2.0, 0.2, 1.5, 0.01, 0.7]
    gradient = jax.grad(function, argnums=(0, 1, 2, 3, 4))(*point)
    for i, slope in enumerate(gradient):
        up, down = ([x + s * (j == i) for j, x in enumerate(point)] for s in (1e-6, -1e-6))
        close(slope, (function(*up) - function(*down)) / 2e-6, 1e-7)
    close(jax.grad(function)(-2.0, 0.2, 1.5, 0.0, 1.0), theory.success_multiplier(-2.0, 1.5))


def test_rounds_are_exact_policy_iteration_of_sure_patterns():
    problem = random(jax.random.key(3), 6)
    problem = Problem(problem.log_ref, jnp.array([1.0, 1, 0, 0, 0, 0]))
    rounds = theory.policy_iteration_path
    for anchor in (1.0, 0.4, 0.0):
        path = theory.success_path(problem.accuracy_ref, 3.0, 6, anchor=anchor)
        close(rounds(problem, 3.0, 6, anchor=anchor), path, 1e-11)
    chancy = Problem(problem.log_ref, jnp.array([0.9, 0.8, 0.2, 0.2, 0.1, 0.0]))
    told = theory.success_path(chancy.accuracy_ref, 3.0, 1)[1]
    assert rounds(chancy, 3.0, 6)[1] < told - 0.1


def test_path_repeats_the_map():
    path = theory.success_path(0.2, 3.0, 3, logit0=0.7, anchor=0.5)
    assert path.shape == (4,)
    for before, after in itertools.pairwise(path):
        close(after, theory.success_map(before, 0.2, 3.0, anchor=0.5))
    close(theory.success_path(0.2, 3.0, 0), [np.log(0.25)])


# --- Fixed points ------------------------------------------------------------------------------------------


def test_reference_values():
    found = theory.success_fixed_points(0.6, 2.0)
    assert int(found.count) == 2
    close(sigmoid(found.logit[:2]), [0.868, 0.977], 5e-4)
    assert found.stable.tolist() == [True, False, False]
    close(theory.success_fixed_points(0.6, 2.0).logit[0], theory.noisy_equilibrium(0.6, 2.0), 1e-10)
    rest = theory.success_fixed_points(0.001, 5.0)
    close(sigmoid(rest.logit[0]), 0.0086, 5e-5)
    assert rest.multiplier[0] < -1
    pair = theory.success_two_cycles(0.001, 5.0, epsilon=1e-6)
    close(sigmoid(pair.logit[0]), [0.0023, 0.0606], 5e-5)
    close(sigmoid(theory.success_two_cycles(0.001, 5.0).logit[0]), [0.0023060, 0.0608218], 1e-6)


def test_fixed_points_against_forty_digits():
    with mpmath.workdps(40):
        for rho, beta, epsilon in [(0.6, 2.0, 0.0), (0.3, 6.0, 1e-5), (0.001, 1.0, 1e-3), (1e-12, 0.3, 0.0)]:
            found = theory.success_fixed_points(rho, beta, epsilon=epsilon)
            for z in found.logit[: int(found.count)]:
                root = mpmath.findroot(
                    lambda x, r=rho, b=beta, e=epsilon: exact_map_real(x, r, b, e, 1) - x, float(z)
                )
                close(z, float(root), 1e-11)


def test_none_is_missed():
    rng = np.random.default_rng(0)
    rhos, betas = rng.uniform(1e-3, 0.99, 300), np.exp(rng.normal(1, 1.5, 300))
    epsilons = np.where(rng.uniform(size=300) < 0.3, 0.0, 10 ** rng.uniform(-4, 0, 300))
    find = jax.jit(jax.vmap(lambda r, b, e: theory.success_fixed_points(r, b, epsilon=e)))
    found = find(rhos, betas, epsilons)
    grid = np.linspace(-8, 30, 60_001)
    for i in range(300):
        spread = 1 / (2 + np.exp(grid) + np.exp(-grid))
        excess = betas[i] * (grid - np.log(rhos[i] / (1 - rhos[i]))) - (spread + epsilons[i]) ** -0.5
        changes = int(np.sum(np.sign(excess[1:]) != np.sign(excess[:-1])))
        inside = np.asarray(found.logit[i])
        assert np.sum(np.abs(inside - 11) < 19) == changes, (rhos[i], betas[i], epsilons[i])
        assert int(found.count[i]) == np.sum(np.isfinite(inside))
        assert epsilons[i] == 0 or found.count[i] >= 1
    assert set(np.asarray(found.count).tolist()) == {0, 1, 2, 3}


def test_mixtures_share_the_fixed_points_and_damp_the_slope():
    fixed, mixed = (
        theory.success_fixed_points(0.01, 2.0),
        theory.success_fixed_points(0.01, 2.0 / 0.3, anchor=0.3),
    )
    close(mixed.logit[:2], fixed.logit[:2])
    close(mixed.multiplier[:2], 0.7 + 0.3 * fixed.multiplier[:2])


@pytest.mark.parametrize(
    ("rho", "beta", "anchor"), [(0.0, 2.0, 1.0), (1.0, 2.0, 1.0), (0.5, 0.0, 1.0), (0.5, 2.0, 0.0)]
)
def test_nothing_to_find(rho, beta, anchor):
    assert theory.success_fixed_points(rho, beta, anchor=anchor).count == 0
    assert theory.success_two_cycles(rho, beta, anchor=anchor).count == 0
    assert np.isnan(theory.success_fixed_points(rho, beta, anchor=anchor).logit).all()


def test_gradients_of_roots():
    functions = [
        (lambda x: theory.success_fixed_points(x, 2.0).logit[0], 0.6),
        (lambda x: theory.success_fixed_points(0.6, x, epsilon=1e-4).logit[1], 2.0),
        (lambda x: theory.success_two_cycles(x, 5.0).logit[0, 1], 0.001),
        (lambda x: theory.fold_betas(x, epsilon=1e-3)[1], 0.2),
        (lambda x: theory.flip_betas(x)[0], 0.001),
    ]
    for function, x in functions:
        step, function = 1e-5 * x, jax.jit(jax.value_and_grad(function))
        numeric = (function(x + step)[0] - function(x - step)[0]) / (2 * step)
        close(function(x)[1] / numeric, 1, 1e-6)


# --- Bifurcations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anchor", [1.0, 0.4])
def test_folds(anchor):
    for rho in (1e-8, 0.05, 0.6, 0.99):
        low, high = theory.fold_betas(rho, anchor=anchor)
        kappa = float(low) * anchor
        close(np.log(rho / (1 - rho)), 2 * np.arcsinh(kappa) - 2 * np.sqrt(1 + kappa**-2), 1e-10)
        assert high == np.inf
        low, high = theory.fold_betas(rho, anchor=anchor, epsilon=1e-5)
        for beta, counts in ((low, (1, 3)), (high, (3, 1))):
            near = [
                theory.success_fixed_points(rho, beta * s, anchor=anchor, epsilon=1e-5).count
                for s in (1 - 1e-6, 1 + 1e-6)
            ]
            assert tuple(map(int, near)) == counts
    close(theory.fold_betas(0.6), [1.794112, np.inf], 1e-6)
    assert np.isnan(theory.fold_betas(0.6, epsilon=1.0)).all()
    assert np.isnan(theory.fold_betas(1.0)).all()
    assert theory.fold_betas(0.6, anchor=0.0)[0] == np.inf


@pytest.mark.parametrize("anchor", [1.0, 0.6])
@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
def test_flips(anchor, epsilon):
    rho = 1e-5
    betas = theory.flip_betas(rho, anchor=anchor, epsilon=epsilon)
    assert betas[0] < betas[1]
    for beta in betas:
        found = theory.success_fixed_points(rho, beta, anchor=anchor, epsilon=epsilon)
        close(found.multiplier[0], -1, 1e-9)
    most = -2 * (np.arcsinh(1) + np.sqrt(2))
    for shift, none in ((-1e-6, False), (1e-6, True)):
        assert np.isnan(theory.flip_betas(sigmoid(most + shift))).all() == none
    close(theory.flip_betas(sigmoid(most - 1e-10)), [1, 1], 1e-4)
    assert np.isnan(theory.flip_betas(0.7)).all()
    assert np.isnan(theory.flip_betas(0.001, anchor=0.0)).all()


def test_two_cycles_are_where_the_fixed_point_is_unstable():
    low, high = theory.flip_betas(0.001)
    betas = jnp.array([low * 0.999, low * 1.001, 1.0, 3.0, high * 0.999, high * 1.001])
    found = jax.jit(jax.vmap(lambda beta: theory.success_two_cycles(0.001, beta)))(betas)
    assert found.count.tolist() == [0, 1, 1, 1, 1, 0]
    for pair, beta in zip(found.logit[1:5, 0], betas[1:5], strict=True):
        back = [theory.success_map(z, 0.001, beta) for z in pair]
        close(back, pair[::-1], 1e-9)
        assert pair[1] - pair[0] > 1e-3
    close(found.multiplier[1, 0], 1, 0.02)  # born with multiplier 1
    assert np.isnan(found.multiplier[0]).all()
    with mpmath.workdps(30):
        z = mpmath.mpf(-7)
        for _ in range(500):
            z = exact_map_real(z, 0.001, 5.0, 0, 1)
        pair = sorted([float(z), float(exact_map_real(z, 0.001, 5.0, 0, 1))])
    close(theory.success_two_cycles(0.001, 5.0).logit[0], pair, 1e-10)


def test_float32():
    path = theory.success_path(jnp.float32(0.001), 5.0, 3)
    assert path.dtype == jnp.float32
    close(path, theory.success_path(0.001, 5.0, 3), 1e-5)
    found = theory.success_fixed_points(jnp.float32(0.6), jnp.float32(2.0))
    assert found.logit.dtype == jnp.float32
    close(found.logit[:2], theory.success_fixed_points(0.6, 2.0).logit[:2], 1e-5)
    saturated = theory.success_fixed_points(jnp.float32(0.6), jnp.float32(2.0), epsilon=jnp.float32(1e-5))
    close(saturated.logit, theory.success_fixed_points(0.6, 2.0, epsilon=1e-5).logit, 1e-4)
    close(theory.flip_betas(jnp.float32(0.001)), theory.flip_betas(0.001), 1e-5)
    close(theory.fold_betas(jnp.float32(0.6))[0], 1.794112, 1e-5)
    pair = theory.success_two_cycles(jnp.float32(0.001), jnp.float32(5.0)).logit[0]
    assert pair.dtype == jnp.float32
    close(pair, theory.success_two_cycles(0.001, 5.0).logit[0], 1e-4)


def test_vmap_is_loop():
    betas = jnp.array([0.5, 1.0, 2.0, 9.0])
    for function in (theory.success_fixed_points, theory.success_two_cycles):
        many = jax.jit(jax.vmap(lambda beta, f=function: f(0.003, beta)))(betas)
        for i, beta in enumerate(betas):
            for one, row in zip(jax.tree.leaves(function(0.003, beta)), jax.tree.leaves(many), strict=True):
                close(row[i], one)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.success_map(0.0, 1.2, 1.0), r"accuracy_ref: 1.2; must be in \[0, 1\]"),
        (lambda: theory.success_map(0.0, 0.2, -1.0), "beta: -1; must be zero or positive"),
        (
            lambda: theory.success_fixed_points(0.2, 1.0, epsilon=-1.0),
            "epsilon: -1; must be zero or positive",
        ),
        (lambda: theory.success_two_cycles(0.2, 1.0, anchor=2.0), r"anchor: 2; must be in \[0, 1\]"),
        (lambda: theory.success_multiplier(0.0, 0.0), "beta: 0; must be positive"),
        (lambda: theory.success_path(0.2, 1.0, -1), "steps: -1; must be 0 or above"),
        (lambda: theory.fold_betas(-0.1), r"accuracy_ref: -0.1; must be in \[0, 1\]"),
        (lambda: theory.flip_betas(float("nan")), r"accuracy_ref: nan; must be in \[0, 1\]"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- Long runs ---------------------------------------------------------------------------------------------


def test_tails_are_late_rounds():
    path = theory.success_path(0.001, 5.0, 36, logit0=0.3)
    close(theory.success_tail(0.001, 5.0, 30, logit0=0.3, last=7), path[30:])
    assert np.isinf(theory.success_tail(0.001, 0.2, 100, logit0=0.0, last=3)).all()


def test_cycle_lengths():
    n = np.arange(64)
    tails = [0 * n, 0 * n + np.inf, n % 2, n % 4, n % 3, n % 13, np.sin(n**2 / 7.0)]
    lengths = [int(theory.cycle_length(jnp.asarray(tail, float))) for tail in tails]
    assert lengths == [1, -1, 2, 4, 3, 13, 0]
    with pytest.raises(ValueError, match=r"rounds of tail: 16; must be 17 or above"):
        theory.cycle_length(jnp.zeros(16))


def test_one_per_cent_beside_the_boundaries():
    tail = jax.jit(lambda rho, beta: theory.success_tail(rho, beta, 4000, logit0=0.0))
    for rho in (0.05, 0.3, 0.6, 0.9):
        fold = theory.fold_betas(rho)[0]
        assert np.isinf(tail(rho, 0.99 * fold)).all()
        assert np.ptp(tail(rho, 1.01 * fold)) < 1e-6
    for rho in (0.001, 0.003, 0.008):
        low, high = theory.flip_betas(rho)
        swings = [np.ptp(tail(rho, beta)) for beta in (0.99 * low, 1.01 * low, 0.99 * high, 1.01 * high)]
        assert max(swings[0], swings[3]) < 1e-4
        assert min(swings[1], swings[2]) > 0.3
    for kappa in (1.0, 1.5, 5.0):
        fixed = theory.success_fixed_points(0.001, kappa)
        limit = 2 / (1 - fixed.multiplier[0])
        for side, moves in ((0.99, False), (1.01, True)):
            options = {"logit0": fixed.logit[0] + 0.01, "anchor": side * limit}
            swing = np.ptp(theory.success_tail(0.001, kappa / (side * limit), 4000, **options))
            assert (swing > 1e-3) == moves


def test_below_the_overshoot_a_run_from_the_reference_leaves():
    beta = theory.overshoot_beta(0.001)
    ref = np.log(0.001 / 0.999)
    close(theory.success_map(ref, 0.001, beta), -ref)
    assert np.isinf(theory.success_tail(0.001, 0.99 * beta, 200, logit0=ref)).all()
    assert np.isfinite(theory.success_tail(0.001, 1.01 * beta, 200, logit0=ref)).all()
    assert theory.overshoot_beta(0.0) == np.inf
    assert np.isnan(theory.overshoot_beta(0.5))


def test_exponent_of_a_stable_point_is_the_logarithm_of_its_slope():
    slope = theory.success_fixed_points(0.6, 3.0).multiplier[0]
    close(theory.success_exponents(0.6, 3.0, blocks=2), [np.log(abs(slope))] * 2, 1e-9)
    close(theory.success_exponents(0.6, 1.0, blocks=1), [-50.0])


def test_with_epsilon_the_highest_fixed_point_is_one_to_all_purposes():
    for beta in (0.1, 1.0, 1.79):
        assert theory.success_fixed_points(0.6, beta).count == 0
        fixed = theory.success_fixed_points(0.6, beta, epsilon=1e-5)
        assert fixed.count == 1
        close(fixed.logit[0], np.log(1.5) + 1 / (beta * np.sqrt(1e-5)), 1e-2)
