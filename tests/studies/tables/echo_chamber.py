"""Mutations of `echo-chamber`: what its claims would say of other data."""

from typing import Any

import numpy as np

FORMATS = ("columns", "running", "split", "guess")
CORPORA = ("frequent right", "rare right", "very rare right")
ALONE, EVEN, LONG = (0.97, 0.01, 0.01, 0.01), (0.6, 0.05, 0.3, 0.05), (0.15, 0.02, 0.8, 0.03)
RATES = (0.3, 0.1, 0.9, 0.05)


def _seeds(x):
    """A little scatter from seed to seed."""
    return x.seed.copy(data=1e-3 * np.sin(1 + np.arange(x.sizes["seed"])))


def _along(x, values):
    return x.format.copy(data=np.array(values, float))


def _shares(rest, **arms):
    """Shares of all arms at these values, or of some arms (`coin`, `main`, `beta`, `corpora`) at others."""

    def change(x):
        x = x.assign_coords(seed=np.arange(x.sizes["seed"]))
        out = 0 * x + _along(x, rest) + _seeds(x)
        kinds = {"coin": x.arm == "coin", "beta": x.arm.str.startswith("β"), "main": x.arm == "rare right"}
        kinds["corpora"] = x.arm.isin(CORPORA)
        for kind, values in arms.items():
            out = out.where(~kinds[kind], _along(x, values) + _seeds(x))
        return out.transpose(*x.dims).values

    return change


def _rates(x):
    x = x.assign_coords(seed=np.arange(x.sizes["seed"]))
    return (0 * x + _along(x, RATES) + _seeds(x)).transpose(*x.dims).values


def _expected(values):
    return lambda x: (0 * x + _along(x, values)).transpose(*x.dims).values


def _path(early, low, high):
    """A path from one value to another, within the first records or in the last ones, with scatter of its time."""

    def change(x):
        x = x.assign_coords(seed=np.arange(x.sizes["seed"]))
        time: Any = x.step / float(x.step.max()) + 0 * x
        pace = 1 + _seeds(x)
        way = 1 - np.exp(-time * pace / 0.1) if early else (time * pace) ** 6
        level: Any = low if np.isscalar(low) else _along(x, low)
        goal: Any = high if np.isscalar(high) else _along(x, high)
        return (level + (goal - level) * way).transpose(*x.dims).values

    return change


def _passed(first, last):
    """Pass@k after RL, less the base's, at one try and at most; the base again is the base but for scatter."""

    def change(x):
        x = x.assign_coords(seed=np.arange(x.sizes["seed"]))
        k = x.k.copy(data=np.linspace(first, last, x.sizes["k"]))
        base = 0.5 + 0 * x.sel(model="base", drop=True)
        gain = (x.model == "RL") * (k + _seeds(x)) + (x.model == "base, again") * _seeds(x)
        return (base + gain).transpose(*x.dims).values

    return change


def _start(d):
    """Both sizes from the same shares, but for scatter, to the long format in large networks alone."""

    def to(values):
        def change(x):
            x = x.assign_coords(seed=np.arange(x.sizes["seed"]))
            level = _along(x, EVEN) + (x.step == x.step.max()) * (_along(x, values) - _along(x, EVEN))
            return (0 * x + level + _seeds(x) * (2 if values is LONG else 1)).transpose(*x.dims).values

        return change

    return d.change("runs", policy=to(LONG)).change("small", policy=to(EVEN))


UNKNOWN = {"open": lambda d: d.change("runs", policy=np.nan)}

TABLE = {
    "one-format": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", policy=_shares(ALONE, coin=EVEN)),
        "fails": lambda d: d.change("runs", policy=_shares(EVEN)),
    },
    "best": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", rate=_rates, policy=_shares(LONG, coin=EVEN)),
        "fails": lambda d: d.change("runs", rate=_rates, policy=_shares(EVEN)),
    },
    "frozen": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", policy=_shares(EVEN)).change(
            "theory", tree=_expected(EVEN), stay=_expected((0, 0, 1, 0))
        ),
        "fails": lambda d: d.change("runs", policy=_shares(EVEN)).change(
            "theory", tree=_expected((0, 0, 1, 0))
        ),
    },
    "together": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", policy=_path(True, EVEN, LONG), accuracy=_path(True, 0.3, 0.9)),
        "fails": lambda d: d.change("runs", policy=_path(True, EVEN, LONG), accuracy=_path(False, 0.3, 0.9)),
    },
    "passes": {
        "holds": lambda d: d.change("runs", passed=_passed(0.2, -0.2)),
        "fails": lambda d: d.change("runs", passed=_passed(0.2, 0.1)),
        "open": lambda d: d.change("runs", passed=np.nan),
    },
    "keeps-two": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", policy=_shares(EVEN, main=ALONE)),
        "fails": lambda d: d.change("runs", policy=_shares(ALONE)),
    },
    "law": UNKNOWN
    | {
        "holds": lambda d: d.change("runs", policy=_shares(EVEN)).change(
            "theory", law=_expected(EVEN), stay=_expected((0, 0, 1, 0))
        ),
        "fails": lambda d: d.change("runs", policy=_shares(EVEN)).change(
            "theory", law=_expected((0, 0, 1, 0))
        ),
    },
    "size": UNKNOWN
    | {
        "holds": _start,
        "fails": lambda d: d.change("runs", policy=_shares(EVEN)).change(
            "small", policy=lambda x: 2 * _shares(EVEN)(x) - _shares(EVEN)(x).mean(axis=1, keepdims=True)
        ),
    },
}
