"""Mutations of `small-groups`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _lifted(by, arm, base="±1"):
    """The accuracy of one arm is that of another and so much more."""

    def change(x):
        plain = x.sel(arm=base, drop=True)
        return (plain + by + _ripple(plain)).where(x.arm == arm, x).transpose(*x.dims)

    return lambda d: d.change("signs", accuracy=change)


def _at_budget(gap):
    """Groups of 32 at a rate of 4 are better by so much, at each budget."""

    def change(x):
        small = x.sel(G=2, drop=True)
        return (
            (small + gap(x.budget) + _ripple(small)).where((x.G == 32) & (x.rate == 4), x).transpose(*x.dims)
        )

    return lambda d: d.change("spent", accuracy=change)


def _sizes(by):
    """Larger groups are better than groups of 2 by so much, but for the rate of ½."""

    def change(x):
        small = x.sel(G=2, drop=True)
        return (small + by + _ripple(small)).where((x.G > 2) & (x.rate != 0.5), x).transpose(*x.dims)

    return lambda d: d.change("spent", accuracy=change)


def _flags(x, arm):
    """In one arm all but every fourth run loses the best pattern; in the others every fourth, at matched noise none."""
    number = xr.DataArray(np.arange(x.sizes["seed"]) % 4 == 0, dims="seed")
    lost = xr.where(x.arm == arm, ~number, number & (x.arm != "same speed and noise"))
    return (x * 0 + 0.5 - 0.5 * lost).transpose(*x.dims)


def _penalty(x, by):
    """Under λ = 4 GRPO answers as under ¼, and so much more."""
    mild = x.sel(penalty=0.25, drop=True)
    return (mild + by + _ripple(mild)).where((x.penalty == 4) & (x.rule == "GRPO"), x).transpose(*x.dims)


def _seeds(experiment, number):
    return lambda d: d.select(experiment, seed=slice(number))


TABLE = {
    "faster": {
        "holds": _lifted(-0.2, "same rate"),
        "fails": _lifted(0.2, "same rate"),
        "open": _seeds("signs", 2),
    },
    "speed": {
        "holds": _lifted(0.0, "same speed"),
        "fails": _lifted(-0.2, "same speed"),
        "open": _seeds("signs", 2),
    },
    "matched": {
        "holds": _lifted(0.0, "same speed and noise", "same speed"),
        "fails": _lifted(-0.2, "same speed and noise"),
        "open": _seeds("signs", 2),
    },
    "tuned": {
        "holds": lambda d: _lifted(0.0, "same rate")(d).change(
            "signs", accuracy=lambda x: x - 0.5 * ((x.arm == "same rate") & (x.rate < 0.2))
        ),
        "fails": _lifted(0.3, "same rate"),
        "open": _seeds("signs", 4),
    },
    "quiet": {
        "fails": lambda d: d.change("noise", louder=lambda x: 1 / x),
        "holds": lambda d: d.change("noise", louder=lambda x: x * np.where(x.G == 4, 0.0, 1.0)[:, None]),
        "open": lambda d: d.change("noise", louder=np.nan),
    },
    "loses": {
        "holds": lambda d: d.change("signs", best=lambda x: _flags(x, "±1")),
        "fails": lambda d: d.change("signs", best=lambda x: _flags(x, "same speed")),
        "open": _seeds("signs", 2),
    },
    "void": {
        "holds": lambda d: d.change("turns", GRPO=0.5),
        "fails": lambda d: d.change("turns", GRPO=0.3),
        "open": lambda d: d.change("turns", GRPO=np.nan),
    },
    "alike": {
        "holds": lambda d: d.change("abstaining", answers=lambda x: _penalty(x, 0.0)),
        "fails": lambda d: d.change("abstaining", answers=lambda x: _penalty(x, -0.5)),
        "open": _seeds("abstaining", 2),
    },
    "any-size": {
        "holds": _sizes(0.0),
        "fails": _sizes(0.2),
        "open": _seeds("spent", 4),
    },
    "moves": {
        "holds": _at_budget(lambda n: np.log(n / 256) / 10),
        "fails": _at_budget(lambda n: 0.1 + 0 * n),
        "open": _seeds("spent", 2),
    },
}
