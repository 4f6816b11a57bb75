"""Mutations of `per-question-clocks`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.questions.per_question_clocks import BRACKETED


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


def _starts_alike(d):
    """Two patterns from two distributions of starts have the same exponents."""

    def same(x):
        return xr.where(x.maker == "2, GRPO, other starts", x.sel(maker="2, GRPO"), x).transpose(*x.dims)

    return d.change("estimated", exponent=same)


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


def _place(value):
    """The measured run's statistics at a place between those of twelve patterns with κ = 2 and 6."""

    def mutate(d):
        low, high = (d.real.sel(case=f"12, GRPO, κ = {kappa}") for kappa in (2, 6))
        names = [n for n in d.real.data_vars if n in BRACKETED]
        between = {n.replace(" ", "_"): float(low[n] + value * (high[n] - low[n])) for n in names}
        return _real(**between)(d)

    return mutate


def _off(by):
    """Changes of the measured run as expected, but for so many standard errors."""

    def mutate(d):
        row = d.real.sel(case="real run")
        return _real(change=(row.expected + by * row["change error"]).values)(d)

    return mutate


TABLE = {
    "recovered": {"fails": _shift("2, natural", 0.8), "open": _blurred},
    "signature": {"fails": _two_for_twelve, "open": _blurred},
    "invariant": {"holds": _one_for_all, "fails": _starts_alike, "open": _blurred},
    "adam": {"fails": _shift("2, GRPO by Adam", 1.0), "open": _blurred},
    "one-rate": {"holds": _real(gain=0.0, gain_deviation=0.1), "open": _real(gain_deviation=1e5)},
    "best-model": {"fails": _real(lognormal_exponent=1.0), "open": _real(root=0.1)},
    "binned": {"holds": _off(0.0), "fails": _off(9.0), "open": _off(1.0)},
    "bracketed": {
        "holds": _place(0.5),
        "fails": _place(3.0),
        "open": _place(np.nan),
    },
}
