"""Mutations of `critical-tokens`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def along(dim, values, other=0.0):
    """Numbers by label of a dimension."""
    return lambda runs: xr.DataArray(
        [values.get(label, other) for label in runs[dim].values.tolist()], dims=dim
    )


def ripple(array, size=1e-3):
    """A factor that differs a little from one network, and one kind of token, to the next."""
    return 1 + size * np.sin(1 + np.arange(array.size)).reshape(array.shape)


def shares(part="reranked", whole="places", *, of=0.0, **others):
    """A sum that is a share of another one, by label or all alike; `others` are further variables with constants."""

    def change(data):
        runs = data.runs
        made = {part: runs[whole] * (of(runs) if callable(of) else of)}
        for name, value in others.items():
            base = name.rsplit("_", 1)[0] + "_places" if "_" in name else "places"
            made[name] = runs[base] * (value(runs) if callable(value) else value)
        made = {n: x.transpose(*runs[n].dims) for n, x in made.items()}
        return data.change("runs", **{n: x * ripple(x) for n, x in made.items()})

    return change


def lost(data):
    return data.change("runs", reranked=np.nan, kl=np.nan, kl_reranked=np.nan, similarity=np.nan)


def rewards(coin=0.2, **arms):
    again = {"RLVR, again": arms["RLVR"]} if "RLVR" in arms else {}
    return along("reward", arms | again | {"coin": coin}, 0.2)


AT = {name: along("kind", {name: 0.3}, 1e-4) for name in ("pattern", "step", "answer")}
STEPS = along("kind", {"step": 0.9}, 0.5), along("kind", {"step": 0.5}, 0.9)

TABLE = {
    "few": {"holds": shares(of=0.01, fresh_reranked=0.9), "fails": shares(of=0.5), "open": lost},
    "internal": {
        "holds": shares(of=rewards(RLIF=0.3, RLVR=0.1)),
        "fails": shares(of=rewards(RLIF=0.1, RLVR=0.3)),
        "open": lost,
    },
    "grows": {
        "holds": shares(of=lambda runs: runs.step / 1000),
        "fails": shares(of=lambda runs: 0.2 - runs.step / 1000),
        "open": lost,
    },
    "sparse": {
        "holds": shares(of=0.1, kl=0.2, random_reranked=0.5, again_reranked=0.5),
        "fails": shares(of=0.5, random_reranked=0.1),
        "open": lost,
    },
    "teaches": {"holds": shares(of=rewards(coin=0.0)), "fails": shares(of=rewards(coin=0.5)), "open": lost},
    "at-pattern": {"holds": shares(of=AT["pattern"]), "fails": shares(of=AT["answer"]), "open": lost},
    "at-decisions": {"holds": shares(of=AT["answer"]), "fails": shares(of=AT["step"]), "open": lost},
    "finds": {
        "holds": shares("kl_reranked", "kl", of=0.9, reranked=0.1),
        "fails": shares("kl_reranked", "kl", of=0.1, reranked=0.1),
        "open": lost,
    },
    "features": {
        "holds": shares("similarity", of=STEPS[0], random_similarity=STEPS[1]),
        "fails": shares("similarity", of=STEPS[1]),
        "open": lost,
    },
}
