"""Mutations of `transformer-rlif`: what its claims would say of other data."""

import numpy as np
import xarray as xr

INTERNAL = ["self-certainty", "token entropy", "trajectory log-prob", "majority vote"]


def _noise(shape, size=1e-3, seed=0):
    return size * np.random.default_rng(seed).standard_normal(shape)


def _curves(data, name, change, start="base"):
    """A score of the runs from one start with internal rewards, as a function of the part of training that is over."""
    runs = data.runs
    values, part = runs[name].copy(), runs.step / runs.step[-1]
    for i in np.flatnonzero((runs.start == start) & runs.of.isin(INTERNAL)):
        first = values[{"run": i}].isel(step=0)
        new = (first + change(part)).transpose(*values[{"run": i}].dims)
        values[{"run": i}] = new + _noise(new.shape)
    return values


def _formatted(change):
    return lambda d: d.change("runs", formatted=_curves(d, "formatted", change))


def _format(data):
    """Three quarters of the gain are format, and a base that always announces gains in answers alone."""
    for start, sizes in (("base", (0.4, 0.1)), ("always announces", (0.3, 0.3))):
        for name, size in zip(("formatted", "plain"), sizes, strict=True):
            data = data.change("runs", **{name: _curves(data, name, lambda x, size=size: size * x, start)})
    return data


def _by_entropy(slope, least=0.0):
    """Gains that are linear in the entropy of the start; a coin gains nothing."""

    def mutate(data):
        runs = data.runs
        first = runs.formatted.isel(step=0)
        gain = (least + slope * (runs.entropy.isel(step=0) - 0.05)) * (runs.of != "coin")
        values = first + gain * runs.step / runs.step[-1]
        values = values.transpose(*runs.formatted.dims)
        return data.change("runs", formatted=values.values + _noise(values.shape, 1e-4))

    return mutate


def _cosines(value):
    def mutate(data):
        cosine = data.runs.cosine.copy()
        cosine[{"kin": slice(1, 4), "other": slice(1, 4)}] = value
        cosine = cosine + _noise(cosine.shape)
        return data.change("runs", cosine=cosine.values)

    return mutate


def _first_move(sign):
    """A first step along, or against, the softmax policy gradient; a coin moves one question a little."""

    def mutate(data):
        runs = data.runs
        policy, wanted = runs.policy.copy(), runs.rates
        for i in np.flatnonzero(runs.start == "base"):
            base, name = policy[{"run": i, "step": 0}], str(runs.of.values[i])
            if name == "coin":
                moved = base * np.exp(np.array([0.1, -0.1, 0.0]) + _noise(base.shape))
                one = xr.DataArray(np.arange(runs.sizes["question"]) == 0, dims="question")
                policy[{"run": i, "step": 1}] = (moved / moved.sum("pattern")).where(one, base)
                continue
            rates = wanted.sel(reward=name.removesuffix(", again"), drop=True)
            pull = base * (rates - (base * rates).sum("pattern"))
            moved = base * np.exp(sign * 0.1 * pull + _noise(pull.shape, 1e-4, int(i)))
            policy[{"run": i, "step": 1}] = (moved / moved.sum("pattern")).transpose(
                "seed", "question", "pattern"
            )
        return data.change("runs", policy=policy)

    return mutate


def _still(data):
    success = data.runs.success
    flat = success.isel(step=0).broadcast_like(success).transpose(*success.dims)
    return data.change("runs", success=flat.values + _noise(flat.shape, 1e-4))


def _turned(data):
    """Success rates that move in the first half of training, and stay in the second."""
    success = data.runs.success
    moved = success.isel(step=0) + 0.4 * np.minimum(2 * success.step / success.step[-1], 1)
    moved = moved.transpose(*success.dims)
    return data.change("runs", success=moved.values + _noise(moved.shape, 1e-4))


def _wandering(depth):
    """The choice of patterns falls so deep under internal feedback, and does not fall under RLVR."""

    def mutate(data):
        runs = data.runs
        policy = runs.policy.copy()
        right = xr.where(runs.pattern == 0, 1.0, 0.0)
        for i in np.flatnonzero(runs.start == "base"):
            part = runs.step / runs.step[-1]
            best = 0.8 - depth * part
            if str(runs.of.values[i]).startswith("RLVR"):
                best = 0.3 + 0.5 * np.minimum(2 * part, 1)
            seeds = 1 + xr.DataArray(_noise(runs.sizes["seed"]), dims="seed")
            new = (best * right + (1 - best) * (1 - right) / 2) * seeds
            new = new.broadcast_like(policy[{"run": i}]).transpose(*policy[{"run": i}].dims)
            policy[{"run": i}] = new + _noise(new.shape, 1e-3, int(i))
        return data.change("runs", policy=policy)

    return mutate


def _lost(name):
    return lambda d: d.change("runs", **{name: np.nan})


TABLE = {
    "rises": {
        "holds": _formatted(lambda x: 0.8 * x - 1.1 * x**2),
        "fails": _formatted(lambda x: 0.3 * x),
        "open": _lost("formatted"),
    },
    "format": {"holds": _format, "fails": _formatted(lambda x: -0.2 * x), "open": _lost("plain")},
    "teaches": {
        "holds": lambda d: d.change("runs", announced=_curves(d, "announced", lambda x: 0.2 * x)),
        "fails": lambda d: d.change("runs", announced=_curves(d, "announced", lambda x: -0.5 * x)),
        "open": _lost("announced"),
    },
    "entropy": {"holds": _by_entropy(0.7), "fails": _by_entropy(0.0, 0.2), "open": _lost("entropy")},
    "kinship": {"holds": _cosines(0.7), "fails": _cosines(-0.2), "open": _lost("cosine")},
    "direction": {"holds": _first_move(1), "fails": _first_move(-1), "open": _lost("rates")},
    "stay": {"holds": _still, "fails": _turned, "open": _lost("success")},
    "wanders": {"holds": _wandering(0.4), "fails": _wandering(0.0), "open": _lost("policy")},
}
