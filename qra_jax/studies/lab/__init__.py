"""The laboratory: what a study is made of.

A study declares experiments on named axes, claims with their origin, evidence and controls, and a figure; what recurs
in that is here, once.
"""

from qra_jax.studies.lab.arms import Data, DataMissing, Run, cells, dataset, scale, static
from qra_jax.studies.lab.bank import Bank
from qra_jax.studies.lab.evidence import (
    Estimate,
    Evidence,
    Verdict,
    all_of,
    any_of,
    close,
    contrary,
    correlation,
    difference,
    exact,
    explained,
    line,
    mean,
    measured,
    misfit,
    never,
    ordered,
    ratio,
    same_curve,
    share,
    slope,
    somewhere,
    stacked,
    statistic,
    tail,
)
from qra_jax.studies.lab.origin import Asked, Derived, Paper
from qra_jax.studies.lab.study import Claim, Finding, Study

__all__ = [
    "Asked",
    "Bank",
    "Claim",
    "Data",
    "DataMissing",
    "Derived",
    "Estimate",
    "Evidence",
    "Finding",
    "Paper",
    "Run",
    "Study",
    "Verdict",
    "all_of",
    "any_of",
    "cells",
    "close",
    "contrary",
    "correlation",
    "dataset",
    "difference",
    "exact",
    "explained",
    "line",
    "mean",
    "measured",
    "misfit",
    "never",
    "ordered",
    "ratio",
    "same_curve",
    "scale",
    "share",
    "slope",
    "somewhere",
    "stacked",
    "static",
    "statistic",
    "tail",
]
