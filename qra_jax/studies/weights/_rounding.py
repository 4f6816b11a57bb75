"""What a Gaussian update of Gaussian weights changes in bfloat16, and on which weights: the null's own numbers.

Weights of a matrix of a language model have a standard deviation of about .02. In an early trial Gaussian updates of
standard deviations 1e-5, 3e-5 and 1e-4 left .884, .680 and .324 of them as they were, and .31, .35 and .44 of the
changed ones were principal, where half would be by chance.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.weights._places import CHANCE, LARGEST, ROUNDED
from qra_jax.transformer import weights

SPREAD, SIDE, NUMBER = 0.02, 256, lab.scale(12, 16)
"""Standard deviation of the weights; rows and columns of a matrix; how many."""
LENGTHS = {1e-5: (0.884, 0.31), 3e-5: (0.680, 0.35), 1e-4: (0.324, 0.44)}
"""Of the updates, by standard deviation: share of the weights that stay, and of the changed ones that are principal."""
RANKS = (0.1, 0.15, 0.2, 0.25, 0.3)
"""k over the rank of the approximation by which weights are principal."""
NEAR = 0.01, 0.03
"""How far from these numbers counts as another one: they were noted with three digits, and with two."""
STORED = ("bfloat16", "float32")


def measured(run: lab.Run) -> xr.Dataset:
    """Shares that stay, by storage of the weights, and shares of the changed that are principal, by k."""
    random, number = np.random.default_rng(run.seed), run(NUMBER)
    drawn = jnp.asarray(random.standard_normal((1 + len(LENGTHS), number, SIDE, SIDE)), jnp.float32)
    plain, steps = SPREAD * drawn[0], drawn[1:] * jnp.asarray(list(LENGTHS), jnp.float32)[:, None, None, None]
    start = dict(zip(STORED, (weights.twin.rounded(plain), plain), strict=True))
    marks = {
        stored: weights.masks.changed(jnp.broadcast_to(w0, steps.shape), w0[None] + steps)
        for stored, w0 in start.items()
    }
    stay = [1 - weights.masks.density(mark) for mark in marks.values()]
    rounded = marks["bfloat16"]
    seen = rounded, weights.masks.largest(steps, weights.masks.density(rounded))
    places = [weights.masks.principal(start["bfloat16"], rank, CHANCE) for rank in RANKS]
    on = [
        [weights.masks.overlap(mark, jnp.broadcast_to(place, mark.shape)).value for place in places]
        for mark in seen
    ]
    values = {
        "stay": (("stored", "length", "seed"), np.array(stay)),
        "on": (("mask", "rank", "length", "seed"), np.array(on)),
    }
    labels = {
        "stored": list(STORED),
        "length": list(LENGTHS),
        "mask": [ROUNDED, LARGEST],
        "rank": list(RANKS),
    }
    return lab.dataset(values, labels)


def claims(study: lab.Study) -> None:
    """What these numbers should be, as claims of a study with an experiment `noise`."""
    known = xr.DataArray(list(LENGTHS.values()), dims=("length", "what"), coords={"length": list(LENGTHS)})

    @study.claim(
        "Gaussian updates of standard deviations 1e-5, 3e-5 and 1e-4 leave .884, .680 and .324 of Gaussian weights of "
        "standard deviation .02, stored in bfloat16, as they were, within .01.",
        origin=lab.Derived("neighbours in bfloat16 are a share of the weight apart; an early trial"),
    )
    def noise_stays(data: lab.Data) -> lab.Evidence:
        return _stay(data, "bfloat16")

    @noise_stays.null("weights in float32, which are not on the grid")
    def _(data: lab.Data) -> lab.Evidence:
        return _stay(data, "float32")

    def _stay(data: lab.Data, stored: str) -> lab.Evidence:
        stay = data.noise.stay.sel(stored=stored, drop=True)
        return lab.mean("share that stays", stay).near(known.isel(what=0), within=NEAR[0])

    @study.claim(
        "Of the weights that these updates change, .31, .35 and .44 are principal, all three within .03, if k is some "
        "share of the rank among .1, .15, .2, .25 and .3.",
        origin=lab.Asked("By which k did half of the weights count as principal?", (papers.GEO_1,)),
    )
    def noise_avoids(data: lab.Data) -> lab.Evidence:
        return _on(data, ROUNDED)

    @noise_avoids.null("as many of the largest entries of the updates, without rounding")
    def _(data: lab.Data) -> lab.Evidence:
        return _on(data, LARGEST)

    def _on(data: lab.Data, mask: str) -> lab.Evidence:
        apart = abs(data.noise.on.sel(mask=mask, drop=True) - known.isel(what=1))
        words = "largest distance of the share that is principal from that number, over lengths"
        return lab.somewhere(lab.mean(words, apart.max("length", skipna=False)).below(NEAR[1]))
