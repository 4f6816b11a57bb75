"""A recipe: phases in sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.recipe import run as _run, text
from qra_jax.recipe.phases import Phase


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Recipe:
    """Phases of post-training in sequence; a pytree in all its numbers.

    Attributes:
      phases: made by `sft`, `rlvr`, `rlif` and `interleaved`.

    >>> import qra_jax as qra
    >>> from qra_jax import recipe
    >>> problem = qra.problem.examples.worked()
    >>> plan = recipe.Recipe((recipe.sft(demonstrations=.5, time=8.), recipe.rlvr(until=.99)))
    >>> print(round(float(jnp.exp(plan.run(problem).log_cost)), 1))
    176.4
    """

    phases: Sequence[Phase]

    def __post_init__(self) -> None:
        if isinstance(self.phases, (Phase, str)):
            _check.parts("phases", self.phases, Phase)
        if isinstance(self.phases, Sequence):
            if not self.phases:
                raise ValueError("phases: empty; must be at least one")
            object.__setattr__(self, "phases", tuple(self.phases))

    def __repr__(self) -> str:
        phases = self.phases if isinstance(self.phases, tuple) else (self.phases,)
        lines = [phase.summary if isinstance(phase, Phase) else repr(phase) for phase in phases]
        return "Recipe(\n  " + ",\n  ".join(lines) + ",\n)"

    def run(
        self,
        problem: Problem,
        *,
        key: Any = None,
        log_policy0: Any = None,
        features: Any = None,
        saves: int = 0,
        max_steps: int = 1024,
        stiff: bool = False,
        adjoint: diffrax.AbstractAdjoint | None = None,
    ) -> _run.RecipeRun:
        r"""RecipeRun the phases one after the other, each from where the one before ended.

        KL terms and demonstrations refer to the problem's own reference policy throughout. The outcome is
        differentiable in every number of the recipe, the problem and `log_policy0` where all phases run as orbit,
        flow or mean: these are true derivatives of the quantities that the phase computes (orbits and the ends of
        flows at `until` by the implicit function theorem, mean training step by step; the *number of steps* to
        `until` is whole and has none). A *sampled* phase is a function of its random numbers with jumps: a
        derivative is refused, or holds the drawn rollouts fixed and is not that of the expectation; use `"mean"` or
        the flow to design, and sampled runs to check.

        Args:
          problem: the question, or several (leading axis `[questions]`) that share settings.
          key: PRNG key; needed by sampled phases.
          log_policy0: `[*questions, patterns]`, log π to start from; default: the reference policy.
          features: `[questions, patterns, features]`, Φ of shared parameters, θ_q = log π_q + Φ_q w with w = 0 at the
            start of each phase; not for orbits.
          saves: policies to save on the way of each phase.
          max_steps: most solver steps of a flow; a gradient keeps as many states.
          stiff: implicit solver for flows, for strong KL terms over long times.
          adjoint: how flows are differentiated (default: in reverse mode); `diffrax.ForwardMode()` for
            `jax.jvp` and `jax.jacfwd`.

        Returns:
          A `RecipeRun`.

        Raises:
          ValueError: shapes that do not fit, no key for a sampled phase, or something that a phase cannot do.
        """
        _check.problem(problem)
        _check.parts("phases", self.phases, Phase)
        if key is not None:
            _check.key(key)
        dtype, shape = problem.log_ref.dtype, problem.log_ref.shape
        if len(shape) not in (1, 2):
            raise ValueError(f"problem: shape {shape}; must be [patterns] or [questions, patterns]")
        start = problem.log_ref if log_policy0 is None else jnp.asarray(log_policy0, dtype)
        if start.shape != shape:
            raise ValueError(f"log_policy0: shape {start.shape}; must be {shape}")
        if features is not None:
            features = jnp.asarray(features, dtype)
            if len(shape) != 2 or features.shape[:-1] != shape:
                raise ValueError(
                    f"features: shape {features.shape}; must be [questions, patterns, features] for {shape}"
                )
        _check.integer("saves", saves, low=0)
        for place, phase in enumerate(self.phases):
            if phase.steps is not None and saves > phase.steps:
                raise ValueError(
                    f"saves: {saves}; must be at most {phase.steps}, the steps of phases[{place}]"
                )
            _fits(f"phases[{place}]", phase, problem, key, features)
        seed = jnp.zeros((len(self.phases), 2, *shape[:-1]), jnp.uint32)
        if key is not None:
            seed = jax.random.bits(key, seed.shape, jnp.uint32)
        return _run.run(
            jax.tree.map(lambda number: jnp.asarray(number, dtype), tuple(self.phases)),
            problem,
            start,
            seed,
            features,
            saves=saves,
            max_steps=max_steps,
            stiff=stiff,
            adjoint=adjoint,
        )

    def to_toml(self) -> str:
        """The recipe as TOML text, from which [`from_toml`][] makes an equal one.

        Raises:
          ValueError: a part that this package did not make, or traced numbers.
        """
        return text.dump(tuple(self.phases))

    @classmethod
    def from_toml(cls, source: str | Path) -> Recipe:
        """Read a recipe from TOML.

        Args:
          source: path of a file (a `Path`, or a name ending in .toml), or the text itself.

        Returns:
          A `Recipe`.

        Raises:
          ValueError: no TOML, unknown keys (with the nearest known one), or arguments out of range.
        """
        return cls(text.load(source))

    @classmethod
    def from_dict(cls, table: Any) -> Recipe:
        """Build a recipe from the plain data of its TOML form, `{"phase": [{"kind": "sft", …}, …]}`.

        Raises:
          ValueError: as for [`from_toml`][].
        """
        return cls(text.parse(table))


def _fits(place: str, phase: Phase, problem: Problem, key: Any, features: Any) -> None:
    """What only shows with the problem at hand."""
    shape = problem.log_ref.shape
    if phase.mixture is not None and not isinstance(phase.mixture, Tracer):
        size = jnp.shape(phase.mixture)
        if size not in (shape, shape[-1:]):
            raise ValueError(f"{place}.mixture: shape {size}; must be {shape[-1:]} or {shape}")
    if phase.runner == "orbit" and features is not None:
        raise ValueError(f"{place}.runner: 'orbit' with shared features; must be 'flow', 'mean' or 'sampled'")
    if phase.runner == "orbit" and phase.until is not None and len(shape) == 2:
        raise ValueError(
            f"{place}.runner: 'orbit' with `until` and several questions; must be 'flow', or vmap"
        )
    if phase.runner == "sampled":
        if key is None:
            raise ValueError("key: missing; sampled phases need a PRNG key")
        if phase.algorithm is not None and phase.algorithm.group_size is None:
            raise ValueError(
                f"{place}.algorithm: {phase.algorithm.name} without group_size; must be 1 or above"
            )
        if phase.reward is not None and not phase.reward.binary:
            if phase.unsolved is not None:
                raise ValueError(f"{place}.reward: {phase.reward.name!r} with `unsolved`; must be binary")
            if phase.algorithm is not None and phase.algorithm.resamples_silent:
                raise ValueError(
                    f"{place}.reward: {phase.reward.name!r} with {phase.algorithm.name}; must be binary"
                )
