r"""Can a clock be told when nothing is known of the patterns? A free mixture over questions of up to twelve of them.

Each clock is given the same library of questions, drawn with two to twelve patterns of rates of every spread, and the
distribution over the library that fits the histories best. As an orbit is the same for all clocks, what is left to
tell them apart is how fast it is walked, and the library has slow and fast questions at every accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax.fit.questions import mixture, populations
from qra_jax.fit.questions.histories import Histories

BLOCKS = 17
"""Histories are summed up in this many blocks of neighbouring visits."""
MOST = 12
"""Patterns of a question, at most."""
LENGTHS = 2.0 ** np.arange(1, 12)
"""Lengths of the run that are tried, in times at which REINFORCE moves a logit at accuracy ½ by ½."""
TWO = 120
"""Kinds of two patterns, at most."""
STEPS = np.array([1 / 32, 0.06])
"""Cells of the library: in the start, as a share of its range, and in the change of asin √ρ."""


@dataclass(frozen=True)
class Library:
    """Questions with their orbits.

    Attributes:
      orbits: of all of them.
      two: `[questions]`, which have the two patterns (1, 0).
      most: kinds that a mixture is over, at most.
    """

    orbits: populations.Orbits
    two: np.ndarray
    most: int


def library(rng: np.random.Generator, count: int = 6000, most: int = 512) -> Library:
    """Draw a library: an equal share of questions for each number of patterns, and as many with (1, 0).

    Args:
      rng: random numbers.
      count: questions, ≥ 12.
      most: kinds that a mixture is over, at most.
    """
    ref, success = np.zeros((2, count, MOST))
    for patterns in range(2, MOST + 1):
        own = np.arange(patterns - 2, count, MOST)
        kappa = np.exp(rng.uniform(np.log(0.3), np.log(300), (len(own), 1)))
        m = np.clip(rng.beta(0.5, 0.5, (len(own), 1)), 1e-4, 1 - 1e-4)
        ref[own, :patterns] = rng.dirichlet(np.ones(patterns), len(own))
        success[own, :patterns] = rng.beta(kappa * m, kappa * (1 - m), (len(own), patterns))
    two = np.arange(count) % MOST == MOST - 1
    ref[two, :2], success[two, :2] = populations.two_patterns(np.linspace(-9, 9, int(two.sum())))
    return Library(populations.orbits(ref, success), two, most)


def log_likelihoods(
    histories: Histories, exponent: float, library: Library, *, two: bool = False
) -> np.ndarray:
    """Log likelihood of each question's history under a clock, with the best distribution over the library.

    Args:
      histories: the run.
      exponent: a of the clock (4ρ(1 − ρ))^(a − 1).
      library: the questions.
      two: use only those with two patterns (1, 0).

    Returns:
      `[questions]`, without binomial coefficients, at the best of `LENGTHS` (refined where `two`).
    """
    edges = np.linspace(0, histories.visits, BLOCKS + 1).astype(int)
    right, tries = (
        np.add.reduceat(counts, edges[:-1], axis=1).astype(float)
        for counts in (histories.correct * histories.seen, histories.tries)
    )
    times = (edges[:-1] + edges[1:] - 1) / 2 / (histories.visits - 1)
    orbits = library.orbits
    if two:
        orbits = populations.Orbits(orbits.time, orbits.accuracy[library.two])
        every = np.linspace(0, len(orbits.accuracy) - 1, min(TWO, len(orbits.accuracy))).astype(int)
        orbits = populations.Orbits(orbits.time, orbits.accuracy[every])
    table = orbits.under(populations.log_power(orbits.accuracy, exponent))

    def at(length: float) -> np.ndarray:
        place = np.interp(length * times, populations.GRID, np.arange(len(populations.GRID)))
        low = np.minimum(place.astype(int), len(populations.GRID) - 2)
        share = place - low
        path = np.clip((1 - share) * table[:, low] + share * table[:, low + 1], 1e-6, 1 - 1e-6)
        if not two:
            kinds = _different(path)
            every = np.linspace(0, len(kinds) - 1, min(library.most, len(kinds))).astype(int)
            path = path[kinds[every]]  # thinned evenly: they are sorted by how much they change
            path = np.concatenate([path, np.repeat(path[:1], library.most - len(path), axis=0)])
        return np.asarray(_best(jnp.asarray(right), jnp.asarray(tries - right), jnp.asarray(path)))

    tried = {float(length): at(length) for length in LENGTHS[::2]}
    for factor in (2.0, 2**0.5, 2**0.25) if two else (2.0,):
        best = max(tried, key=lambda length: tried[length].sum())
        tried |= {length: at(length) for length in (best / factor, best * factor)}
    return max(tried.values(), key=np.sum)


def compare(
    histories: Histories, exponents: Sequence[float], library: Library, *, two: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Nats by which clocks are ahead of the first of them, and their standard deviation over questions (Vuong).

    Args:
      histories, library, two: as for [`log_likelihoods`][].
      exponents: a of the clocks.

    Returns:
      `[exponents]` each, 0 for the first.
    """
    found = np.array([log_likelihoods(histories, a, library, two=two) for a in exponents])
    ahead = found - found[0]
    return ahead.sum(axis=1), np.sqrt(ahead.shape[1]) * ahead.std(axis=1)


def _different(path: np.ndarray) -> np.ndarray:
    """One question of each cell of start and change, `[kinds]`."""
    start, end = (np.arcsin(np.sqrt(path[:, j])) for j in (0, -1))
    cell = np.floor(start / (np.pi / 2) / STEPS[0]) + 1000 * np.floor((end - start) / STEPS[1])
    return np.unique(cell, return_index=True)[1]


@jax.jit
def _best(right: jax.Array, wrong: jax.Array, path: jax.Array) -> jax.Array:
    ell = right @ jnp.log(path).T + wrong @ jnp.log1p(-path).T
    weights, _ = mixture.weights(ell, jnp.ones(ell.shape[0]))
    top = jnp.max(ell, axis=1)
    return jnp.log(jnp.exp(ell - top[:, None]) @ weights) + top
