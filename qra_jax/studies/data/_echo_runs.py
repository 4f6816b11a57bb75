"""Networks of the echo chamber: all arms by the same programs, and what theory expects of every network."""

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


MODELS = ("base", "base, again", "RL", "SFT")
BETAS = (1e-3, 1e-2, 0.1, 1.0)
"""Coefficients: the paper's two, and those up to where theory says that two formats remain."""
MAIN, OTHER = "rare right", ("RLOO", "expert iteration")
ARMS = {name: Arm(name) for name in CORPORA}
ARMS |= {rule: Arm(MAIN, rule=rule) for rule in OTHER} | {"coin": Arm(MAIN, coin=1.0)}
ARMS |= {f"β = {beta:g}": Arm(MAIN, beta=beta) for beta in BETAS}


class Trained(NamedTuple):
    """Networks `[seeds, ...]` and what was seen of them."""

    path: xr.Dataset
    """`policy` `[arm, seed, step, format]` and `accuracy` `[arm, seed, step]` along RL."""
    base: dict[str, Any]
    """Networks before RL, by corpus."""
    ended: dict[str, Any]
    """Networks after RL, by arm."""


def trained(run: lab.Run, params: Any, size: Size, arms: dict[str, Arm]) -> Trained:
    """Lets networks practise, teaches them every corpus that some arm needs, and trains every arm.

    Args:
      run: of the experiment.
      params: networks to continue, `[seeds, ...]`.
      size: their size.
      arms: by name; those of a corpus share bases and random numbers.

    Returns:
      The networks.
    """
    extent, seeds = run(EXTENT), jax.tree.leaves(params)[0].shape[0]
    known = run.bank.get(_echo.practised, params, tuple(size), extent.practice, run.shared_seed)
    base, ended, seen = {}, {}, {}
    for name in dict.fromkeys(arm.corpus for arm in arms.values()):
        base[name] = taught(run, known, size, name)
    run.say("bases taught")
    train = _echo.reinforced(size, extent, run.shared_seed)
    for name, arm in arms.items():
        number = list(RULES).index(arm.rule)
        columns = (jnp.full(seeds, x) for x in (number, float(arm.beta), float(arm.coin)))
        seen[name], ended[name] = train(keys(run, arm.corpus, seeds)[2], base[arm.corpus], *columns)
    run.say("networks trained")
    dims = ("arm", "seed", "step", "format")
    found = {
        name: np.stack([np.asarray(one[name]) for one in seen.values()]) for name in ("policy", "accuracy")
    }
    coords = {
        "arm": list(arms),
        "step": np.arange(0, extent.steps + 1, extent.every),
        "format": list(PATTERNS),
    }
    return Trained(lab.dataset({k: (dims[: x.ndim], x) for k, x in found.items()}, coords), base, ended)


def keys(run: lab.Run, corpus: str, seeds: int) -> Array:
    """Random numbers of corpus, demonstrations, RL and what is read, `[4, seeds]`."""
    return jax.random.split(jax.random.fold_in(run.key, list(CORPORA).index(corpus)), (4, seeds))


def taught(run: lab.Run, params: Any, size: Size, corpus: str, quality: float | None = None) -> Any:
    """Networks `[seeds, ...]` after a corpus or, where a quality is given, after its formats in this quality."""
    seeds, made = jax.tree.leaves(params)[0].shape[0], _echo.corpus(CORPORA[corpus], quality)
    mixture = (jnp.broadcast_to(x, (seeds, len(PATTERNS))) for x in (made.shares, made.quality))
    key = keys(run, corpus, seeds)[0 if quality is None else 1]
    return _echo.supervised(size, run(EXTENT))(key, params, *mixture)


def networks(run: lab.Run, params: Any, size: Size, arms: dict[str, Arm]) -> xr.Dataset:
    """What networks do before, along and after RL.

    Args:
      run: of the experiment.
      params: networks to continue, `[seeds, ...]`.
      size: their size.
      arms: by name; one or more of each corpus without coin and KL.

    Returns:
      The path of [`trained`][]; `rate` `[arm, seed, format]`, of the base; and of the models base, base again, RL
      (GRPO) and SFT on right demonstrations `share` `[model, corpus, seed, format]` and `passed`
      `[model, corpus, seed, k]`.
    """
    extent, (path, base, ended) = run(EXTENT), trained(run, params, size, arms)
    look, found = _echo.measured(size, extent), {}
    for name, params in base.items():
        paid = next(x for x, arm in arms.items() if arm == Arm(name))
        models = {"base": params, "base, again": params, "RL": ended[paid]}
        models["SFT"] = taught(run, params, size, name, 1.0)
        seeds = path.sizes["seed"]
        for model, own in models.items():
            again = jnp.full(seeds, int(model == "base, again"))
            found[model, name] = look(keys(run, name, seeds)[3], again, own)

    def of(what: str) -> np.ndarray:
        """`[model, corpus, seed, ...]`."""
        each = [np.stack([np.asarray(found[model, name][what]) for name in base]) for model in MODELS]
        return np.stack(each)

    rate = np.stack([np.asarray(found["base", arm.corpus]["rate"]) for arm in arms.values()])
    values = {"rate": (("arm", "seed", "format"), rate)}
    values |= {"share": (("model", "corpus", "seed", "format"), of("policy"))}
    values |= {"passed": (("model", "corpus", "seed", "k"), of("passed"))}
    coords = {"arm": list(arms), "format": list(PATTERNS), "model": list(MODELS), "corpus": list(base)}
    return path.merge(lab.dataset(values, coords | {"k": numbers_of_tries(extent.tries)}))


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
