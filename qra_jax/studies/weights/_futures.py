"""What extrapolators make of the first part of a run: accuracies, distances, and how straight paths are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import (
    SIZE,
    TASKS,
    accuracies,
    bases,
    joined,
    model_of,
    pairs,
    reference,
)
from qra_jax.transformer import weights
from qra_jax.transformer.weights import forecast, linearity

SHARES, ALPHAS = (0.1, 0.2, 0.4), (0.3, 0.5)
"""Shares of the run that are given; factors of ExPO beyond the end."""
HOLD, EXPO, LINE, RELEX, RANK_3 = "hold last", "ExPO", "line of every weight", "RELEX", "RELEX, rank 3"
ALPHA_RL = ("AlphaRL, from base", "AlphaRL, as released", "AlphaRL, scaled")
RULES = {
    HOLD: forecast.hold_last,
    EXPO: forecast.expo(0.5),
    LINE: forecast.line,
    RELEX: forecast.relex(),
    RANK_3: forecast.relex(3),
    ALPHA_RL[0]: forecast.alpha_rl("base"),
    ALPHA_RL[1]: forecast.alpha_rl("checkpoint"),
    ALPHA_RL[2]: forecast.alpha_rl("scaled"),
    "PLS": forecast.pls(),
}
MEASURES = ("straight weights", "energy of one direction", "PLS R²")


def given(share: float, windows: int) -> int:
    """Checkpoints that are given, the base among them: three at least."""
    return max(3, 1 + round(share * windows))


def _straight(seen: linearity.Measures) -> jax.Array:
    return jnp.stack([seen.share, seen.energy, seen.pls])


def _alone(params: Any) -> Any:
    """Parameters with a leading axis of one."""
    return jax.tree.map(lambda leaf: leaf[None], params)


def read_all(run: lab.Run, arms: tuple[str, ...]) -> xr.Dataset:
    """Every extrapolator on every run of some arms.

    Args:
      run: the experiment.
      arms: of the reference runs.

    Returns:
      `reached` `[task, arm, seed, share, rule]`, accuracy of the predicted end, and `missed`, its distance from the
      actual one over that of the last checkpoint given; `walked` `[task, arm, seed, share]`, accuracy of a Gaussian
      step from the last checkpoint, as long as the way to the end; `base` and `end` `[task, arm, seed]`; `beyond` and
      `aside` `[task, arm, seed, alpha]`, accuracy of ExPO from the end on, and of a Gaussian step of that length;
      measures of linearity `straight`, `walk` and `walk again` `[task, arm, seed, measure]`, of the run and of random
      walks.
    """
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses, accuracy = reference(run, task, arms, size), accuracies(task, model_of(task, size))
        step = jnp.asarray(courses[arms[0]].step, jnp.float32)

        def read(
            key: jax.Array, base: Any, seen: Any, accuracy: Any = accuracy, step: Any = step
        ) -> dict[str, jax.Array]:
            path, scores = seen
            end = jax.tree.map(lambda leaf: leaf[-1], path)
            guesses, missed, walked = [], [], []
            for share in SHARES:
                count = given(share, len(step) - 1)
                known = jax.tree.map(lambda leaf, count=count: leaf[:count], path)
                last = jax.tree.map(lambda leaf: leaf[-1], known)
                walked.append(accuracy(weights.twin.gaussian(jax.random.fold_in(key, 3), last, end))[0])
                for rule in RULES.values():
                    guess = rule(known, step[:count], scores[:count], step[-1])
                    guesses.append(guess)
                    both = jax.tree.map(lambda a, b: jnp.stack([a[-1], b]), known, end)
                    missed.append(forecast.error(_alone(guess), both)[0])
            for alpha in ALPHAS:
                guesses.append(forecast.expo(alpha)(path, step, scores, step[-1]))
                twin = weights.twin.gaussian(jax.random.fold_in(key, 2), base, end)
                step_of = jax.tree.map(lambda b, t, alpha=alpha: alpha * (t - b), base, twin)
                guesses.append(jax.tree.map(jnp.add, end, step_of))
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *guesses)
            found = jax.lax.map(lambda params: accuracy(params)[0], stacked)
            grid, rest = len(SHARES) * len(RULES), found[len(SHARES) * len(RULES) :].reshape(len(ALPHAS), 2)
            walks = [
                linearity.nulls(jax.random.fold_in(key, i), path, step, scores)["random walk"] for i in (0, 1)
            ]
            return {
                "reached": found[:grid].reshape(len(SHARES), len(RULES)),
                "walked": jnp.stack(walked),
                "missed": jnp.stack(missed).reshape(len(SHARES), len(RULES)),
                "beyond": rest[:, 0],
                "aside": rest[:, 1],
                "straight": _straight(linearity.measures(path, step, scores)),
                "walk": _straight(walks[0]),
                "walk_again": _straight(walks[1]),
            }

        tuned = {arm: (c.params, c.accuracy.astype(np.float32)) for arm, c in courses.items()}
        seen = pairs(read, run.key, bases(run, task, size), tuned)
        seen |= {"base": np.stack([c.accuracy[:, 0] for c in courses.values()])}
        seen |= {"end": np.stack([c.accuracy[:, -1] for c in courses.values()])}
        dims: dict[str, tuple[str, ...]] = dict.fromkeys(("reached", "missed"), ("share", "rule"))
        dims |= {"walked": ("share",)} | dict.fromkeys(("beyond", "aside"), ("alpha",))
        dims |= dict.fromkeys(("straight", "walk", "walk_again"), ("measure",))
        values = {name: (("arm", "seed", *dims.get(name, ())), x) for name, x in seen.items()}
        coords = {"arm": list(courses), "share": list(SHARES), "rule": list(RULES), "alpha": list(ALPHAS)}
        parts[task] = lab.dataset(values, coords | {"measure": list(MEASURES)})
    return joined(parts)
