"""Evidence of `extrapolation` on predicted ends: from which share of the run, and of how good a rule."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._futures import HOLD, RELEX
from qra_jax.studies.weights._futures_judged import ACTUAL, LATE, errors, less, shares
from qra_jax.studies.weights._provided import Provided

REPORTED, MOST, WORTH, FEWER = 0.96, 0.9, 0.02, 0.9
"""The paper's share of the final accuracy; share of the gain that is most of it; accuracy that matters; share of
errors that is left."""


def reported(data: lab.Data, *rules: str) -> lab.Evidence:
    """That rules have the paper's share of the final accuracy, that of the base in it."""
    runs = data.runs.assign(base=0 * data.runs.base)  # what is unknown stays so
    words = f"share of the final accuracy, from {_given(runs, 0.4)} of the run"
    return replace(shares(runs, rules, 0.4), quantity=words).above(REPORTED).per("run")


def most(data: lab.Data, *rules: str) -> lab.Evidence:
    """That rules have most of the gain."""
    words = f"share of the final gain, from {_given(data.runs, 0.4)} of the run"
    return replace(shares(data.runs, rules, 0.4), quantity=words).above(MOST).per("run")


def as_good(data: lab.Data, rule: str, share: float) -> lab.Evidence:
    """That a rule predicts an end as good as the actual one."""
    return _less(data.runs, (rule,), ACTUAL, share).above(-WORTH).per("run")


def no_better(data: lab.Data, *rules: str) -> lab.Evidence:
    """That rules predict no better an end than RELEX does."""
    return _less(data.runs, rules, RELEX, 0.4).below(WORTH).per("run")


def no_better_if_good(data: lab.Data, *rules: str) -> lab.Evidence:
    """The same where RELEX is better than the base."""
    runs = data.runs.assign(late=data.runs.base)
    words = f"accuracy of an end by RELEX less that of the base, from {_given(runs, 0.4)} of the run"
    good = replace(less(runs, (RELEX,), LATE, 0.4), quantity=words).above(WORTH)
    return Provided(good, no_better(data, *rules))


def better(data: lab.Data, *rules: str) -> lab.Evidence:
    """That a rule reaches more than the last checkpoint has."""
    return lab.somewhere(_less(data.runs, rules, HOLD, 0.2).above(WORTH))


def beyond(data: lab.Data, name: str) -> lab.Evidence:
    """That errors are gone after a step on."""
    return errors(data.runs, name).below(FEWER).per("run")


def _less(runs: xr.Dataset, rules: tuple[str, ...], than: str, share: float) -> lab.Estimate:
    words = f"accuracy of an end less that of {than!r}, from {_given(runs, share)} of the run"
    return replace(less(runs, rules, than, share), quantity=words)


def _given(runs: xr.Dataset, share: float) -> str:
    """The share that is given where one is asked for: checkpoints are kept at a few steps only."""
    return " or ".join(sorted({f"{float(x):.2g}" for x in runs.given.sel(share=share).values.ravel()}))
