"""Mutations of `per-question-clocks`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _shift(maker, by):
    """Exponents of a population moved."""

    def change(exponent):
        return exponent + by * (exponent.maker == maker)

    return lambda d: d.change("estimated", exponent=change)


def _blurred(d):
    return d.change("estimated", error=lambda x: x + 10)


def _two_for_twelve(d):
    """Every number of GRPO on twelve patterns as on two."""
    rows = d.estimated
    return d.change(
        "estimated",
        **{
            str(name): lambda x: xr.where(x.maker == "12, GRPO, κ = 6", x.sel(maker="2, GRPO"), x).transpose(
                *x.dims
            )
            for name in rows.data_vars
        },
    )


def _one_for_all(d):
    """GRPO with κ = 2 has the exponents of κ = 6."""
    return d.change(
        "estimated",
        exponent=lambda x: xr.where(
            x.maker == "12, GRPO, κ = 2", x.sel(maker="12, GRPO, κ = 6"), x
        ).transpose(*x.dims),
    )


def _real(**values):
    """Other numbers of the measured run; its simulated companions keep theirs. Underscores stand for blanks."""

    def mutate(d):
        new = {}
        for name, value in values.items():
            old = d.real[name.replace("_", " ")].copy()
            old.loc[{"case": "real run"}] = value
            new[name.replace("_", " ")] = old
        return d.change("real", **new)

    return mutate


def _fits(d):
    """The changes of the measured run are as expected."""
    return _real(change=d.real.expected.sel(case="real run").values)(d)


TABLE = {
    "recovered": {"fails": _shift("2, natural", 0.8), "open": _blurred},
    "signature": {"fails": _two_for_twelve, "open": _blurred},
    "invariant": {"holds": _one_for_all, "open": _blurred},
    "adam": {"fails": _shift("2, GRPO by Adam", 1.0), "open": _blurred},
    "one-rate": {"holds": _real(gain=0.0, gain_deviation=0.1), "open": _real(gain_deviation=1e5)},
    "best-model": {"fails": _real(lognormal_exponent=1.0), "open": _real(lognormal_error=1.0)},
    "binned": {"holds": _fits, "fails": _real(change=9.0), "open": _real(change=np.nan)},
    "bracketed": {
        "holds": lambda d: _real(exponent=0.1, gain=float(d.real.gain[1:3].mean()))(d),
        "fails": _real(exponent=1e9, gain=1e9),
        "open": _real(exponent=np.nan, gain=np.nan),
    },
}
