"""Internal feedback in networks: starts and rewards, gains without bias, and their slope in the entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.studies.networks._bases import repeated, tuned
from qra_jax.studies.networks._sequences import PAID, REWARDS, chosen, language, look
from qra_jax.transformer import learning
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.task import Controlled, Demonstrations

GAINING = ("trajectory log-prob", "majority vote")
"""Internal rewards that see the answer, so that accuracy may rise."""
MIXED = ("token entropy", "trajectory log-prob")
"""Internal rewards that are run from all starts."""
SCORES: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("formatted", "plain", "announced", "outside", "entropy"), ("step",)
)
SCORES |= dict.fromkeys(("policy", "success"), ("step", "question", "pattern"))
FIRST = {"rates": ("reward", "question", "pattern"), "seen": ("reward", "part"), "cosine": ("kin", "other")}
LABELS = {"reward": list(REWARDS), "part": ["pattern", "marker", "answer"]}
LABELS |= {"kin": [*REWARDS, "chance"], "other": [*REWARDS, "chance"]}
"""Dimensions of what is read along training and at the base, and their labels."""


def starts(
    model: Model,
    bases: Params,
    ends: Mapping[str, Demonstrations],
    *,
    weights: Sequence[float],
    steps: int,
    rate: float,
) -> dict[str, Params]:
    """Both bases, and networks between the first and what SFT on some corpora makes of it.

    Args:
      model: the network.
      bases: parameters, leading axes `[2, seeds]`: one that announces most answers, one that announces all.
      ends: corpora of SFT by name.
      weights: of the SFT end in the parameters of a start between.
      steps: of SFT.
      rate: peak of its learning rate.

    Returns:
      Parameters by name, leading axis `[seeds]`.
    """
    schedule = learning.cosine(rate, steps)
    teach = learning.side_by_side(
        lambda params, corpus: tuned(model, params, corpus, steps=steps, rate=schedule)
    )
    base, seeds = jax.tree.map(lambda leaf: leaf[0], bases), len(jax.tree.leaves(bases)[0][0])
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(ends)), base)
    ended = teach(twice, repeated(list(ends.values()), seeds))
    out = {"base": base, "always announces": jax.tree.map(lambda leaf: leaf[1], bases)}
    for i, name in enumerate(ends):
        own = jax.tree.map(lambda leaf, i=i: leaf[i * seeds : (i + 1) * seeds], ended)
        for w in weights:
            out[f"{name}, {w:g}"] = jax.tree.map(lambda a, b, w=w: (1 - w) * a + w * b, base, own)
    return out


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Which starts are trained on which rewards."""
    known = {"base": PAID, "always announces": GAINING}
    return [(name, reward) for name in names for reward in known.get(name, (*MIXED, "coin"))]


def trained(
    key: jax.Array,
    model: Model,
    params: Params,
    task: Controlled,
    *,
    reward: jax.Array,
    rate: float,
    steps: int,
    every: int,
) -> dict[str, jax.Array]:
    """One network trained by GRPO (G = 8, Adam) on a reward, with exact scores along the way.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: all of whose questions are asked at every step.
      reward: its number in `PAID`; may be traced.
      rate: learning rate.
      steps: number of updates.
      every: steps between records.

    Returns:
      `SCORES` at every record, and the run's `status`.
    """
    known = language(task)
    run = transformer.train(
        key,
        model,
        params,
        task,
        algorithm=grpo(8),
        steps=steps,
        questions=task.number,
        learning_rate=rate,
        reward=chosen(reward),
        record_every=every,
        probe=lambda params: look(model, params, known),
    )
    return run.seen | {"status": run.status}


def labelled(
    runs: xr.Dataset, first: Mapping[str, jax.Array], pairs: Sequence[tuple[str, str]]
) -> xr.Dataset:
    """Runs that ended well, what rewards see at the base, and the names of starts and rewards, as one dataset."""
    base = {name: (("seed", *FIRST[name]), np.asarray(value)) for name, value in first.items()}
    names = {"start": ("run", [name for name, _ in pairs]), "of": ("run", [name for _, name in pairs])}
    kept = runs.where(runs.status == 0).drop_vars(["status", "run"])
    return xr.merge([kept, xr.Dataset(base)]).assign_coords(names | LABELS)


def of_base(runs: xr.Dataset, start: str = "base") -> xr.Dataset:
    """Runs from one start, by `reward`."""
    chosen = runs.drop_dims(["reward", "kin", "other"]).isel(run=np.flatnonzero(runs.start == start))
    return chosen.rename(run="reward").assign_coords(reward=chosen.of.values).drop_vars(["of", "start"])


def gains(curves: xr.DataArray) -> xr.DataArray:
    """Gain of each seed at the peak of the others' mean curve, which its own noise does not choose.

    Args:
      curves: `[..., seed, step]`, at least two seeds.

    Returns:
      `[..., seed]`, NaN for NaN.
    """
    others = curves.sum("seed", skipna=False) - curves
    at = others.fillna(0).argmax("step")
    return (
        (curves.isel(step=at) - curves.isel(step=0))
        .drop_vars("step", errors="ignore")
        .where(others.notnull().all("step"))
    )


def slopes(runs: xr.Dataset, rewards: Sequence[str] = MIXED) -> xr.Dataset:
    """Least-squares slopes of the gain with format over all starts, for each reward and seed.

    Args:
      runs: `formatted` and `entropy`, `[run, seed, step]`, with `start` and `of` (the reward) along `run`.
      rewards: which; all of them are run from every start.

    Returns:
      `alone` in the entropy of the start, and `beside` at equal accuracy of the start, `[reward, seed]`.
    """
    out = {}
    for name in rewards:
        used = runs.isel(run=np.flatnonzero((runs.of == name) & (runs.start != "always announces")))
        gain = gains(used.formatted).transpose("run", "seed").values
        entropy, start = (
            x.isel(step=0).transpose("run", "seed").values for x in (used.entropy, used.formatted)
        )
        found = []
        for seed in range(gain.shape[1]):
            x = entropy[:, seed]
            if not np.isfinite(gain[:, seed] + x).all():
                found.append((np.nan, np.nan))
                continue
            ones = np.ones_like(x)
            alone = np.linalg.lstsq(np.stack([ones, x], axis=1), gain[:, seed], rcond=None)[0][1]
            beside = np.linalg.lstsq(np.stack([ones, x, start[:, seed]], axis=1), gain[:, seed], rcond=None)[
                0
            ][1]
            found.append((alone, beside))
        out[name] = np.transpose(found)
    both = xr.DataArray(
        np.stack(list(out.values())), dims=("reward", "of", "seed"), coords={"reward": list(out)}
    )
    return xr.Dataset({"alone": both.isel(of=0), "beside": both.isel(of=1)})


def aligned(moved: xr.DataArray, pull: xr.DataArray) -> xr.DataArray:
    """Cosine of centred vectors over patterns, mean over questions; zero where one does not move."""
    moved, pull = (x - x.mean("pattern", skipna=False) for x in (moved, pull))
    norm = ((moved**2).sum("pattern", skipna=False) * (pull**2).sum("pattern", skipna=False)) ** 0.5
    cosine = (moved * pull).sum("pattern", skipna=False) / norm.where(norm != 0, 1)
    return cosine.mean("question", skipna=False)


def fall(runs: xr.Dataset) -> xr.DataArray:
    """Deepest fall of the accuracy of the choice of patterns, at the success rates of the start.

    Args:
      runs: `policy` and `success`, `[..., step, question, pattern]`.

    Returns:
      `[...]`, from the highest value before.
    """
    success = runs.success.isel(step=0, drop=True)
    choice = (runs.policy * success).sum("pattern", skipna=False).mean("question", skipna=False)
    highest = np.maximum.accumulate(choice.values, axis=choice.dims.index("step"))
    return (choice.copy(data=highest) - choice).max("step", skipna=False)


def first_move(runs: xr.Dataset, rates: xr.DataArray) -> xr.DataArray:
    """Cosine of the first change of log π with π(R − R̄), mean over questions.

    Args:
      runs: `policy`, `[..., step, question, pattern]`.
      rates: R at the start, `[..., question, pattern]`.
    """
    base = runs.policy.isel(step=0, drop=True)
    pull = base * (rates - (base * rates).sum("pattern", skipna=False))
    return aligned(np.log(runs.policy.isel(step=1, drop=True)) - np.log(base), pull)
