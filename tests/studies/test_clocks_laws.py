"""What the studies of clocks rest on: times by quadrature, listed groups, the crossover of GRPO's cold start."""

import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import orbit, theory
from qra_jax.algorithm import dr_grpo, filtered_sft, grpo, pass_at_k, reinforce
from qra_jax.problem import Problem


@pytest.mark.parametrize("geometry", ["softmax", "natural"])
def test_times_at_the_ends_are_those_of_the_orbit(geometry):
    depth = np.linspace(0.1, 12.0, 120)
    cold, _ = theory.end_log_times(grpo(8), depth, geometry=geometry)
    rho = 1 / (1 + np.exp(12.0))
    problem = Problem(jnp.log(jnp.array([rho, 1 - rho])), jnp.array([1.0, 0.0]))
    options = {"event": "accuracy", "algorithm": grpo(8), "geometry": geometry}
    np.testing.assert_allclose(cold[-1], orbit.log_hitting_time(problem, 0.5, **options), rtol=1e-6)


def test_times_at_the_ends_are_the_closed_forms():
    depth = np.linspace(0.1, 20.0, 200)
    for algorithm, name in ((reinforce(), "softmax"), (grpo(), "softmax")):
        _, tail = theory.end_log_times(algorithm, depth, geometry=name)
        z = depth[-1]
        exact = z + np.sinh(z) if algorithm.name == "REINFORCE" else 2 * np.sinh(z / 2)
        np.testing.assert_allclose(np.exp(tail[-1]), exact, rtol=1e-6)


def test_the_crossover_is_that_of_large_groups():
    depth = np.linspace(0.1, 20.0, 400)
    cold, _ = theory.end_log_times(grpo(2048), depth)
    local, middle = np.diff(cold) / np.diff(depth), (depth[1:] + depth[:-1]) / 2
    load = 2048 / (1 + np.exp(middle))
    use = (load > 1e-3) & (load < 3)
    np.testing.assert_allclose(local[use], theory.grpo_cold_exponent(load[use]), atol=0.01)
    with pytest.raises(ValueError, match="load"):
        theory.grpo_cold_exponent(0.0)


def test_drift_of_finite_groups_as_a_share_of_the_mean_field():
    found = [float(theory.grpo_drift_share(jnp.asarray(0.01), size)) for size in (8, 16, 64)]
    np.testing.assert_allclose(found, [0.26, 0.37, 0.67], atol=0.005)


@pytest.mark.parametrize(
    "algorithm",
    [grpo(3), grpo(3, resample_silent=True), dr_grpo(3), pass_at_k(2, 3), filtered_sft("both", group_size=3)],
)
def test_listed_groups_have_the_mean_that_the_clock_says(algorithm):
    ref, rate = np.array([0.2, 0.3, 0.5]), np.array([0.9, 0.4, 0.1])
    chances = np.stack([1 - rate, rate], axis=-1)
    found = theory.listed_gradient(algorithm, ref, np.array([0.0, 1.0]), chances)
    expected = float(algorithm.clock(jnp.asarray(ref @ rate))) * ref * (rate - ref @ rate)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_too_many_groups_are_not_listed():
    with pytest.raises(ValueError, match="groups"):
        theory.listed_gradient(grpo(16), np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.eye(2))
