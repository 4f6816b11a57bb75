r"""RL in name only, on tokens: which weights change the length of answers, of all and of wrong ones?

Where answers differ in length alone, weights A_i ν(|o_i|) of rollouts have the first-order drift

$$ \dot L = E[A]\;E[\nu(|o|)\,\nabla\log\pi(o)]\cdot\nabla L, $$

zero for centred weights whatever ν, and zero for ν = 1, as E[∇ log π] = 0. With ν = 1/|o| positives should shorten
answers and negatives lengthen them, and unit ± the one or the other by the share of wrong rollouts. Where the policy
can tell approaches of different accuracy apart, E[A] is not zero in each: under GRPO over |o| the answers of the worse
approach grow and those of the better one shrink, so that wrong answers grow and all answers together stay.

The paper reports wrong answers that grow under GRPO and under ±, for models of 1.5B parameters, and names the division
by |o| among the causes. (The study `answer-length` has a single stop, and one for each class.)

The drift is computed exactly on combs of five steps with a chance of .8 to go on, where every answer is right with the
same rate, and on two such combs behind a first choice, with rates .8 and .2. Sampled training runs on the two combs
(with equal rates of a quarter, and with .8 and .2), and in a decoder that has learnt two combs of three steps for three
questions, is trained by gradient descent on its own samples, and is read exactly.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.clocks._rules import RULES
from qra_jax.studies.credit import (
    _name_only_evidence as reading,
    _name_only_networks,
    _name_only_panels,
    _name_only_tokens,
)
from qra_jax.studies.credit._name_only_networks import NORMS

study = lab.Study(
    __name__, title="Length on tokens: uncentred weights over |o| move it, centred ones move wrong answers"
)

SYSTEMS, UNCENTRED = ["tree", "network"], list(RULES)[2:]
TREES, WORLDS = (
    ["a quarter right", "three quarters right", "two approaches"],
    ("same success", "two approaches"),
)
"""Trees of exact lengths; and of sampled ones, in networks too."""
STILL, ROUNDING = 0.05, 1e-12
"""Growth of a length that matters in training, a twentieth; rounding of float64."""
ROWS = _name_only_networks.of_lengths()
DERIVED = lab.Derived("this study's text", (papers.RINO_3,))


@study.experiment()
def lengths(run: lab.Run) -> xr.Dataset:
    """Exact first-order growth of the logarithm of lengths on combs; growth in sampled training."""
    axes = {"rule": np.arange(len(RULES)), "power": list(NORMS.values())}

    def one(cell):
        combs = [_name_only_tokens.comb(share) for share in (0.25, 0.75)]
        rate = _name_only_tokens.start_length(combs[0]) ** cell.power
        asked = [*combs, _name_only_tokens.twin(0.8, 0.2)]
        return {
            "drift": jnp.stack(
                [_name_only_tokens.drift(each, cell.rule, cell.power) * rate for each in asked]
            )
        }

    exact = lab.cells(one, axes=axes, dims={"drift": ["tree", "answers"]})
    options: dict[str, Any] = {"seeds": run(lab.scale(64, 256)), "dims": {"growth": ["answers"]}}
    sampled = lab.cells(_name_only_tokens.tree_lengths, key=run.key, axes=axes | {"apart": [0, 1]}, **options)
    sampled = sampled.rename(apart="world").assign_coords(world=list(WORLDS))
    labels = {"rule": list(RULES), "power": list(NORMS), "answers": ["all", "wrong"], "tree": TREES}
    return xr.merge([exact, sampled]).assign_coords(labels).rename(power="norm")


@study.experiment()
def networks(run: lab.Run) -> xr.Dataset:
    """Growth of lengths in networks."""
    return _name_only_networks.trained(run, ROWS)


def _drift(data: lab.Data, rules: Sequence[str], norms: Sequence[str], trees: Sequence[str]) -> lab.Estimate:
    found = data.lengths.drift.sel(rule=list(rules), norm=list(norms), tree=list(trees), answers="all")
    size = abs(found).max(["norm", "tree"], skipna=False)
    return lab.exact("largest first-order growth of the length per unit of time", size)


@study.claim(
    "On combs whose answers differ in length alone, centred weights have no drift in length to first order over |o| or "
    "a constant.",
    origin=DERIVED,
)
def still(data):
    return _drift(data, list(RULES)[:2], list(NORMS), TREES[:2]).below(ROUNDING)


still.null("weights that are not centred, over |o|")(
    lambda data: _drift(data, UNCENTRED, ["1/|o|"], TREES[:2]).below(ROUNDING)
)


def _drifts(data: lab.Data, norm: str) -> lab.Evidence:
    found = data.lengths.drift.sel(norm=norm, answers="all", rule=UNCENTRED, tree=TREES[:2], drop=True)
    sign = xr.DataArray([[1.0, -1.0], [-1.0, -1.0], [1.0, 1.0]], found.transpose("rule", "tree").coords)
    words = "first-order growth of the length per unit of time, in the predicted direction"
    return lab.exact(words, found * sign).above(ROUNDING)


@study.claim(
    "Over |o|, positives shorten and negatives lengthen answers to first order; unit ± lengthens them where a quarter "
    "is right and shortens them where three quarters are.",
    origin=DERIVED,
)
def drifts(data):
    return _drifts(data, "1/|o|")


drifts.null("division by a constant")(lambda data: _drifts(data, "constant"))


def _sampled(data: lab.Data, norm: str) -> lab.Evidence:
    both, up, down = (
        {system: reading.growth(data, system, rule, norm) for system in SYSTEMS} for rule in UNCENTRED
    )
    longer = [each[system].above(STILL) for each in (both, down) for system in SYSTEMS]
    return lab.all_of(*longer, *(up[system].below(-STILL) for system in SYSTEMS))


@study.claim(
    "In sampled training of trees and of networks in which a quarter is right, uncentred weights over |o| change the "
    "length by a twentieth or more: positives shorten it, unit ± and negatives lengthen it.",
    origin=DERIVED,
)
def sampled(data):
    return _sampled(data, "1/|o|")


sampled.null("division by a constant")(lambda data: _sampled(data, "constant"))


def _centred(data: lab.Data, rule: str) -> lab.Evidence:
    return lab.all_of(
        *(reading.growth(data, system, rule, "1/|o|").near(0, within=STILL) for system in SYSTEMS)
    )


@study.claim(
    "In the same training GRPO over |o| leaves the mean length where it was, within a twentieth.",
    origin=DERIVED,
)
def centred(data):
    return _centred(data, "GRPO")


centred.null("unit ±")(lambda data: _centred(data, UNCENTRED[0]))


def _first(data: lab.Data, norm: str) -> lab.Evidence:
    drift = data.lengths.drift.sel(rule="GRPO", norm=norm, tree=TREES[2], answers="wrong", drop=True)
    return lab.exact("first-order growth of the length of wrong answers", drift).above(ROUNDING)


@study.claim(
    "Where the policy can tell a better approach from a worse one, GRPO over |o| makes wrong answers longer to first "
    "order.",
    origin=DERIVED,
)
def wrong_first(data):
    return _first(data, "1/|o|")


wrong_first.null("division by a constant")(lambda data: _first(data, "constant"))


def _wrong(data: lab.Data, rule: str, norm: str, answers: str = "wrong") -> lab.Evidence:
    return lab.all_of(*(reading.growth(data, system, rule, norm, answers).above(0.0) for system in SYSTEMS))


@study.claim(
    "In sampled training of trees and networks with a better and a worse approach, GRPO over |o| makes wrong answers "
    "longer.",
    origin=papers.RINO_3,
)
def wrong(data):
    return _wrong(data, "GRPO", "1/|o|")


wrong.null("positives over |o|, where a quarter is right")(
    lambda data: _wrong(data, "positives only", "1/|o|", "all")
)
wrong.positive("negatives over |o|, where a quarter is right")(
    lambda data: _wrong(data, "negatives only", "1/|o|", "all")
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Exact drifts; growth of lengths in training, of all answers and of wrong ones."""
    arms = [
        *product(SYSTEMS, ("GRPO", *UNCENTRED), NORMS, ["all"]),
        *product(SYSTEMS, ["GRPO"], NORMS, ["wrong"]),
    ]
    return _name_only_panels.lengths(data.lengths.drift, {arm: reading.growth(data, *arm) for arm in arms})
