"""Networks of the echo chamber: all arms and seeds in one program each, and what theory expects of every network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import tree
from qra_jax.algorithm import grpo
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import lab
from qra_jax.studies.data import _echo
from qra_jax.studies.data._bases import Size
from qra_jax.studies.data._echo import CORPORA, EXTENT, GROUP, RULES
from qra_jax.studies.networks._procedures import numbers_of_tries
from qra_jax.transformer.procedures import PATTERNS

SMALLEST, TREE_STEPS, TREE_RATE = 1e-4, 1000, 0.2
"""β below which the law is taken at it; updates of the tree, and their size."""


class Arm(NamedTuple):
    """What a network is trained on, and how."""

    corpus: str
    rule: str = "GRPO"
    beta: float = 0.0
    coin: float = 0.0


BETAS = (1e-3, 1e-2, 0.1, 1.0)
"""Coefficients: the paper's two, and those up to where theory says that two formats remain."""
MAIN, OTHER = "rare right", ("RLOO", "expert iteration")
ARMS = {name: Arm(name) for name in CORPORA}
ARMS |= {rule: Arm(MAIN, rule=rule) for rule in OTHER} | {"coin": Arm(MAIN, coin=1.0)}
ARMS |= {f"β = {beta:g}": Arm(MAIN, beta=beta) for beta in BETAS}


def networks(run: lab.Run, params: Any, size: Size, arms: dict[str, Arm]) -> xr.Dataset:
    """Teaches networks every corpus that some arm needs, trains every arm, and reads all.

    Args:
      run: of the experiment.
      params: networks to continue, `[seeds, ...]`.
      size: their size.
      arms: by name.

    Returns:
      `policy`, `whole` `[arm, seed, step, format]`, `accuracy` `[arm, seed, step]`, `status` `[arm, seed]`; `rate`
      `[arm, seed, format]`, of the base; and of the models base, base again, RL (GRPO) and SFT `share`
      `[model, corpus, seed, format]` and `passed` `[model, corpus, seed, k]`.
    """
    extent, seeds = run(EXTENT), jax.tree.leaves(params)[0].shape[0]
    names = list(dict.fromkeys(arm.corpus for arm in arms.values()))
    keys = jax.random.split(run.key, (4, len(names), seeds))
    flat = lambda row: keys[row].reshape(-1)  # noqa: E731

    def mixtures(quality: float | None = None) -> tuple[Array, Array]:
        made = [_echo.corpus(CORPORA[name], quality) for name in names]
        shares, right = (jnp.stack([getattr(one, of) for one in made]) for of in ("shares", "quality"))
        return jnp.repeat(shares, seeds, axis=0), jnp.repeat(right, seeds, axis=0)

    teach, look = _echo.supervised(size, extent), _echo.measured(size, extent)
    params = _echo.practised(jax.tree.map(jnp.asarray, params), size, extent, run.seed)
    rows = [np.arange(seeds)] * len(names)
    base = teach(flat(0), _rows(params, np.concatenate(rows)), *mixtures())
    run.say("bases taught")
    taught = teach(flat(1), base, *mixtures(1.0))
    start = {name: np.arange(seeds) + i * seeds for i, name in enumerate(names)}
    where = np.concatenate([start[arm.corpus] for arm in arms.values()])
    begun, common = _rows(base, where), flat(2)[where]  # arms of a corpus share them
    number = [list(RULES).index(arm.rule) for arm in arms.values()]
    columns = (number, [arm.beta for arm in arms.values()], [arm.coin for arm in arms.values()])
    columns = [jnp.asarray(np.repeat(np.asarray(column), seeds)) for column in columns]
    seen, ended, status = _echo.reinforced(size, extent, run.seed)(common, begun, *columns)
    run.say("networks trained")
    last = {arm.corpus: i for i, arm in reversed(list(enumerate(arms.values()))) if arm.coin == arm.beta == 0}
    best = np.concatenate([np.arange(seeds) + last[name] * seeds for name in names])
    models = {"base": base, "base, again": base, "RL": _rows(ended, best), "SFT": taught}
    lots = [jnp.full(len(names) * seeds, name == "base, again", int) for name in models]
    found = [look(flat(3), *both) for both in zip(lots, models.values(), strict=True)]
    by_corpus = {
        name: np.stack([np.asarray(one[name]).reshape(len(names), seeds, -1) for one in found])
        for name in ("rate", "policy", "passed")
    }
    rate = np.stack([by_corpus["rate"][0, names.index(arm.corpus)] for arm in arms.values()])
    whole = {name: np.asarray(x).reshape(len(arms), seeds, *x.shape[1:]) for name, x in seen.items()}
    dims = ("arm", "seed", "step", "format")
    values = {name: (dims[: x.ndim], x) for name, x in whole.items()}
    values |= {"status": (dims[:2], np.asarray(status).reshape(len(arms), seeds))}
    values |= {"rate": (("arm", "seed", "format"), rate)}
    values |= {"share": (("model", "corpus", "seed", "format"), by_corpus["policy"])}
    values |= {"passed": (("model", "corpus", "seed", "k"), by_corpus["passed"])}
    coords = {"arm": list(arms), "format": list(PATTERNS), "model": list(models), "corpus": names}
    coords |= {"step": np.arange(0, extent.steps + 1, extent.every)}
    return lab.dataset(values, coords | {"k": numbers_of_tries(extent.tries)})


def _rows(params: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], params)


def expected(runs: xr.Dataset) -> xr.Dataset:
    """Shares of formats that two theories expect of each network, from its shares and rates before training.

    Args:
      runs: from [`networks`][].

    Returns:
      `[arm, seed, format]`: `tree`, where answers are learnt beside the choice, after `TREE_STEPS`; `law`, in the end,
      π_ref(1 + p(e^{1/β} − 1))/Z; `stay`, in the end, π_ref e^{p/β}/Z, where rates stay (at β = 0 the best is all).
    """
    ref, rate = runs.policy.isel(step=0, drop=True).transpose("arm", "seed", "format"), runs.rate
    betas = np.array([ARMS[str(arm)].beta for arm in runs.arm.values])
    flat = [x.values.reshape(-1, len(PATTERNS)).astype(float) for x in (ref, rate)]
    found = _expected(*flat, np.repeat(betas, runs.sizes["seed"]))
    return xr.Dataset({name: ref.copy(data=np.asarray(x).reshape(ref.shape)) for name, x in found.items()})


@jax.jit
@jax.vmap
def _expected(ref: Array, rate: Array, beta: Array) -> dict[str, Array]:
    ref, rate = ref / jnp.sum(ref), jnp.clip(rate, 1e-3, 1 - 1e-3)
    shape = tree.Tree.from_nested({"steps": [_format() for _ in PATTERNS]})
    chances = jnp.concatenate([ref, jnp.stack([rate, 1 - rate], axis=-1).ravel()])
    options: dict[str, Any] = {"steps": TREE_STEPS, "record_every": TREE_STEPS, "mode": "mean"}
    options |= {"regularizers": [reverse_kl(beta)], "learning_rate": TREE_RATE}
    asked = replace(shape, log_ref=jnp.log(chances))
    run = tree.train(jax.random.key(0), asked, algorithm=grpo(GROUP), **options)
    safe = jnp.maximum(beta, SMALLEST)
    law = jnp.log(ref) + jnp.logaddexp(jnp.log1p(-rate), jnp.log(rate) + 1 / safe)
    return {
        "tree": jnp.exp(run.leaf_log_policy[-1]).reshape(-1, 2).sum(axis=-1),
        "law": jax.nn.softmax(law),
        "stay": jax.nn.softmax(jnp.log(ref) + rate / safe),
    }


def _format() -> dict[str, Any]:
    """A format whose answers are right or wrong."""
    answers = [{"chance": 0.5, "success": 1.0}, {"chance": 0.5, "success": 0.0}]
    return {"chance": 1 / len(PATTERNS), "steps": answers}
