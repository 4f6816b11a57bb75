"""What studies of updates share: checkpoints, Gaussian updates, comparisons of arms, and claims with controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import LEAST, WITHIN, Course, equal_gain
from qra_jax.transformer import weights
from qra_jax.transformer.model import Params

GRPO, AGAIN, STALE, FILTERED, SHOWN = (
    "GRPO, Adam",
    "GRPO, Adam, again",
    "GRPO, off-policy",
    "filtered SFT⁺",
    "SFT",
)
RL = ("GRPO, SGD", GRPO)
SIDES = {
    "policy": {"loss of RL": (GRPO, STALE), "loss of SFT": (FILTERED, SHOWN)},
    "loss": {"on the policy": (GRPO, FILTERED), "off it": (STALE, SHOWN)},
}
"""Pairs of arms that differ in one factor, its first level and its second one, by the level of the other factor."""
OWN, GAUSSIAN, TWIN = "own", "Gaussian", "Gaussian twin"
"""Updates that are judged: of a run, Gaussian ones in its place; and Gaussian ones that both are compared with."""
NUMBER = 8
"""Gaussian updates of one group: every number of theirs is a mean over such a group."""
ELSEWHERE = "another base"
END, MATCHED = "the end", "equal accuracy"
SHORT = 1.5e-3
"""Length of an update, as a share of the weights', that is usual of language models."""
NEAR = WITHIN
"""How far from an equal gain a checkpoint may be, as a share of the gain."""


def ends(courses: dict[str, Course]) -> tuple[dict[str, dict[str, Params]], np.ndarray]:
    """Networks at the end and where they have half of the gain of GRPO with Adam, as `equal_gain` finds it.

    Args:
      courses: by arm, GRPO with Adam among them.

    Returns:
      Parameters `[bases, ...]` by `END` or `MATCHED` and arm; how far the gains are from that of the second, as
      shares of GRPO's, `[arms, bases]`; infinite for bases of which GRPO makes nothing.
    """
    equal, whole = equal_gain(courses), courses[GRPO].accuracy
    found = {
        END: {arm: course.at(-1) for arm, course in courses.items()},
        MATCHED: {arm: course.at(equal.at[arm]) for arm, course in courses.items()},
    }
    gain = whole[:, -1] - whole[:, 0]
    apart = (equal.reached - equal.goal).values / np.where(gain > LEAST, gain, 1.0)
    return found, np.where(gain > LEAST, apart, np.inf)


def abroad(tuned: dict[str, dict[str, Any]], base: Params) -> dict[str, dict[str, Any]]:
    """The same with what GRPO makes of the next base, and this base, under `ELSEWHERE`.

    Args:
      tuned: parameters by time and arm.
      base: `[bases, ...]`.
    """
    turned = {at: {"base": base, "tuned": arms[GRPO]} for at, arms in tuned.items()}
    turned = jax.tree.map(lambda x: np.roll(x, 1, axis=0), turned)
    return {at: arms | {ELSEWHERE: turned[at]} for at, arms in tuned.items()}


def updates(key: Array, base: Params, tuned: Params) -> dict[str, Array]:
    """The update of every matrix, and two groups of Gaussian ones of its length: `[1 + 2 NUMBER, rows, cols]`."""

    change = weights.parts.select(weights.parts.update(base, tuned))
    ends = np.cumsum([delta.size for delta in change.values()])
    # As `weights.twin.gaussian` does; a single draw for all matrices compiles in a third of the time.
    drawn = jnp.split(jax.random.normal(key, (2 * NUMBER, ends[-1]), jnp.float32), ends[:-1], axis=1)
    found = {}
    for (name, delta), flat in zip(change.items(), drawn, strict=True):
        noise = flat.reshape(2 * NUMBER, *delta.shape)
        found[name] = jnp.concatenate([delta[None], noise * (norms(delta) / norms(noise))])
    return found


def updates_of(key: Array, bases: list[Params], tuned: list[Params]) -> dict[str, Array]:
    """The same of several networks, each from its base, `[networks, 1 + 2 NUMBER, rows, cols]`."""
    before, now = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *every) for every in (bases, tuned))
    return jax.vmap(updates)(jax.random.split(key, len(tuned)), before, now)


def norms(matrix: Array) -> Array:
    """Frobenius norms, `[..., 1, 1]`."""
    return jnp.linalg.norm(matrix, axis=(-2, -1), keepdims=True)


def moved(w0: Array, delta: Array, length: Any = SHORT) -> Array:
    """Which weights differ in bfloat16 if an update has this length, as a share of that of the weights.

    Args:
      w0: `[rows, cols]`.
      delta: `[..., rows, cols]`.
      length: > 0, a number or `[..., 1, 1]`.

    Returns:
      `[..., rows, cols]`.
    """
    far = w0 + delta * (length * norms(w0) / norms(delta))
    return weights.masks.changed(jnp.broadcast_to(w0, far.shape), far)


def averaged(values: list[Array]) -> Array:
    """Mean over matrices."""
    return jnp.mean(jnp.stack(values), axis=0)


def grouped(values: Array) -> Array:
    """Means over groups: of `[..., 1 + groups * NUMBER]`, the first as it is, `[..., 1 + groups]`."""
    rest = values[..., 1:].reshape(*values.shape[:-1], -1, NUMBER)
    return jnp.concatenate([values[..., :1], jnp.mean(rest, axis=-1)], axis=-1)


def excess(values: xr.DataArray, update: str = OWN) -> xr.DataArray:
    """Values of an update less those of its Gaussian twin."""
    return values.sel(update=update, drop=True) - values.sel(update=TWIN, drop=True)


def over_gaussian(words: str, values: xr.DataArray, update: str) -> lab.Estimate:
    """Ratio of the values of an update and of its Gaussian twin."""
    both = values.sel(update=update, drop=True), values.sel(update=TWIN, drop=True)
    return lab.ratio(f"{words} / that of Gaussian updates", *both)


def beside(
    words: str, first: xr.DataArray, second: xr.DataArray, apart: xr.DataArray, side: str
) -> lab.Estimate:
    """One arm less another, pair by pair, by task, at the end and at equal gain.

    At equal gain all pairs are of the same networks: those in which all four arms come near enough.

    Args:
      words: what it is.
      first: `[task, at, seed, arm]`, of the first arm of each pair.
      second: of the second one.
      apart: how far from equal a gain is, `[task, seed, arm]`.
      side: a name of `SIDES`.
    """
    every = [arm for pair in SIDES[side].values() for arm in pair]
    apart, rows = abs(apart.sel(arm=every)).max("arm", skipna=False), {}
    near = ~(apart > NEAR)  # unknown ones stay, as unknown
    for task in first.task.values:
        same, known = near.sel(task=task).values, apart.sel(task=task, drop=True).notnull()
        for at in first["at"].values:
            for level, (one, other) in SIDES[side].items():
                here = {"task": task, "at": at, "drop": True}
                less = first.sel(arm=one, **here) - second.sel(arm=other, **here)
                rows[f"{level}, {at} ({task})"] = lab.mean(
                    words, less.where(known)[same] if at == MATCHED else less
                )
    counts = {str(task): int(near.sel(task=task).sum()) for task in first.task.values}
    told = ", ".join(f"{count} of {near.sizes['seed']} ({task})" for task, count in counts.items())
    return replace(lab.stacked("run", rows), quantity=f"{words}; networks at equal gain: {told}")


def judged(
    study: lab.Study,
    name: str,
    statement: str,
    origin: Any,
    judge: Callable[..., lab.Evidence],
    *what: Any,
    null: dict[str, tuple],
    positive: dict[str, tuple] | None = None,
) -> lab.Claim:
    """A claim whose controls are the same test of something else.

    Args:
      study: that claims it.
      name: of the claim.
      statement: what is tested.
      origin: whose claim it is.
      judge: `(data, *what)` to evidence.
      what: is tested.
      null: what is tested in its place, in words: there the effect is absent.
      positive: likewise, where it is present.

    Returns:
      The claim.
    """

    def of(what: tuple) -> Callable[[lab.Data], lab.Evidence]:
        return lambda data: judge(data, *what)

    own = of(what)
    own.__name__ = name
    claim = study.claim(statement, origin=origin)(own)
    for words, other in null.items():
        claim.null(words)(of(other))
    for words, other in (positive or {}).items():
        claim.positive(words)(of(other))
    return claim


def singly(function: Callable[..., Any], *arrays: Array) -> Any:
    """A function of single matrices for many, one after the other.

    Args:
      function: takes matrices.
      arrays: `[..., rows, cols]`; the first has all the leading axes.
    """
    lead = arrays[0].shape[:-2]
    each = [jnp.broadcast_to(x, (*lead, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in arrays]
    found = jax.lax.map(lambda one: function(*one), tuple(each))
    return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), found)
