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
        "mixtures", nats=lambda x: (0 * x + 40).where(x.model != "any patterns", 0.0), deviation=1.0
    )


def _near(error):
    """Estimates that miss by so much."""

    def mutate(d):
        true, places = d.unseen.true, np.arange(d.unseen.sizes["population"])
        wave = (1 + 0.1 * np.sin(places)) * np.where(places % 2, 1.0, -1.0)
        narrow = np.where(true.kind == "two patterns", 0.02, 2.0)[:, None] * wave
        both = {"half": 0.05, "narrow half": 0.05, "narrow": true + narrow}
        return d.change("unseen", value=true + error * wave, **both)

    return mutate


def _missed(d):
    return d.change("unseen", value=d.unseen.true + 2)


def _uneven(d):
    """Some estimates that are right, and some that are not."""
    wave = np.where(np.arange(d.unseen.sizes["population"]) % 2, 0.02, 0.25)
    return _few(_near(0.0)(d).change("unseen", value=d.unseen.true + wave))


def _few(d):
    return d.select("unseen", population=slice(9))


def _models(any_patterns, deviation=1.0):
    """Nats of the measured run with any patterns; with two they are 100."""
    return lambda d: d.change("real", nats=np.array([100.0, any_patterns]), deviation=deviation)


def _forward(strangeness, value):
    """Estimates of the measured run; backward in time it is strange."""
    both = {"strangeness": np.array([strangeness, 1.0]), "value": np.array([value, 0.5])}
    return lambda d: d.change("real", **both)


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
    "hidden-really": {"holds": _models(0.0), "fails": _models(90.0), "open": _models(0.0, 1e3)},
    "resembles": {
        "holds": _forward(0.5, 0.5),
        "fails": _forward(1.0, 0.5),
        "open": _forward(0.5, np.nan),
    },
}
