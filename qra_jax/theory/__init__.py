"""Closed forms of the theory and bounds reported in the literature: pure functions of one problem.

Each docstring says where a statement comes from: a reference (*reported*: to be tested) or *derived here*
(tested).
"""

from qra_jax.theory.exponents import Exponents, exponents, grpo_crossover, grpo_drift_share
from qra_jax.theory.feedback import initial_slope, rlif_initial_slope
from qra_jax.theory.noise import noisy_equilibrium
from qra_jax.theory.optimum import optimal_policy
from qra_jax.theory.policy_iteration import (
    FixedPoints,
    TwoCycles,
    flip_betas,
    fold_betas,
    success_fixed_points,
    success_map,
    success_multiplier,
    success_path,
    success_two_cycles,
)
from qra_jax.theory.regimes import Regime, gamma, regime
from qra_jax.theory.sft import sft_log_dose, sft_log_time, sft_mass_needed, sft_policy, sft_quality
from qra_jax.theory.times import fast_rate, transition_time_bound, transition_time_estimate
from qra_jax.theory.two_patterns import two_pattern_logit, two_pattern_time

__all__ = [
    "Exponents",
    "FixedPoints",
    "Regime",
    "TwoCycles",
    "exponents",
    "fast_rate",
    "flip_betas",
    "fold_betas",
    "gamma",
    "grpo_crossover",
    "grpo_drift_share",
    "initial_slope",
    "noisy_equilibrium",
    "optimal_policy",
    "regime",
    "rlif_initial_slope",
    "sft_log_dose",
    "sft_log_time",
    "sft_mass_needed",
    "sft_policy",
    "sft_quality",
    "success_fixed_points",
    "success_map",
    "success_multiplier",
    "success_path",
    "success_two_cycles",
    "transition_time_bound",
    "transition_time_estimate",
    "two_pattern_logit",
    "two_pattern_time",
]
