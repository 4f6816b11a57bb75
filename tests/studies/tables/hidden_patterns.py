"""Mutations of `hidden-patterns`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _two(d):
    """With any patterns allowed, clocks are as far apart as with two."""
    value = lambda x: x.where(x.model != "any patterns", 40.0)  # noqa: E731
    return d.change("mixtures", nats=value, deviation=lambda x: 0 * x + 1)


def _alike(d):
    """With any patterns allowed, clocks are not apart at all."""
    return d.change(
        "mixtures",
        nats=lambda x: x.where(x.model != "any patterns", 0.0),
        deviation=lambda x: x.where(x.model != "any patterns", 1.0),
    )


def _near(error):
    """Estimates that miss by so much."""

    def mutate(d):
        wave = error * np.where(np.arange(d.unseen.sizes["population"]) % 2, 1.0, -1.0)
        return d.change("unseen", value=d.unseen.true + wave, narrow=d.unseen.true + 0.02, half=0.05)

    return mutate


def _missed(d):
    return d.change("unseen", value=d.unseen.true + 2)


def _uneven(d):
    """Some estimates that are right, and some that are not."""
    wave = np.where(np.arange(d.unseen.sizes["population"]) % 2, 0.02, 0.25)
    return _few(_near(0.0)(d).change("unseen", value=d.unseen.true + wave))


def _few(d):
    return d.select("unseen", population=slice(9))


def _real(**values):
    return lambda d: d.change("real", **values)


def _toward(by):
    """Nats by which the clock that made the histories is ahead."""

    def nats(x):
        return (0 * x + by * xr.DataArray([-1, 1], coords={"maker": x.maker})).transpose(*x.dims)

    return lambda d: d.change("mixtures", nats=nats, deviation=_small)


def _small(x):
    return 0 * x + 1


TABLE = {
    "told": {
        "holds": _toward(50),
        "fails": _toward(-50),
        "open": lambda d: d.change("mixtures", deviation=lambda x: x + 1e3),
    },
    "hidden": {
        "holds": _alike,
        "fails": _two,
        "open": lambda d: d.change("mixtures", deviation=lambda x: x + 1e3),
    },
    "covers": {"holds": _near(0.02), "fails": _missed, "open": _few},
    "outside": {"holds": _near(0.02), "fails": _missed, "open": _few},
    "identified": {"holds": _near(0.02), "fails": _near(0.5), "open": _uneven},
    "hidden-really": {"holds": _real(nats=0.0), "fails": _real(nats=90.0), "open": _real(deviation=1e3)},
    "resembles": {
        "holds": _real(strangeness=0.5),
        "fails": _real(strangeness=1.0),
        "open": _real(strangeness=np.nan),
    },
}
