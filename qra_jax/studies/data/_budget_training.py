"""Mid-training, then RL: graph networks on one budget of tokens, read exactly as the budget is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logit
from jaxtyping import Array

import qra_jax as qra
from qra_jax import metrics, transformer as tf
from qra_jax.studies import lab
from qra_jax.studies.data import _bases
from qra_jax.studies.data._budget_arms import ARMS, NUMBERS, PARTS, RESAMPLED, TARGET, TESTS, TRIES, Extent
from qra_jax.transformer import ledger, streams
from qra_jax.transformer.graphs import Graphs
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.process import process_gated


def task() -> Graphs:
    """Graphs of the target band, in arrays of the bases' size."""
    return _bases.read().asking(*TARGET)


def shares(band: tuple[int, int]) -> Array:
    """Shares of the numbers of operations of a band."""
    return task().asking(*band).operations


def reads(params: Any, model: Any, number: int) -> dict[str, Array]:
    """Probability that a whole solution is right, exactly: it is one sequence, so that pass@k is 1 − (1 − p)^k.

    Args:
      params: of one network.
      model: the network.
      number: questions of each band.

    Returns:
      Means over the questions, `[bands]` each: `pass1`, `passk` and `retried` with k = `TRIES` and `RESAMPLED`, and
      `odds`, log p/(1 − p).
    """
    bands, rooms = list(TESTS.values()), {}
    for i, (low, high) in enumerate(bands):
        asked = task().within(max(high, _bases.ROOM)).asking(low, high)
        rooms.setdefault(asked.room, []).append((asked, asked.draw(jax.random.key(100 + i), number)))
    right = []
    for together in rooms.values():  # bands in order, those of one room in one program
        questions = jax.tree.map(lambda *parts: jnp.concatenate(parts), *[drawn for _, drawn in together])
        right.append(tf.read_out(model, params, together[0][0].show(questions)).accuracy)
    p = jnp.clip(jnp.concatenate(right).reshape(len(bands), number).astype(float), 1e-12, 1 - 1e-6)
    more = [metrics.pass_at_k(p, k) for k in (TRIES, RESAMPLED)]
    return dict(zip(NUMBERS, [jnp.mean(one, axis=1) for one in (p, *more, logit(p))], strict=True))


def mid(key: Array, params: Any, band: Array, model: Any, extent: Extent) -> dict[str, Any]:
    """Supervised steps at a constant rate that spend the whole budget, recorded after each part.

    Args:
      key: PRNG key.
      params: of one network.
      band: `[most]`, shares of the numbers of operations.
      model: the network.
      extent: how long.

    Returns:
      `params`, leading axis `[1 + parts]`; `tokens` `[parts]`, those read.
    """
    corpus = replace(task(), operations=band).demonstrations
    optimiser = optax.adamw(optax.linear_schedule(0.0, extent.learning, 5), b2=0.95, weight_decay=1e-4)

    def step(carry: Any, index: Array) -> tuple[Any, Array]:
        params, memory = carry
        shown = corpus(jax.random.fold_in(key, index), extent.questions)
        slope = jax.grad(lambda p: cross_entropy(model, p, shown))(params)
        change, memory = optimiser.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory), streams.supervised(shown)

    def part(carry: Any, first: Array) -> tuple[Any, Any]:
        carry, tokens = jax.lax.scan(step, carry, first + jnp.arange(extent.read // PARTS))
        return carry, (carry[0], jnp.sum(tokens))

    begun = params, optimiser.init(params)
    _, (later, tokens) = jax.lax.scan(part, begun, jnp.arange(PARTS) * (extent.read // PARTS))
    kept = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), params, later)
    return {"params": kept, "tokens": tokens}


def reinforced(
    key: Array, params: Any, band: Array, floor: Array, parts: Array, model: Any, extent: Extent
) -> dict[str, Any]:
    """RL that spends some parts of the budget: GRPO with Adam; after these the rate is zero.

    Args:
      key: PRNG key.
      params: of one network.
      band: `[most]`, shares of the numbers of operations.
      floor: reward of a right answer without right lines.
      parts: how many parts of the budget it spends, 1 … `PARTS`.
      model: the network.
      extent: how long the whole budget is.

    Returns:
      `params`, leading axis `[1 + parts]`; `tokens`, `silent` and `right`, `[parts]`.
    """
    last = parts * (extent.sampled // PARTS)

    def adam(rate: Any) -> optax.GradientTransformation:
        active = optax.scale_by_schedule(lambda count: jnp.where(count < last, -rate, 0.0))
        return optax.chain(optax.scale_by_adam(), active)

    run = tf.train(
        key,
        model,
        params,
        replace(task(), operations=band),
        algorithm=qra.grpo(extent.group),
        steps=extent.sampled,
        questions=extent.asked,
        learning_rate=extent.reinforcing,
        reward=process_gated(floor),
        optimizer=adam,
        record_every=extent.sampled // PARTS,
        probe=lambda params: params,
    )
    told = {name: run.stats[name] for name in ("silent", "right")}
    return {"params": run.seen, "tokens": run.stats["tokens"] * (extent.sampled // PARTS), **told}


def trained(run: lab.Run, extent: Extent) -> dict[str, np.ndarray]:
    """All arms and networks.

    Returns:
      `pass1`, `passk`, `odds` `[arms, seeds, 1 + parts, bands]` as the budget is spent; `read` and `sampled`
      `[arms, seeds]`, tokens; `silent` and `right` `[arms, seeds, parts]`, shares in RL, NaN elsewhere; `parameters`.
    """
    base = jax.tree.map(jnp.asarray, _bases.solvers(run))
    size = _bases.Size(*run(_bases.SOLVING))
    model = _bases.network(task(), size)
    return arms(run.key, base, model, extent) | {"parameters": np.asarray(ledger.parameters(base))}


def arms(key: Array, base: Any, model: Any, extent: Extent) -> dict[str, np.ndarray]:
    """As `trained`, from given networks `[seeds, ...]`."""
    seeds = jax.tree.leaves(base)[0].shape[0]
    keys = jax.random.split(key, 2)

    bands = list(dict.fromkeys(arm.shown for arm in ARMS.values()))
    rows = [
        (jax.random.split(keys[0], seeds), base, jnp.tile(shares(band)[None], (seeds, 1))) for band in bands
    ]
    read = tf.side_by_side(lambda *row: mid(*row, model=model, extent=extent))(*_bases.together(rows))
    taught = dict(zip(bands, _bases.apart(read, len(bands)), strict=True))
    rows, rewarded = [], [name for name, arm in ARMS.items() if arm.share < 1]
    for name in rewarded:
        arm, done = ARMS[name], round(ARMS[name].share * PARTS)
        start = jax.tree.map(lambda x, done=done: x[:, done], taught[arm.shown]["params"])
        numbers = [jnp.full(seeds, arm.floor), jnp.full(seeds, PARTS - done)]
        band = jnp.tile(shares(arm.asked)[None], (seeds, 1))
        rows.append((jax.random.split(keys[1], seeds), start, band, *numbers))
    found = tf.side_by_side(lambda *row: reinforced(*row, model=model, extent=extent))(*_bases.together(rows))
    paid = dict(zip(rewarded, _bases.apart(found, len(rewarded)), strict=True))
    paths, out = [], {name: [] for name in ("read", "sampled", "silent", "right")}
    for name, arm in ARMS.items():
        done, own, later = round(arm.share * PARTS), taught[arm.shown], paid.get(name)
        path = [jax.tree.map(lambda x, done=done: x[:, : done + 1], own["params"])]
        row = {what: np.full((seeds, PARTS), np.nan) for what in ("silent", "right")} | {
            "sampled": np.zeros(seeds)
        }
        if later is not None:
            path.append(jax.tree.map(lambda x, done=done: x[:, 1 : PARTS - done + 1], later["params"]))
            row["sampled"] = np.asarray(later["tokens"])[:, : PARTS - done].sum(axis=1)
            for what in ("silent", "right"):
                row[what][:, done:] = np.asarray(later[what])[:, : PARTS - done]
        row["read"] = np.asarray(own["tokens"])[:, :done].sum(axis=1)
        paths.append(jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *path))
        for what, value in row.items():
            out[what].append(value)
    shape = len(ARMS), seeds, PARTS + 1
    every = jax.tree.map(lambda *parts: jnp.stack(parts).reshape(-1, *parts[0].shape[2:]), *paths)
    seen = tf.side_by_side(lambda params: reads(params, model, extent.tested))(every)
    tested = {name: np.asarray(x).reshape(*shape, len(TESTS)) for name, x in seen.items()}
    return tested | {name: np.stack(values) for name, values in out.items()}
