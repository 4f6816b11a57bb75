"""Mutations of `off-principals`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights import _masks as masks, _places as places, _twins as own

SCATTER = 1e-3


def _noise(values, seed=0):
    return SCATTER * np.random.default_rng(seed).standard_normal(values.shape)


def _set(values, dims):
    """Values that depend on the labels of some dimensions, with scatter; 0 where nothing is said."""
    out = values * 0
    for labels, value in dims:
        out.loc[labels] = value
    return out + _noise(out)


def _placed(data, principal=0.0, small=0.0, *, arms=None, rounding=0.1):
    """Masks of some arms on principal and on small weights, more or less than those of Gaussian updates."""
    arms = list(places.ARMS) if arms is None else list(arms)
    where = (
        (places.PRINCIPAL, principal, -rounding, -0.2),
        (places.SMALL, small, rounding, 0.2),
    )
    dims = []
    for place, excess, rounded, made in where:
        for mask, noise in ((places.ROUNDED, 0.5 + rounded), (places.LARGEST, 0.5)):
            here = {"where": place, "mask": mask}
            dims += [(here, noise), (here | {"update": own.OWN, "arm": arms}, noise + excess)]
            dims += [(here | {"update": places.MADE}, noise + made)]
    on = _set(data.runs.on, dims)
    return data.change("runs", on=on, apart=lambda x: x * 0)


def _ratio(data, **ratios):
    """Angles or drifts over those of Gaussian updates."""
    changes = {}
    for name, ratio in ratios.items():
        dims = [({}, 0.1), ({"update": own.OWN}, 0.1 * ratio), ({"update": places.SHORTER}, 0.05)]
        changes[name] = _set(data.runs[name], dims)
    return data.change("runs", **changes)


def _agree(data, excess):
    here = {"update": own.OWN, "other": list(places.OTHERS)}
    return data.change("runs", jaccard=_set(data.runs.jaccard, [(here, excess)]))


def _gains(data, **shares):
    """Shares of the gain of all weights that masks have."""
    usual = {masks.EVERYTHING: 1.0, masks.FEW: 0.1, masks.MOST: 0.99, masks.RANDOM: 0.6, masks.OTHER: 0.6}
    usual |= {places.PRINCIPAL: 0.6, places.SMALL: 0.6, places.REST: 0.6}
    usual |= {getattr(places, name): share for name, share in shares.items()}
    return data.change("reruns", gain=_set(data.reruns.gain, [({"mask": k}, v) for k, v in usual.items()]))


def _few(data):
    return data.select("runs", seed=slice(2)).select("reruns", seed=slice(2))


def _unknown(data):
    return data.change("runs", on=np.nan, angle=np.nan, drift=np.nan, jaccard=np.nan).change(
        "reruns", gain=np.nan
    )


def _place(**holds):
    fails = {name: -value for name, value in holds.items()}
    return {
        "holds": lambda d: _placed(d, **holds),
        "fails": lambda d: _placed(d, **fails),
        "open": lambda d: _few(_placed(d, **holds)),
    }


def _turning(name):
    return {
        "holds": lambda d: _ratio(d, **{name: 0.6}),
        "fails": lambda d: _ratio(d, **{name: 1.2}),
        "open": lambda d: _few(_ratio(d, **{name: 0.6})),
    }


def _side(name):
    on, off = own.SIDES[name]
    return {
        "holds": lambda d: _placed(d, principal=-0.1, arms=on),
        "fails": lambda d: _placed(d, principal=-0.1, arms=off),
        "open": lambda d: _few(_placed(d, principal=-0.1, arms=on)),
    }


TABLE = {
    "avoids": _place(principal=-0.1),
    "small": _place(small=0.1),
    "avoids-exactly": _place(principal=-0.1),
    "small-exactly": _place(small=0.1),
    "rounding": {
        "holds": _placed,
        "fails": lambda d: _placed(d, rounding=0.0),
        "open": lambda d: _few(_placed(d)),
    },
    "turns": _turning("angle"),
    "drifts": _turning("drift"),
    "overlap": {
        "holds": lambda d: _agree(d, 0.2),
        "fails": lambda d: _agree(d, 0.0),
        "open": lambda d: _few(_agree(d, 0.2)),
    },
    "policy": _side("policy"),
    "loss": _side("loss"),
    "principal": {
        "holds": lambda d: _gains(d, PRINCIPAL=0.2),
        "fails": lambda d: _gains(d, PRINCIPAL=0.8),
        "open": _unknown,
    },
    "enough": {
        "holds": lambda d: _gains(d, SMALL=0.97, REST=0.97),
        "fails": lambda d: _gains(d, SMALL=0.5, REST=0.5),
        "open": _unknown,
    },
}
