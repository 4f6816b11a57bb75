"""What extrapolators make of the first part of a run: accuracies, distances, and how straight paths are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import (
    LEAST,
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

SHARES, ALPHAS = (0.1, 0.2, 0.4), (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Shares of the run that are asked for, of which the nearest checkpoints are given; factors of ExPO."""
MIDDLE, END = "two fifths of the run", "the end"
"""Where ExPO goes on from."""
HOLD, CHORD, LINE, RELEX, RANK_3 = (
    "hold last",
    "line from base to last",
    "line of every weight",
    "RELEX",
    "RELEX, rank 3",
)
ALPHA_RL = ("AlphaRL, from base", "AlphaRL, as released", "AlphaRL, scaled")
RULES = {
    HOLD: forecast.hold_last,
    CHORD: forecast.chord,
    LINE: forecast.line,
    RELEX: forecast.relex(),
    RANK_3: forecast.relex(3),
    ALPHA_RL[0]: forecast.alpha_rl("base"),
    ALPHA_RL[1]: forecast.alpha_rl("checkpoint"),
    ALPHA_RL[2]: forecast.alpha_rl("scaled"),
    "PLS": forecast.pls(),
}
MEASURES = ("straight weights", "energy of one direction", "PLS R²")
PATHS = ("straight", "walk", "walk_again", "permuted")


def given(share: float, windows: int) -> int:
    """Checkpoints that are given, the base among them: three at least."""
    return max(3, 1 + round(share * windows))


def _straight(seen: linearity.Measures) -> jax.Array:
    return jnp.stack([seen.share, seen.energy, seen.pls])


def _moved(params: Any, by: Any, alpha: float) -> Any:
    """Parameters after a multiple of a step."""
    return jax.tree.map(lambda x, step: x + alpha * step, params, by)


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
      step from the last checkpoint, as long as the way to the end; `base`, `late` and `end` `[task, arm, seed]`, and
      whether a run has `gained`; `beyond` and `aside` `[task, arm, seed, start, alpha]`, accuracy of ExPO, and of a
      Gaussian step of that length; measures of linearity `[task, arm, seed, measure]`, `straight` of the run, `walk`
      and `walk_again` of random walks and `permuted` of the run with its checkpoints permuted; shares that are really
      `given` `[task, share]`.
    """
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses, accuracy = reference(run, task, arms, size), accuracies(task, model_of(task, size))
        step = jnp.asarray(courses[arms[0]].step, jnp.float32)
        counts = [given(share, size.windows) for share in SHARES]

        def read(
            key: jax.Array,
            base: Any,
            seen: Any,
            accuracy: Any = accuracy,
            step: Any = step,
            counts: Any = counts,
        ) -> dict[str, jax.Array]:
            path, scores = seen
            end = jax.tree.map(lambda leaf: leaf[-1], path)
            guesses, walked, missed = [], [], []
            for count in counts:
                known = jax.tree.map(lambda leaf, count=count: leaf[:count], path)
                last = jax.tree.map(lambda leaf: leaf[-1], known)
                walked.append(weights.twin.gaussian(jax.random.fold_in(key, 3), last, end))
                both = jax.tree.map(lambda a, b: jnp.stack([a, b]), last, end)
                for rule in RULES.values():
                    guesses.append(rule(known, step[:count], scores[:count], step[-1]))
                    missed.append(forecast.error(_alone(guesses[-1]), both)[0])
            ahead = []
            for start in (last, end):
                away = weights.parts.update(base, start)
                noise = weights.parts.update(
                    base, weights.twin.gaussian(jax.random.fold_in(key, 2), base, start)
                )
                ahead += [_moved(start, by, alpha) for by in (away, noise) for alpha in ALPHAS]
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *guesses, *walked, *ahead)
            found = jax.lax.map(lambda params: accuracy(params)[0], stacked)
            grid = len(guesses)
            both = found[grid + len(walked) :].reshape(2, 2, len(ALPHAS))
            own = weights.parts.select(path)
            mixed = jax.random.permutation(jax.random.fold_in(key, 4), len(step) - 1) + 1

            def paths(name: str, leaf: jax.Array) -> jax.Array:
                keys = (jax.random.fold_in(key, 5 + len(own) * i + list(own).index(name)) for i in (0, 1))
                walks = [linearity.random_walk(k, step, leaf.shape[1:]) for k in keys]
                return jnp.stack([leaf, *walks, leaf[jnp.concatenate([jnp.zeros(1, mixed.dtype), mixed])]])

            stacked = weights.parts.grown({name: paths(name, leaf) for name, leaf in own.items()})
            linear = jax.vmap(lambda one: _straight(linearity.measures(one, step, scores)))(stacked)
            return {
                "reached": found[:grid].reshape(len(SHARES), len(RULES)),
                "walked": found[grid : grid + len(walked)],
                "missed": jnp.stack(missed).reshape(len(SHARES), len(RULES)),
                "beyond": both[:, 0],
                "aside": both[:, 1],
            } | dict(zip(PATHS, linear, strict=True))

        tuned = {arm: (c.params, c.accuracy.astype(np.float32)) for arm, c in courses.items()}
        seen = pairs(read, run.key, bases(run, task, size), tuned)
        seen |= {"base": np.stack([c.accuracy[:, 0] for c in courses.values()])}
        seen |= {"end": np.stack([c.accuracy[:, -1] for c in courses.values()])}
        seen |= {"late": np.stack([c.accuracy[:, -2] for c in courses.values()])}
        seen |= {"gained": seen["end"] - seen["base"] > LEAST}
        dims: dict[str, tuple[str, ...]] = dict.fromkeys(("reached", "missed"), ("share", "rule"))
        dims |= {"walked": ("share",)} | dict.fromkeys(("beyond", "aside"), ("start", "alpha"))
        dims |= dict.fromkeys(PATHS, ("measure",))
        values: dict[str, Any] = {name: (("arm", "seed", *dims.get(name, ())), x) for name, x in seen.items()}
        values["given"] = (("share",), [(count - 1) / size.windows for count in counts])
        coords = {"arm": list(courses), "share": list(SHARES), "rule": list(RULES), "alpha": list(ALPHAS)}
        coords |= {"start": [MIDDLE, END], "measure": list(MEASURES)}
        parts[task] = lab.dataset(values, coords)
    return joined(parts)
