"""Closed forms of the theory and bounds reported in the literature: pure functions of one problem.

Each docstring says where a statement comes from: a reference (*reported*: to be tested) or *derived here*
(tested).
"""

from qra_jax.theory.collapse import diversity_drift, loss_exponent, lundberg_exponent, weight_variance
from qra_jax.theory.coupling import influence, shared_logit_speed
from qra_jax.theory.entropy import entropy_hessian, entropy_rate, entropy_step
from qra_jax.theory.expansion import Expansion, small_step_expansion
from qra_jax.theory.exponents import (
    Exponents,
    exponents,
    grpo_crossover,
    grpo_drift_share,
    grpo_poisson_share,
)
from qra_jax.theory.feedback import initial_slope, rlif_initial_slope, rlif_rise_probability
from qra_jax.theory.length import class_weights, stop_drift
from qra_jax.theory.mixtures import demonstrations, least_share_that_pays, rest_point
from qra_jax.theory.noise import noisy_equilibrium
from qra_jax.theory.optimum import optimal_policy
from qra_jax.theory.orbits import first_integral, orbit_time
from qra_jax.theory.penalties import PENALTIES, half_beta, k3_floor, k3_policy, resting_policy, return_time
from qra_jax.theory.policy_iteration import (
    FixedPoints,
    TwoCycles,
    flip_betas,
    fold_betas,
    policy_iteration_round,
    success_fixed_points,
    success_map,
    success_multiplier,
    success_path,
    success_two_cycles,
)
from qra_jax.theory.regimes import Regime, gamma, regime
from qra_jax.theory.sft import sft_log_dose, sft_log_time, sft_mass_needed, sft_policy, sft_quality
from qra_jax.theory.stability import (
    delay_limit,
    delayed_radius,
    held_radius,
    impulse_response,
    stability_limit,
    two_time_radius,
)
from qra_jax.theory.times import (
    equal_rivals_time,
    fast_rate,
    one_rival_bound,
    transition_time_bound,
    transition_time_estimate,
)
from qra_jax.theory.two_patterns import two_pattern_logit, two_pattern_time

__all__ = [
    "PENALTIES",
    "Expansion",
    "Exponents",
    "FixedPoints",
    "Regime",
    "TwoCycles",
    "class_weights",
    "delay_limit",
    "delayed_radius",
    "demonstrations",
    "diversity_drift",
    "entropy_hessian",
    "entropy_rate",
    "entropy_step",
    "equal_rivals_time",
    "exponents",
    "fast_rate",
    "first_integral",
    "flip_betas",
    "fold_betas",
    "gamma",
    "grpo_crossover",
    "grpo_drift_share",
    "grpo_poisson_share",
    "half_beta",
    "held_radius",
    "impulse_response",
    "influence",
    "initial_slope",
    "k3_floor",
    "k3_policy",
    "least_share_that_pays",
    "loss_exponent",
    "lundberg_exponent",
    "noisy_equilibrium",
    "one_rival_bound",
    "optimal_policy",
    "orbit_time",
    "policy_iteration_round",
    "regime",
    "rest_point",
    "resting_policy",
    "return_time",
    "rlif_initial_slope",
    "rlif_rise_probability",
    "sft_log_dose",
    "sft_log_time",
    "sft_mass_needed",
    "sft_policy",
    "sft_quality",
    "shared_logit_speed",
    "small_step_expansion",
    "stability_limit",
    "stop_drift",
    "success_fixed_points",
    "success_map",
    "success_multiplier",
    "success_path",
    "success_two_cycles",
    "transition_time_bound",
    "transition_time_estimate",
    "two_pattern_logit",
    "two_pattern_time",
    "two_time_radius",
    "weight_variance",
]
