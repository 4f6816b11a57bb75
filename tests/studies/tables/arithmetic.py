"""Mutations of `arithmetic`: what its claims would say of other data."""

import numpy as np
import xarray as xr

PAID, COIN = "right answers", "coin"
SHARES, RATES = np.array([0.15, 0.25, 0.1, 0.5]), np.array([0.2, 0.4, 0.9, 0.1])


def ripple(array, size=1e-3):
    """Something small that differs from one network to the next."""
    return xr.DataArray(size * np.sin(1 + np.arange(array.size)).reshape(array.shape), dims=array.dims)


def course(*, winner=None, right=0.0, late=0.0, marker=(0.7, 0.7)):
    """Straight paths to one procedure; right answers rise by a number, or late; the marker's chance rises at first.

    Those that are paid by a coin stay where they are.
    """

    def change(data):
        runs = data.runs
        time = xr.DataArray(np.linspace(0, 1, runs.sizes["step"]), dims="step")
        ref, rates = (xr.DataArray(x, dims="procedure") for x in (SHARES, RATES))
        goal = ref if winner is None else xr.DataArray(np.eye(4)[winner], dims="procedure")
        chance = marker[0] + (marker[1] - marker[0]) * np.minimum(2 * time, 1)
        correct = rates * (1 + late * np.maximum(2 * time - 1, 0)) + right * time
        made = {
            "policy": (1 - time) * ref + time * goal,
            "right": correct,
            "paid": correct * chance,
            "announced": chance,
        }
        full = {n: (0 * runs[n].fillna(0) + x).transpose(*runs[n].dims) for n, x in made.items()}
        full = {n: x.where(x.arm == PAID, x.isel(step=0, drop=True)) + ripple(x) for n, x in full.items()}
        return data.change("runs", **{n: x.transpose(*runs[n].dims) for n, x in full.items()})

    return change


def passes(first, last, cooled=0.0):
    """Pass@k of the trained network less that of base, at the smallest and the largest k; less that of base cooled."""

    def change(data):
        passed = 0 * data.runs.passed.fillna(0) + 0.5
        step = xr.DataArray(np.linspace(first, last, passed.sizes["k"]), dims="k")
        passed.loc[{"model": "RL"}] += step
        passed.loc[{"model": "base, cooled"}] += last - cooled
        return data.change("runs", passed=passed + ripple(passed))

    return change


def away(orbit):
    def change(data):
        values = {"orbit": orbit, "natural": 0.2, "line": 0.2, "orbit, mirrored rates": 0.3}
        row = xr.DataArray([values[name] for name in data.curves.curve.values], dims="curve")
        full = (0 * data.curves.away.fillna(0) + row).transpose(*data.curves.away.dims)
        return data.change("curves", away=full + ripple(full))

    return change


def lost(data):
    """A network whose parameters have left the numbers."""
    return data.change("runs", policy=np.nan, right=np.nan, paid=np.nan, passed=np.nan)


TABLE = {
    "prefers": {"holds": course(winner=2), "fails": course(winner=3), "open": lost},
    "rates-stay": {"holds": course(winner=2), "fails": course(winner=2, right=0.4), "open": lost},
    "main-part": {"holds": course(winner=2), "fails": course(right=0.4), "open": lost},
    "on-orbit": {"holds": away(0.01), "fails": away(0.4), "open": away(np.nan)},
    "early-format": {
        "holds": course(late=0.1, marker=(0.4, 1.0)),
        "fails": course(right=0.4, marker=(0.7, 0.71)),
        "open": lost,
    },
    "crossover": {"holds": passes(0.2, -0.2), "fails": passes(-0.2, 0.2), "open": lost},
    "beyond-entropy": {"holds": passes(0.2, -0.2, -0.2), "fails": passes(0.2, -0.2, 0.2), "open": lost},
}
