"""What the tabular theory says of RL on text and of RLVR after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from qra_jax import theory
from qra_jax.algorithm import Algorithm, switch
from qra_jax.studies import lab
from qra_jax.studies.data import _text
from qra_jax.studies.data._text import ALGORITHMS, BASE, BESTS, BY_STD, RL, SHARES, Size

TIMES = np.concatenate([[0.0], np.logspace(-2, 3, 300)])
"""Times of the orbits, in units where logits have unit learning rate."""
SPEEDS = np.logspace(-3, 1, 200)
"""Units of time in a step that are tried."""


def orbit(
    start: Float[Array, " n"], success: Float[Array, "m n"], weight: Float[Array, " m"], algorithm: Algorithm
) -> Float[Array, "times n"]:
    r"""Path of the shares π where m kinds of questions, or of documents, move the same logits.

    $$ \dot\theta_j=\pi_j\sum_t m_t\,c(\rho_t)(A_{tj}-\rho_t),\qquad \rho_t=\sum_j\pi_jA_{tj} $$

    Documents that show procedure t are such a kind, with A = diag(success rates) and m their shares: RL on text.

    Args:
      start: π at time zero.
      success: A, success rate of each procedure on each kind.
      weight: m, shares of the kinds.
      algorithm: with the clock c.

    Returns:
      π at `TIMES`.
    """
    clock = algorithm.clock_function()

    def velocity(time: Any, theta: Array, args: Any) -> Array:
        policy = jax.nn.softmax(theta)
        mean = jnp.clip(success @ policy, 0.0, 1.0)
        return policy * ((weight * clock(mean, 1 - mean)) @ (success - mean[:, None]))

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        diffrax.Tsit5(),
        0.0,
        float(TIMES[-1]),
        None,
        jnp.log(start),
        saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
        stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-7),
        max_steps=4000,
        throw=False,
    )
    return jax.nn.softmax(jnp.asarray(found.ys), axis=-1)


@jax.jit
def _paths(start: Array, success: Array, weight: Array, which: Array) -> Array:
    """Orbits of many members, `which` of `ALGORITHMS` each."""

    def one(member: tuple[Array, Array, Array, Array]) -> Array:
        start, success, weight, which = member
        return orbit(start, success, weight, switch(which, ALGORITHMS))

    return jax.lax.map(one, (start, success, weight, which))


def predicted(data: xr.Dataset, size: Size) -> xr.Dataset:
    """What the theory says of the runs, from the shares and success rates of each network.

    Args:
      data: the runs.
      size: how much was computed.

    Returns:
      `away`, how far the shares stray from the orbit of their rewards while the text is trained on, `[curve,
      text_arm, seed]`; `right`, accuracy after RLVR, `[best, arm, seed]`: on the orbit from the start of each arm, at
      the one speed with which that of the base comes nearest to its own accuracy along training.
    """
    kinds, few = size.base**4, len(SHARES)
    members = []
    for mirrored in (False, True):
        weight = np.zeros(kinds)
        weight[:few] = SHARES[::-1] if mirrored else SHARES
        for number, arm in enumerate((RL, BY_STD)):
            for start, rates in _starts(data.text_share.sel(arm=arm), data.text_whole.sel(arm=arm)):
                members.append((start, np.eye(kinds, few) * rates, weight, number))
    for name, best in BESTS.items():
        good = np.asarray(_text.accepted(size, best), float)
        for arm in data.arm.values:
            at = {"best": name, "arm": arm}
            for start, rates in _starts(data.after_share.sel(at), data.after_whole.sel(at)):
                members.append((start, good * rates, np.full(kinds, 1 / kinds), 1))
    columns = [np.stack(column) for column in zip(*members, strict=True)]
    paths, seeds = np.asarray(_paths(*columns)), data.sizes["seed"]
    text = paths[: 4 * seeds].reshape(2, 2, seeds, *paths.shape[1:])
    share = data.text_share.sel(arm=[RL, BY_STD]).transpose("arm", "seed", "step", "procedure").values
    share = share / share.sum(axis=-1, keepdims=True)
    away = [
        [
            [theory.path_distance(*pair) for pair in zip(own, orbits, strict=True)]
            for own, orbits in zip(share, row, strict=True)
        ]
        for row in text
    ]
    success, weight = (column[4 * seeds :] for column in columns[1:3])
    accuracy = np.einsum("btn,bqn,bq->bt", paths[4 * seeds :], success, weight)
    accuracy = accuracy.reshape(len(BESTS), data.sizes["arm"], seeds, len(TIMES))
    right = data.after_right.mean("question").transpose("best", "arm", "seed", "step").values
    found = np.stack([_at_the_speed_of_the_base(*two, data) for two in zip(accuracy, right, strict=True)])
    coords = {"curve": ["orbit", "shares mirrored"], "best": list(BESTS)}
    both = {"away": (("curve", "text_arm", "seed"), away), "right": (("best", "arm", "seed"), found)}
    return lab.dataset(both, coords | {"text_arm": [RL, BY_STD], "arm": data.arm.values})


def _starts(share: xr.DataArray, whole: xr.DataArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Shares and success rates of each network at the start."""
    values = (x.isel(step=0).transpose("seed", "procedure").values.astype(float) for x in (share, whole))
    for one, rates in zip(*values, strict=True):
        yield np.maximum(one, 1e-12) / np.maximum(one, 1e-12).sum(), rates


def _at_the_speed_of_the_base(told: np.ndarray, right: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Values of orbits `[arm, seed, times]` at the end, given accuracies `[arm, seed, step]`."""
    base, steps = list(data.arm.values).index(BASE), np.asarray(data.step, float)
    found = np.zeros(right.shape[:2])
    for seed in range(right.shape[1]):
        tried = np.stack([np.interp(speed * steps, TIMES, told[base, seed]) for speed in SPEEDS])
        speed = SPEEDS[np.argmin(np.sum((tried - right[base, seed]) ** 2, axis=-1))]
        for arm in range(right.shape[0]):
            found[arm, seed] = np.interp(speed * steps[-1], TIMES, told[arm, seed])
    return found
