"""Mutations of `off-principals`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights import _masks as masks, _places as places, _rounding as rounding, _twins as own

SCATTER = 1e-3
BOTH = (own.OWN, own.GAUSSIAN)
AVOIDS, SEEKS = (-0.1, 0.1), (0.1, -0.1)
"""How far shares on principal and on small weights are from usual."""


def _set(values, dims, seed=0):
    """Values that depend on the labels of some dimensions, with scatter; 0 where nothing is said."""
    out = values * 0
    for labels, value in dims:
        out.loc[labels] = value
    return out + SCATTER * np.random.default_rng(seed).standard_normal(out.shape)


def _placed(
    data, own_shift=(0.0, 0.0), noise=(0.0, 0.0), *, arms=places.ARMS, like=(own.OWN,), unrounded=False
):
    """Masks on principal and on small weights: of noise, and of what training adds to it."""
    dims = []
    for place, shift, usual, made in zip(
        (places.PRINCIPAL, places.SMALL), own_shift, noise, (-0.2, 0.2), strict=True
    ):
        for mask in (places.ROUNDED, places.LARGEST):
            level = 0.5 + (usual if mask == places.ROUNDED or unrounded else 0.0)
            here = {"where": place, "mask": mask}
            dims += [(here, level), (here | {"update": list(like), "arm": list(arms)}, level + shift)]
            dims += [(here | {"update": places.MADE}, level + made)]
    return data.change("runs", on=_set(data.runs.on, dims), apart=lambda x: x * 0)


def _turned(data, name, mine, like=(own.OWN,), noise=0.5, short=0.01):
    """Angles or drifts; short Gaussian updates do next to nothing."""
    usual = {"update": own.GAUSSIAN, "length": places.USUAL}
    dims = [({}, noise), ({"update": list(like)}, mine)]
    dims += [(usual, short)] if like == (own.OWN,) else []
    return data.change("runs", **{name: _set(data.runs[name], dims)})


def _noise(data, *, stored=("bfloat16",), off=0.0, masks=(places.ROUNDED,), shift=0.0):
    """The numbers of the null alone, where they are those that were noted, or off."""
    known = np.array(list(rounding.LENGTHS.values()))
    stay, on = [({}, 0.1)], [({}, 0.5)]
    for i, length in enumerate(rounding.LENGTHS):
        stay += [({"stored": list(stored), "length": length}, known[i, 0] + off)]
        on += [({"mask": list(masks), "length": length, "rank": rounding.RANKS[1]}, known[i, 1] + shift)]
    return data.change("noise", stay=_set(data.noise.stay, stay), on=_set(data.noise.on, on))


def _gains(data, shares=None):
    """Shares of the gain of all weights that masks have, less at the highest rate."""
    usual = {masks.EVERYTHING: 1.0, masks.RANDOM_FEW: 0.1, masks.RANDOM_MOST: 0.99, masks.RANDOM: 0.6}
    usual |= dict.fromkeys((masks.RANDOM_AGAIN, places.PRINCIPAL, places.SMALL, places.REST), 0.6)
    dims = [({"mask": name}, share) for name, share in (usual | (shares or {})).items()]
    gains = _set(data.reruns.gain, dims)
    gains = gains.where(gains.rate < gains.rate.max(), gains - 0.05)  # the best rate is not the highest
    return data.change("reruns", gain=gains)


def _few(data):
    for name in ("runs", "reruns", "noise"):
        data = data.select(name, seed=slice(2))
    return data


def _both(function, holds, fails):
    """The three verdicts, from what a function is to make of the data."""
    return {
        "holds": lambda d: function(d, *holds),
        "fails": lambda d: function(d, *fails),
        "open": lambda d: _few(function(d, *holds)),
    }


def _side(name):
    on, off = ([pair[i] for pair in own.SIDES[name].values()] for i in (0, 1))
    return {
        "holds": lambda d: _placed(d, AVOIDS, arms=on),
        "fails": lambda d: _placed(d, AVOIDS, arms=off),
        "open": lambda d: _few(_placed(d, AVOIDS, arms=on)),
    }


def _sides_of_noise(name):
    on = [pair[0] for pair in own.SIDES[name].values()]
    return lambda d: _placed(d, AVOIDS, arms=on, like=BOTH)


PLACED = _both(_placed, (AVOIDS,), (SEEKS,))
LOW = {masks.RANDOM_AGAIN: 0.2, places.PRINCIPAL: 0.2}
HIGH = {masks.RANDOM_FEW: 0.97, places.SMALL: 0.97, places.REST: 0.97}
TABLE = {
    **dict.fromkeys(("avoids", "small", "avoids-beyond-noise", "small-beyond-noise"), PLACED),
    **dict.fromkeys(("avoids-exactly", "small-exactly"), PLACED),
    "rounding": _both(_placed, ((0.0, 0.0), AVOIDS), ((0.0, 0.0), SEEKS)),
    "noise-stays": {
        "holds": _noise,
        "fails": lambda d: _noise(d, off=0.05),
        "open": lambda d: _few(_noise(d)),
    },
    "noise-avoids": {
        "holds": _noise,
        "fails": lambda d: _noise(d, shift=0.1),
        "open": lambda d: _few(_noise(d)),
    },
    "turns-little": _both(_turned, ("angle", 0.05, (own.OWN,), 0.5, 0.5), ("angle", 0.5)),
    "drifts-little": _both(_turned, ("drift", 0.02), ("drift", 0.5)),
    "turns-less-than-noise": _both(_turned, ("angle", 0.3), ("angle", 0.6)),
    "drifts-less-than-noise": _both(_turned, ("drift", 0.3), ("drift", 0.6)),
    "policy": _side("policy"),
    "loss": _side("loss"),
    "principal": {
        "holds": lambda d: _gains(d, {places.PRINCIPAL: 0.2}),
        "fails": lambda d: _gains(d, {places.PRINCIPAL: 0.8}),
        "open": lambda d: d.change("reruns", gain=np.nan),
    },
    "enough": {
        "holds": lambda d: _gains(d, HIGH | {masks.RANDOM_FEW: 0.1}),
        "fails": _gains,
        "open": lambda d: d.change("reruns", gain=np.nan),
    },
}
SHOWN = {
    **dict.fromkeys(("avoids", "small"), lambda d: _placed(d, noise=AVOIDS)),
    **dict.fromkeys(
        ("avoids-beyond-noise", "small-beyond-noise", "avoids-exactly", "small-exactly"),
        lambda d: _placed(d, AVOIDS, like=BOTH),
    ),
    "rounding": lambda d: _placed(d, noise=AVOIDS, unrounded=True),
    "noise-stays": lambda d: _noise(d, stored=rounding.STORED),
    "noise-avoids": lambda d: _noise(d, masks=(places.ROUNDED, places.LARGEST)),
    "turns-little": lambda d: _turned(d, "angle", 0.05, like=BOTH),
    "drifts-little": lambda d: _turned(d, "drift", 0.02, like=BOTH),
    "turns-less-than-noise": lambda d: _turned(d, "angle", 0.3, like=BOTH),
    "drifts-less-than-noise": lambda d: _turned(d, "drift", 0.3, like=BOTH),
    "policy": _sides_of_noise("policy"),
    "loss": _sides_of_noise("loss"),
    "principal": lambda d: _gains(d, LOW),
    "enough": lambda d: _gains(d, HIGH),
}
"""Data in which the null control shows the effect as well, so that the claim has to be open."""
