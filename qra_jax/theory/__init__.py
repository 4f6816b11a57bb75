"""Closed forms of the theory and bounds reported in the literature: pure functions of one problem.

Each docstring says where a statement comes from: a reference (*reported*: to be tested) or *derived here*
(tested).

Names are loaded on first use: what one of them needs, the others do not wait for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax.theory.collapse import (
        diversity_drift as diversity_drift,
        loss_exponent as loss_exponent,
        lundberg_exponent as lundberg_exponent,
        weight_variance as weight_variance,
    )
    from qra_jax.theory.coupling import (
        influence as influence,
        shared_logit_speed as shared_logit_speed,
    )
    from qra_jax.theory.entropy import (
        entropy_hessian as entropy_hessian,
        entropy_rate as entropy_rate,
        entropy_step as entropy_step,
    )
    from qra_jax.theory.expansion import (
        Expansion as Expansion,
        small_step_expansion as small_step_expansion,
    )
    from qra_jax.theory.feedback import (
        initial_slope as initial_slope,
        rlif_fates as rlif_fates,
        rlif_initial_slope as rlif_initial_slope,
        rlif_rise_probability as rlif_rise_probability,
    )
    from qra_jax.theory.length import (
        class_weights as class_weights,
        stop_drift as stop_drift,
    )
    from qra_jax.theory.listing import (
        listed_gradient as listed_gradient,
    )
    from qra_jax.theory.mixtures import (
        demonstrations as demonstrations,
        least_share_that_pays as least_share_that_pays,
        rest_point as rest_point,
    )
    from qra_jax.theory.noise import (
        noisy_equilibrium as noisy_equilibrium,
    )
    from qra_jax.theory.optimum import (
        optimal_policy as optimal_policy,
    )
    from qra_jax.theory.orbits import (
        first_integral as first_integral,
        orbit_time as orbit_time,
        path_distance as path_distance,
    )
    from qra_jax.theory.penalties import (
        PENALTIES as PENALTIES,
        half_beta as half_beta,
        k3_floor as k3_floor,
        k3_policy as k3_policy,
        resting_policy as resting_policy,
        return_time as return_time,
    )
    from qra_jax.theory.policy_iteration import (
        FixedPoints as FixedPoints,
        TwoCycles as TwoCycles,
        cycle_length as cycle_length,
        flip_betas as flip_betas,
        fold_betas as fold_betas,
        overshoot_beta as overshoot_beta,
        policy_iteration_path as policy_iteration_path,
        policy_iteration_round as policy_iteration_round,
        success_exponents as success_exponents,
        success_fixed_points as success_fixed_points,
        success_map as success_map,
        success_multiplier as success_multiplier,
        success_path as success_path,
        success_tail as success_tail,
        success_two_cycles as success_two_cycles,
    )
    from qra_jax.theory.regimes import (
        Regime as Regime,
        first_move as first_move,
        gamma as gamma,
        regime as regime,
    )
    from qra_jax.theory.scaling import (
        Exponents as Exponents,
        end_log_times as end_log_times,
        exponents as exponents,
        grpo_cold_exponent as grpo_cold_exponent,
        grpo_crossover as grpo_crossover,
        grpo_drift_share as grpo_drift_share,
        grpo_poisson_share as grpo_poisson_share,
    )
    from qra_jax.theory.sft import (
        best_split as best_split,
        sft_log_dose as sft_log_dose,
        sft_log_time as sft_log_time,
        sft_mass_needed as sft_mass_needed,
        sft_policy as sft_policy,
        sft_policy_after as sft_policy_after,
        sft_quality as sft_quality,
    )
    from qra_jax.theory.stability import (
        delay_limit as delay_limit,
        delayed_radius as delayed_radius,
        held_radius as held_radius,
        impulse_response as impulse_response,
        stability_limit as stability_limit,
        two_time_radius as two_time_radius,
    )
    from qra_jax.theory.times import (
        equal_rivals_time as equal_rivals_time,
        fast_rate as fast_rate,
        one_rival_bound as one_rival_bound,
        transition_time_bound as transition_time_bound,
        transition_time_estimate as transition_time_estimate,
    )
    from qra_jax.theory.two_patterns import (
        two_pattern_logit as two_pattern_logit,
        two_pattern_time as two_pattern_time,
    )

_NAMES = {
    "collapse": ["diversity_drift", "loss_exponent", "lundberg_exponent", "weight_variance"],
    "coupling": ["influence", "shared_logit_speed"],
    "entropy": ["entropy_hessian", "entropy_rate", "entropy_step"],
    "expansion": ["Expansion", "small_step_expansion"],
    "scaling": [
        "Exponents",
        "end_log_times",
        "exponents",
        "grpo_cold_exponent",
        "grpo_crossover",
        "grpo_drift_share",
        "grpo_poisson_share",
    ],
    "feedback": ["initial_slope", "rlif_fates", "rlif_initial_slope", "rlif_rise_probability"],
    "length": ["class_weights", "stop_drift"],
    "listing": ["listed_gradient"],
    "mixtures": ["demonstrations", "least_share_that_pays", "rest_point"],
    "noise": ["noisy_equilibrium"],
    "optimum": ["optimal_policy"],
    "orbits": ["first_integral", "orbit_time", "path_distance"],
    "penalties": ["PENALTIES", "half_beta", "k3_floor", "k3_policy", "resting_policy", "return_time"],
    "policy_iteration": [
        "FixedPoints",
        "TwoCycles",
        "cycle_length",
        "flip_betas",
        "fold_betas",
        "overshoot_beta",
        "policy_iteration_path",
        "policy_iteration_round",
        "success_exponents",
        "success_fixed_points",
        "success_map",
        "success_multiplier",
        "success_path",
        "success_tail",
        "success_two_cycles",
    ],
    "regimes": ["Regime", "first_move", "gamma", "regime"],
    "sft": [
        "best_split",
        "sft_log_dose",
        "sft_log_time",
        "sft_mass_needed",
        "sft_policy",
        "sft_policy_after",
        "sft_quality",
    ],
    "stability": [
        "delay_limit",
        "delayed_radius",
        "held_radius",
        "impulse_response",
        "stability_limit",
        "two_time_radius",
    ],
    "times": [
        "equal_rivals_time",
        "fast_rate",
        "one_rival_bound",
        "transition_time_bound",
        "transition_time_estimate",
    ],
    "two_patterns": ["two_pattern_logit", "two_pattern_time"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__])
