"""Mutations of `run-doctors`: what its claims would say of other answers."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data
from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._doctors import ANSWERS, UNCLEAR

OWN = xr.DataArray(np.arange(float(len(CAUSES))), dims="cause")


def many(data):
    """The same answers, to forty times as many runs."""
    return Data({name: xr.concat([data[name]] * 40, "run") for name in data})


def answered(ours):
    """These answers of the examination to many runs of each cause; `[cause]`."""

    def change(data):
        data = many(data)
        return data.change("examined", named=lambda old: 0 * old.fillna(0) + ours)

    return change


def tenths(like, ones):
    """Ones in so many of every ten runs, else zeros, in the shape of an array."""
    flags = xr.DataArray(np.arange(like.sizes["run"]) % 10 < ones, dims="run")
    return (0 * like.fillna(0) + flags).transpose(*like.dims)


def mostly(ours, others):
    """The examination names the cause in so many of ten runs; public doctors, and it of the reward alone, in others."""

    def change(data):
        data = many(data)
        old = data.examined.named
        right = [
            tenths(old.sel(doctor=who), ones)
            for who, ones in zip(old.doctor.values, (ours, others), strict=True)
        ]
        unclear = ANSWERS.index(UNCLEAR)
        named = xr.concat([xr.where(one > 0, OWN, unclear) for one in right], "doctor")
        out = data.change("examined", named=named.transpose(*old.dims).values)
        return out.change("public", right=lambda old: tenths(old, others)) if out.has("public") else out

    return change


def unknown(data):
    """No answers."""
    return data.change("examined", named=np.nan)


def few(data):
    """A run in each form."""
    return data.select("examined", run=slice(1))


def networks(shift):
    """Networks that are named what a run so many causes away is."""

    def named(old):
        own = [list(CAUSES).index(cause) for cause in old.cause.values]
        return (0 * old.fillna(0) + xr.DataArray(np.roll(own, shift), dims="cause")).transpose(*old.dims)

    return lambda data: data.change("networks", named=named)


TABLE = {
    "names": {"holds": answered(OWN), "fails": answered(OWN[::-1]), "open": few},
    "false-alarms": {
        "holds": answered(OWN),
        "fails": answered(0 * OWN + ANSWERS.index("stale")),
        "open": few,
    },
    "whole-log": {"holds": mostly(9, 3), "fails": mostly(3, 9), "open": unknown},
    "in-networks": {
        "holds": networks(0),
        "fails": networks(1),
        "open": lambda d: d.change("networks", named=np.nan),
    },
    "against-others": {"holds": mostly(9, 3), "fails": mostly(3, 9), "open": unknown},
}
