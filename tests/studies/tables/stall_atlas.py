"""Mutations of `stall-atlas`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data


def _few(data):
    return data.select("atlas", problem=slice(6))


def _times(change):
    """Other times to the target."""
    return lambda data: data.change("atlas", log_time=change)


def _twice(data):
    """Times that are twice the leading order, with 10 patterns."""
    times = data.atlas.log_time.copy()
    times.loc[{"n": 10}] = data.atlas.estimate.sel(few=10) + np.log(2) + 1e-3 * np.sin(data.atlas.problem)
    return data.change("atlas", log_time=times)


def _unrelated(data):
    """Few problems, whose times have nothing to do with the leading order but are as long."""
    few = data.select("atlas", problem=slice(40))
    wave = xr.DataArray(np.arange(40.0), dims="problem")
    law, time = 20 + 10 * np.sin(wave) + 0 * few.atlas.estimate, 20 + 10 * np.sin(1.7 * wave)
    return few.change(
        "atlas", estimate=law.transpose("few", "problem"), log_time=few.atlas.log_time * 0 + time
    )


def _as_regime(data):
    """Regime 2 stalls, Regime 1 does not."""
    return data.change("atlas", log_time=np.where(data.atlas.entangled, 40.0, 3.0))


def _many_as_regime(data):
    """The same of eight times as many problems."""
    atlas = _as_regime(data).atlas
    more = {
        name: xr.concat([value] * 8, "problem") for name, value in atlas.items() if "problem" in value.dims
    }
    more = {name: value.transpose(*atlas[name].dims) for name, value in more.items()}
    return Data({"atlas": atlas.drop_dims("problem").assign(more)})


TABLE = {
    "percentiles": {
        "holds": _twice,
        "fails": _times(lambda t: 2 * t),
        "open": _unrelated,
    },
    "patterns": {"fails": _times(lambda t: 0 * t + t.isel(n=3, drop=True)), "open": _few},
    "fast": {"holds": _many_as_regime, "fails": _times(lambda t: t + 20), "open": _few},
    "entangled": {"holds": _as_regime, "open": _few},
    "mass": {"fails": _times(lambda t: t.roll(problem=1)), "open": _times(lambda t: np.nan * t)},
    "removes": {"fails": _times(lambda t: t.roll(problem=1)), "open": _few},
}
