r"""One budget of tokens: how much of it for mid-training, how much for RL?

2512.07783 trains small transformers on controlled arithmetic and compares, under fixed compute, mid-training
(supervised, on the band of difficulties that RL will be on), RL, and mixtures of both. Mid-training is said to
enhance performance over RL alone; most of the budget in mid-training with light RL to be best at the edge, heavy RL
on far harder questions. (The abstract was read; the last two in summaries by others.)

*Predictions, written before the run.* Let p be the probability of a whole right solution. (1) A token of a
demonstration teaches whatever is not yet known of it, about log(1/p) nats a sequence, and log odds move in proportion
to tokens; RL gets at most one bit a sequence, and ascends right samples alone: a share p of its tokens does what
demonstrations do, and of these none shows what the network would not have written. So at equal tokens mid-training
raises pass@1 in its band more than RL does, as long as p is not near one; and mixtures lie between, in order of their
share: **theory does not expect light RL to beat mid-training alone**, as demonstrations here have one solution and
both have one optimum. (2) Cold start: RL's step is ∝ the chance 1 − (1 − p)^G − p^G that a group is not silent; its
first part of the budget gains more after mid-training than from the base if the base has pG ≪ 1. (3) What is read
counts, not how much: mid-training on the old band does nothing for the new one. (4) Outcome-only reward also pays
lucky answers, a share (1 − p)/7 of samples against p: where p is not far above 1/7 it teaches whole solutions less.
(5) On-policy samples move the policy least: RL keeps the old band better than mid-training on the new one does. (6)
Beyond the band theory promises nothing to either.

*Experiment.* Decoders that have read graphs of 2–4 operations and, rarely, of 5 and 6 (`solvers`) spend
equal budgets of tokens, supervised or sampled, on graphs of 5 and 6: mid-training at a constant rate first, GRPO with
reward .2 + .8 × share of right lines for right answers then, at shares 0, ¼, ½, ¾ and 1, mid-training at a rate of
1e-3 and RL at 3e-4 (on one network 1e-3 lost what it could do, before this study was run; neither is tuned). The
number of steps follows from the mean tokens of a step (8 a line); tokens are counted, and
compute is with 6 operations a parameter and token read, 8 a token sampled and trained on: three quarters of RL's
tokens equal the compute of mid-training, prompts apart (a group shares one, a demonstration has its own). A right
solution is one sequence, so p is exact by teacher forcing, and pass@k is 1 − (1 − p)^k without estimator.

*Controls.* Mid-training alone is SFT at equal budget; the base resampled at equal budget is its pass@k, k being the
tries that the budget pays for; the old band for mid-training, before RL, and for RL, as many sequences of it, which
have about half of the tokens; outcome-only reward.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _budget_panels
from qra_jax.studies.data._budget_arms import (
    ARMS,
    EVEN,
    HEAVY,
    LIGHT,
    MID,
    MIXES,
    NUMBERS,
    OLD_EVEN,
    OLD_MID,
    OLD_RL,
    OUTCOME,
    PARTS,
    RESAMPLED,
    RL,
    TESTS,
    Extent,
)
from qra_jax.studies.data._budget_training import trained

study = lab.Study(__name__, title="One budget of tokens: mid-training against RL, and mixtures of both")

EXTENT = lab.scale(Extent(8, 4, 8, 2, 4, tested=8), Extent(64, 32))
POINTS = 0.03
"""Difference in pass@k that matters."""


@study.experiment()
def stages(run: lab.Run) -> xr.Dataset:
    """All arms as their budget is spent: pass@1, pass@128 and log odds of three bands, and tokens."""
    found = trained(run, run(EXTENT))
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(NUMBERS, ("arm", "seed", "spent", "band"))
    dims |= dict.fromkeys(("read", "sampled"), ("arm", "seed"))
    dims |= dict.fromkeys(("silent", "right"), ("arm", "seed", "part"))
    coords = {"arm": list(ARMS), "spent": np.linspace(0, 1, PARTS + 1), "band": list(TESTS)}
    return lab.dataset({name: (dims.get(name, ()), value) for name, value in found.items()}, coords)


def _at(data: lab.Data, arm: str, band: str, *, spent: float = 1.0, number: str = "pass1") -> xr.DataArray:
    return data.stages[number].sel(arm=arm, band=band, spent=spent, drop=True)


def _more(data: lab.Data, arm: str, other: str, band: str, number: str = "pass1") -> lab.Estimate:
    words = f"{'pass@128' if number == 'passk' else 'pass@1'} ({band}) of {arm}, less that of {other}"
    first, second = (_at(data, one, band, number=number) for one in (arm, other))
    return lab.difference(words, first, second)


@study.claim(
    "At equal tokens half mid-training, half RL have a higher pass@1 in the target band than RL alone, by .03 or more.",
    origin=papers.PRE_MID,
)
def mid_first(data):
    return _more(data, EVEN, RL, "target").above(POINTS)


mid_first.null("mid-training on the old band")(lambda data: _more(data, OLD_EVEN, RL, "target").above(POINTS))


@study.claim(
    "Light RL after mid-training has a higher pass@1 in the target band than every other share of RL at equal tokens.",
    origin=papers.PRE_LIGHT,
)
def light(data):
    return lab.all_of(*(_more(data, LIGHT, other, "target").above(0.0) for other in MIXES if other != LIGHT))


def _best(data: lab.Data, arm: str) -> lab.Evidence:
    return lab.all_of(
        *(_more(data, arm, other, "target").above(0.0) for other in MIXES if other not in (arm, LIGHT))
    )


light.null("mid-training on the old band in its place")(lambda data: _best(data, OLD_MID))
light.positive("mid-training alone, against RL alone")(lambda data: _more(data, MID, RL, "target").above(0.0))


@study.claim(
    "Beyond the band heavy RL after mid-training has a higher pass@128 than light RL, by .03 or more.",
    origin=papers.PRE_HEAVY,
)
def heavy_beyond(data):
    return _more(data, HEAVY, LIGHT, "beyond", "passk").above(POINTS)


heavy_beyond.null("RL on the old band")(
    lambda data: _more(data, OLD_RL, LIGHT, "beyond", "passk").above(POINTS)
)
heavy_beyond.positive("the target band itself: mid-training alone, against RL alone")(
    lambda data: _more(data, MID, RL, "target", "passk").above(POINTS)
)


def _odds(data: lab.Data, arm: str) -> lab.Evidence:
    first, second = (_at(data, one, "target", number="odds") for one in (arm, RL))
    return lab.difference(f"log odds of whole solutions (target), {arm} less {RL}", first, second).above(0.0)


@study.claim(
    "A token that is read moves log odds in the target band further than one that is sampled: mid-training alone ends "
    "above RL alone.",
    origin=lab.Derived("log(1/p) nats a demonstration against one bit a sample; this study's text, 1"),
)
def token(data):
    return _odds(data, MID)


token.null("mid-training on the old band")(lambda data: _odds(data, OLD_MID))


def _new(data: lab.Data, arm: str) -> lab.Evidence:
    words = f"pass@1 (target) of {arm}, less that of the base"
    return lab.difference(words, _at(data, arm, "target"), _at(data, arm, "target", spent=0.0)).above(POINTS)


@study.claim(
    "Mid-training on the target band raises pass@1 there by .03 or more.",
    origin=lab.Derived("what is read counts, not how much; this study's text, 3", (papers.PRE_MID,)),
)
def band(data):
    return _new(data, MID)


band.null("as many sequences of the old band")(lambda data: _new(data, OLD_MID))


def _first_part(data: lab.Data, arm: str) -> xr.DataArray:
    first, last = (_at(data, arm, "target", spent=ARMS[arm].share + more) for more in (0, 1 / PARTS))
    return last - first


def _warmer(data: lab.Data, arm: str) -> lab.Evidence:
    words = f"gain in pass@1 (target) by the first quarter of RL, {arm} less RL from the base"
    return lab.difference(words, _first_part(data, arm), _first_part(data, RL)).above(0.0)


@study.claim(
    "The first quarter of the budget in RL gains more pass@1 after a quarter of mid-training than from the base.",
    origin=lab.Derived("cold start: the share of groups that are not silent; this study's text, 2"),
)
def cold_start(data):
    return _warmer(data, HEAVY)


cold_start.null("after mid-training on the old band")(lambda data: _warmer(data, OLD_EVEN))
cold_start.positive("a first quarter of mid-training in the place of RL, from the base")(
    lambda data: lab.difference(
        "gain in pass@1 (target) by the first quarter of mid-training, less RL's",
        _at(data, MID, "target", spent=1 / PARTS) - _at(data, MID, "target", spent=0.0),
        _first_part(data, RL),
    ).above(0.0)
)


@study.claim(
    "RL on the target band keeps pass@1 in the old band better than mid-training on the target band does.",
    origin=lab.Derived("on-policy samples move the policy least; this study's text, 5"),
)
def keeps(data):
    return _more(data, RL, MID, "inside").above(0.0)


keeps.null("mid-training on the old band")(lambda data: _more(data, RL, OLD_MID, "inside").above(0.0))


@study.claim(
    "RL with the process in its reward ends with a higher pass@1 in the target band than RL on outcomes alone, by .03.",
    origin=lab.Derived(
        "lucky answers are a share (1 − p)/7 of samples; this study's text, 4", (papers.PRE_MID,)
    ),
)
def process(data):
    return _more(data, RL, OUTCOME, "target").above(POINTS)


process.null("RL on the old band")(lambda data: _more(data, OLD_RL, OUTCOME, "target").above(POINTS))
process.positive("mid-training alone, against RL on outcomes")(
    lambda data: _more(data, MID, OUTCOME, "target").above(POINTS)
)


def _retried(data: lab.Data, arm: str) -> lab.Evidence:
    words = f"pass@1 (target) of {arm}, less pass@{RESAMPLED} of the base"
    base = _at(data, arm, "target", spent=0.0, number="retried")
    return lab.difference(words, _at(data, arm, "target"), base).above(0.0)


@study.claim(
    "Half mid-training, half RL reach a pass@1 in the target band above what the base has with as many tries as the "
    "budget pays for.",
    origin=lab.Asked("Samples and a verifier also solve questions without training.", (papers.PRE_MID,)),
)
def resampled(data):
    return _retried(data, EVEN)


resampled.null("RL on the old band")(lambda data: _retried(data, OLD_RL))
resampled.positive("more tries than one, of the trained network")(
    lambda data: lab.difference(
        f"pass@{RESAMPLED} of {EVEN}, less that of the base",
        _at(data, EVEN, "target", number="retried"),
        _at(data, EVEN, "target", spent=0.0, number="retried"),
    ).above(0.0)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """pass@1 against share of the budget in RL; on the way; every band; silent groups."""
    return _budget_panels.budget(data.stages)
