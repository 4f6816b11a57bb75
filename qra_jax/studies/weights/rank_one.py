r"""Does the first singular direction of every weight's update carry what training gained?

The claim: with ΔW = W − W₀ and its first direction ΔW₁ = σ₁u₁v₁ᵀ, the network W₀ + αΔW₁, α = ‖ΔW‖/‖ΔW₁‖, has nearly all
of the gain of RL, but not that of supervised training or of DPO; embedding, norms and unembedding are left at base.

Theory says nothing of a network's weights, but what would make the claim empty: if few directions matter to the task
and ΔW is long, any direction that overlaps with them gains when it is made long enough. So it is asked as well whether
the *second* direction at the same norm gains less, what is left without the first, and what random directions do. A
gain can also sit in what the protocol leaves at base. A method that has gone further has more to recover: all arms are
compared at the checkpoint at which they have half of the gain of GRPO with Adam; one that never has it says nothing.

The experiment: the reference runs of several ways of training, of the same base networks, each at its best learning
rate. Accuracy is exact, by teacher forcing, on questions like those of training; recovery is the share of the *gain*.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _rank_one_panels as drawn
from qra_jax.studies.weights._parts_of_updates import (
    ALMOST,
    FIRST,
    MATRICES_ONLY,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
    read_all,
)

study = lab.Study(__name__, title="Rank one: how much of a gain the first direction of every update carries")

RL = ("GRPO, SGD", "GRPO, Adam")
SUPERVISED = ("SFT", "distillation")
OTHERS = ("filtered SFT⁺", "distillation, on-policy", "DPO, offline", "DPO, iterated")
ARMS = (*RL, *SUPERVISED, *OTHERS)
NEAR, LEAST, MOST, HALF = 0.05, 0.05, 0.9, 0.5
"""How near in accuracy a checkpoint has to be; the least gain; shares of it that count as nearly all and as little."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracies of networks made of parts of an update, at the matched checkpoint."""
    return read_all(run, ARMS)


def _recovered(data: lab.Data, arms: tuple[str, ...], network: str) -> xr.DataArray:
    """Share of the gain that a network has, `[task, arm, seed]`; NaN where an arm never has the gain asked for."""
    runs = data.runs.sel(arm=list(arms))
    gain = (runs.tuned - runs.base).where(abs(runs.tuned - runs.goal) < NEAR)
    return (runs.made.sel(network=network, drop=True) - runs.base) / gain.where(gain > LEAST)


def _share(data: lab.Data, arms: tuple[str, ...], network: str) -> lab.Estimate:
    """Its mean over the bases on which an arm has that gain."""
    share, rows = _recovered(data, arms, network).stack(run=("task", "arm")), {}
    for run in share.run.values:
        one = share.sel(run=run, drop=True)
        rows[f"{run[1]} ({run[0]})"] = lab.mean(f"share of the gain: {network}", one[one.notnull().values])
    return lab.stacked("run", rows)


def _carries(data: lab.Data, arms: tuple[str, ...], network: str) -> lab.Evidence:
    return _share(data, arms, network).above(MOST).per("run")


@study.claim(
    "The first direction of every matrix, at the norm of the whole update, has nine tenths of the gain of GRPO.",
    origin=papers.A_1,
)
def carries(data):
    return _carries(data, RL, FIRST)


@carries.null("the second direction")
def _(data):
    return _carries(data, RL, SECOND)


@carries.positive("all directions of the matrices")
def _(data):
    return _carries(data, RL, MATRICES_ONLY)


@study.claim(
    "The first direction of every matrix, at the norm of the whole update, with embedding, norms and unembedding as "
    "trained, has nine tenths of the gain of GRPO.",
    origin=lab.Asked("What the protocol leaves at base may carry a part of the gain.", (papers.A_1,)),
)
def with_rest(data):
    return _carries(data, RL, WITH_REST)


@with_rest.null("embedding, norms and unembedding alone")
def _(data):
    return _carries(data, RL, REST_ONLY)


@with_rest.positive(ALMOST)
def _(data):
    return _carries(data, RL, ALMOST)


def _misses(data: lab.Data, arms: tuple[str, ...], network: str = FIRST) -> lab.Evidence:
    return _share(data, arms, network).below(HALF).per("run")


@study.claim(
    "The first direction has less than half of the gain of SFT on demonstrations and of distillation.",
    origin=papers.A_1,
)
def supervised(data):
    return _misses(data, SUPERVISED)


@supervised.null("all directions of the matrices")
def _(data):
    return _misses(data, SUPERVISED, MATRICES_ONLY)


@supervised.positive("a random direction")
def _(data):
    return _misses(data, SUPERVISED, RANDOM)


@study.claim(
    "The second direction, at the same norm, has less than half of the gain of GRPO.",
    origin=lab.Asked("Random directions gain nothing at any scale: too weak a null.", (papers.A_1,)),
)
def second(data):
    return _misses(data, RL, SECOND)


@second.null("all directions of the matrices")
def _(data):
    return _misses(data, RL, MATRICES_ONLY)


@second.positive("a random direction")
def _(data):
    return _misses(data, RL, RANDOM)


@study.claim(
    "Without its first direction, at the same norm, the update has less than half of the gain of GRPO.",
    origin=lab.Asked("If the first direction carries the gain, the others cannot.", (papers.A_1,)),
)
def needed(data):
    return _misses(data, RL, WITHOUT)


@needed.null("all directions of the matrices")
def _(data):
    return _misses(data, RL, MATRICES_ONLY)


@needed.positive("a random direction")
def _(data):
    return _misses(data, RL, RANDOM)


@study.claim(
    "The matrices of attention and perceptron carry nine tenths of the gain of GRPO, embedding, norms and "
    "unembedding left at base.",
    origin=lab.Asked("The protocol leaves them at base; what sits there is lost to it.", (papers.A_1,)),
)
def matrices(data):
    return _carries(data, RL, MATRICES_ONLY)


@matrices.null("the rest alone, matrices left at base")
def _(data):
    return _carries(data, RL, REST_ONLY)


@matrices.positive(ALMOST)
def _(data):
    return _carries(data, RL, ALMOST)


def _longer(data: lab.Data, update: str) -> lab.Evidence:
    share = data.runs.share.sel(arm=list(RL))
    both = (share.sel(update=one, drop=True) for one in (update, "Gaussian"))
    return lab.ratio("share of the norm / that of a Gaussian update", *both).above(1.2).per("task", "arm")


@study.claim(
    "The first direction of GRPO's updates has a larger share of the norm than in a Gaussian update of that norm, by "
    "a fifth or more.",
    origin=lab.Asked(
        "A fifth of the norm is reported for large matrices; in small ones noise alone has more than that.",
        (papers.A_1_SHARE,),
    ),
)
def longer(data):
    return _longer(data, "own")


@longer.null("another Gaussian update")
def _(data):
    return _longer(data, "Gaussian, again")


def _peak(data: lab.Data, scale: float, other: float) -> lab.Evidence:
    found = data.runs.scaled.sel(arm=list(RL))
    both = found.sel(scale=scale, drop=True), found.sel(scale=other, drop=True)
    return (
        lab.difference(f"accuracy at λ = {scale:g} less that at {other:g}", *both)
        .above(0.0)
        .per("task", "arm")
    )


@study.claim(
    "The first direction gains more at .7 of the full norm than at the full norm.", origin=papers.A_1_SHARE
)
def below_full(data):
    return _peak(data, 0.7, 1.0)


@below_full.null("at .3 of the full norm less than at .7")
def _(data):
    return _peak(data, 0.3, 0.7)


@below_full.positive("at the full norm more than at .3")
def _(data):
    return _peak(data, 1.0, 0.3)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Shares of the gain by arm and network; accuracy against λ; share of the norm."""
    return drawn.every(data, _share)
