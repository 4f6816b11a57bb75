"""qra_jax: the question → reason → answer theory of RL post-training, exact, differentiable and batched.

Names are loaded on first use, so that `import qra_jax` is instant and `qra --help` needs no JAX. Algorithms, rewards
and regularizers are found where they enter their registry, and are named nowhere else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax import (
        algorithm as algorithm,
        batching as batching,
        callbacks as callbacks,
        checkpoints as checkpoints,
        claims as claims,
        consult as consult,
        expectation as expectation,
        film as film,
        fit as fit,
        flow as flow,
        geometry as geometry,
        metrics as metrics,
        off_policy as off_policy,
        orbit as orbit,
        parts as parts,
        plot as plot,
        population as population,
        presets as presets,
        problem as problem,
        recipe as recipe,
        registry as registry,
        regularizer as regularizer,
        reward as reward,
        setup as setup,
        shaping as shaping,
        studies as studies,
        sweep as sweep,
        theory as theory,
        training as training,
        trajectory as trajectory,
        transformer as transformer,
        tree as tree,
    )
    from qra_jax.algorithm import *  # noqa: F403
    from qra_jax.batching import many as many
    from qra_jax.off_policy import OffPolicy as OffPolicy
    from qra_jax.population import Population as Population
    from qra_jax.problem import Problem as Problem
    from qra_jax.regularizer import (
        Reference as Reference,
        Regularizer as Regularizer,
        entropy_bonus as entropy_bonus,
        k1_loss as k1_loss,
        k2_loss as k2_loss,
        k3_k2_loss as k3_k2_loss,
        k3_loss as k3_loss,
        reverse_kl as reverse_kl,
    )
    from qra_jax.reward import (
        Reward as Reward,
        answer_entropy as answer_entropy,
        kl_in_reward as kl_in_reward,
        majority_vote as majority_vote,
        policy_vote as policy_vote,
        self_certainty as self_certainty,
        trajectory_log_prob as trajectory_log_prob,
        verifiable as verifiable,
    )
    from qra_jax.setup import Setup as Setup, dapo as dapo
    from qra_jax.shaping import (
        abstaining as abstaining,
        formatted as formatted,
        gated as gated,
        length_term as length_term,
        separately as separately,
        several as several,
        shaped as shaped,
    )
    from qra_jax.trajectory import Status as Status, Trajectory as Trajectory

__version__ = "0.2.0"

_MODULES = [
    "algorithm",
    "batching",
    "callbacks",
    "checkpoints",
    "claims",
    "consult",
    "expectation",
    "film",
    "fit",
    "flow",
    "geometry",
    "metrics",
    "off_policy",
    "orbit",
    "parts",
    "plot",
    "population",
    "presets",
    "problem",
    "recipe",
    "registry",
    "regularizer",
    "reward",
    "setup",
    "shaping",
    "studies",
    "sweep",
    "theory",
    "training",
    "trajectory",
    "transformer",
    "tree",
]
_NAMES = {
    "algorithm": ["Algorithm", "by_clock", "normalized", "switch"],
    "batching": ["many"],
    "off_policy": ["OffPolicy"],
    "population": ["Population"],
    "problem": ["Problem"],
    "regularizer": ["Reference", "Regularizer"],
    "reward": ["Reward", "kl_in_reward"],
    "setup": ["Setup", "dapo"],
    "shaping": ["separately"],
    "trajectory": ["Status", "Trajectory"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_MODULES, *_HOME])  # pyright: ignore[reportUnsupportedDunderAll]


def _registries() -> tuple[Any, ...]:
    """The lists of all parts."""
    registry = importlib.import_module(f"{__name__}.registry")
    registry.load_own()
    return registry.ALGORITHMS, registry.REWARDS, registry.REGULARIZERS


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if not name.startswith("_"):
        for parts in _registries():
            try:
                return parts[name]
            except KeyError:
                continue
            except ValueError as error:  # of another package, and broken
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    factories = [name for parts in _registries() for name in parts]
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__, *factories])
