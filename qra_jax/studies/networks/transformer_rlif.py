"""What does internal feedback do to a network that writes its answers token by token?

Zhang et al. report that a model trained on its own certainty rises and falls below its start, that the gain grows with
the entropy of the start, that much of it is format, and that such rewards are partly equivalent. Chen, Li and Zou say
that success rates stay, and that internal feedback wanders where RLVR moves steadily to better patterns.

Questions have three patterns: sure and right, sure and wrong (its mass on one wrong answer), unsure. In half of them
the wrong one is the surer; in a third it is also the commoner. Answers are announced by a marker in 80 % of the corpus,
and a verifier that asks for it scores accuracy *with format*. Sequences of each question are enumerated: scores,
rewards and expected gradients are exact. Theory takes the base's π and expected reward R of each pattern, and predicts
that the logits first move along π(R − R̄); it cannot see that a network also moves its answers and its format.
Controls: networks that are paid by a coin, from all starts but one, and RLVR twice, with other random numbers.

Starts with another entropy lie between the base and the ends of SFT on the right pattern everywhere, or on the wrong
one in half of the questions. Gains are read at the peak of the mean over the *other* seeds, so that noise is no gain.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import qra_jax.studies.networks._rlif as _rlif
from qra_jax import plot, transformer
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.networks import _rlif_panels
from qra_jax.studies.networks._bases import learnt
from qra_jax.studies.networks._rlif import gains, of_base, slopes
from qra_jax.studies.networks._sequences import PAID, REWARDS, expected, language, lessons, questions
from qra_jax.transformer import learning

study = lab.Study(__name__, title="Internal feedback in a network: what a reward can see decides what rises")

INTERNAL, CERTAIN = REWARDS[1:], REWARDS[1:4]
"""Internal rewards; those without a vote."""
ANNOUNCED, WIDTH, LESSONS, SFT_RATE = (0.8, 1.0), 32, 200, 3e-3
SEEDS, QUESTIONS, DEPTH, STEPS = lab.scale(8, 8), lab.scale(6, 12), lab.scale(1, 2), lab.scale(48, 100)
WEIGHTS, RATE, EVERY = lab.scale((0.2, 1.0), (0.2, 0.5, 1.0)), lab.scale(8e-4, 4e-4), 4
"""Weights of an SFT end in the starts between; learning rate of Adam in RL; steps between records."""
TAUGHT, NAT, MARGIN, STILL, KIN, FELL = 0.05, 0.1, 0.1, 0.05, 0.25, 0.02
"""Rise of a share; gain a nat; tolerance of a share; change of a rate; cosine; depth of a fall."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Exact scores along RL from every start, on every reward; and what rewards see at the base."""
    seeds, weights, steps = run(SEEDS), run(WEIGHTS), run(STEPS)
    options: dict[str, Any] = {"steps": (1, 1, 1), "digits": 1}
    tasks = [transformer.controlled(questions(run(QUESTIONS)), announced=x, **options) for x in ANNOUNCED]
    task, model = tasks[0], transformer.Decoder(tasks[0].vocabulary, width=WIDTH, depth=run(DEPTH))
    extent = {"seed": run.shared_seed, "seeds": seeds, "steps": LESSONS}
    bases = jax.tree.map(jnp.asarray, run.bank.get(learnt, tuple(tasks), model, **extent))
    starts = _rlif.starts(model, bases, lessons(tasks[1]), weights=weights, steps=LESSONS, rate=SFT_RATE)
    pairs = _rlif.pairs(list(starts))
    every = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts.values())
    start = jnp.array([list(starts).index(name) for name, _ in pairs])
    reward = jnp.array([PAID.index(name) for _, name in pairs])

    def one(cell: Any) -> dict[str, jax.Array]:
        params = jax.tree.map(lambda leaf: leaf[start[cell.run], cell.seed], every)
        key = jax.random.fold_in(jax.random.fold_in(run.key, 1 + cell.seed), cell.run)
        extent: dict[str, Any] = {"rate": run(RATE), "steps": steps, "every": EVERY}
        return _rlif.trained(key, model, params, task, reward=reward[cell.run], **extent)

    axes, coords = {"run": range(len(pairs)), "seed": range(seeds)}, {"step": np.arange(0, steps + 1, EVERY)}
    seen = lab.cells(one, axes=axes, dims=_rlif.SCORES, coords=coords, block=1, say=run.say)
    see = learning.side_by_side(lambda params: expected(model, params, language(task)))
    return _rlif.labelled(seen, see(starts["base"]), pairs)


def _rises(data: lab.Data, rewards: Sequence[str]) -> lab.Evidence:
    curves = of_base(data.runs).formatted.sel(reward=list(rewards))
    peak, end = gains(curves), curves.isel(step=-1) - curves.isel(step=0)
    up = lab.mean("gain with format at the peak", peak).above(0.01)
    return lab.all_of(up, lab.mean("change at the end", end).below(-0.01)).per("reward")


@study.claim("Internal feedback raises accuracy to a peak; it ends below its start.", origin=papers.NFL_1)
def rises(data):
    return _rises(data, INTERNAL)


@rises.null("RLVR")
def _(data):
    return _rises(data, REWARDS[:1])


def _format(data: lab.Data, start: str) -> lab.Evidence:
    runs = of_base(data.runs, start).sel(reward=list(_rlif.GAINING))
    gain, same = (gains(runs[name]) for name in ("formatted", "plain"))
    rest = lab.mean("gain with format less twice that ignoring it, at the peak", gain - 2 * same)
    return lab.all_of(lab.mean("gain with format at the peak", gain).above(0.01), rest.above(0)).per("reward")


@study.claim(
    "Trajectory log-probability and majority vote gain, and more than half of what they gain is format.",
    origin=lab.Asked(
        "“A large part” is reported; these two rewards see the answer, so that all may gain.", (papers.NFL_3,)
    ),
)
def format_(data):
    return _format(data, "base")


@format_.null("a base that always announces its answers")
def _(data):
    return _format(data, "always announces")


def _teaches(data: lab.Data, start: str = "base", rewards: Sequence[str] = INTERNAL) -> lab.Evidence:
    share = of_base(data.runs, start).announced.sel(reward=list(rewards))
    change = share.isel(step=-1) - share.isel(step=0)
    return lab.mean("change of the share of announced answers", change).above(TAUGHT).per("reward")


@study.claim(
    "Internal feedback teaches the format: the share of announced answers rises by more than 5 points.",
    origin=lab.Asked("No certainty is paid for the marker itself.", (papers.NFL_3,)),
)
def teaches(data):
    return _teaches(data)


@teaches.null("a base that always announces its answers")
def _(data):
    return _teaches(data, "always announces", _rlif.GAINING)


def _entropy(data: lab.Data, rewards: Sequence[str] = _rlif.MIXED) -> lab.Evidence:
    found = slopes(data.runs, rewards)
    names = {
        "alone": "gain a nat of entropy of the start",
        "beside": "the same at equal accuracy of the start",
    }
    parts = [lab.mean(text, found[name]).above(NAT) for name, text in names.items()]
    return lab.all_of(*parts).per("reward")


@study.claim(
    "What token entropy and trajectory log-probability gain with format grows with the entropy of the start.",
    origin=papers.NFL_2,
)
def entropy(data):
    return _entropy(data)


@entropy.null("a coin in the place of the rewards, from the same starts")
def _(data):
    return _entropy(data, ["coin"])


def _kinship(data: lab.Data, others: Sequence[str]) -> lab.Evidence:
    pairs = [(a, b) for i, a in enumerate(CERTAIN) for b in others if b not in CERTAIN[: i + 1]]
    cosine = xr.concat([data.runs.cosine.sel(kin=a, other=b, drop=True) for a, b in pairs], "pair")
    cosine = cosine.assign_coords(pair=[f"{a} with {b}" for a, b in pairs])
    return lab.mean("cosine of the exact expected gradients at the base", cosine).above(KIN).per("pair")


@study.claim(
    "Self-certainty, token entropy and trajectory log-probability are partly equivalent: at the base their expected "
    "gradients have cosines above 1/4.",
    origin=papers.NFL_4,
)
def kinship(data):
    return _kinship(data, CERTAIN)


@kinship.null("a reward drawn at random for each sequence in place of the second")
def _(data):
    return _kinship(data, ["chance"])


def _direction(data: lab.Data, paid: Sequence[str] | str = REWARDS) -> lab.Evidence:
    runs = of_base(data.runs).sel(reward=paid if isinstance(paid, str) else list(paid), drop=True)
    cosine = _rlif.first_move(runs, data.runs.rates)
    return lab.mean("cosine of the first change of log π with π(R − R̄)", cosine).above(0.5).per("reward")


@study.claim(
    "Selection starts along π(R − R̄), with the expected reward R of each pattern read off the base.",
    origin=lab.Derived("orbit of the softmax policy gradient", (papers.QRA_ASSUMPTION,)),
)
def direction(data):
    return _direction(data)


@direction.null("first steps of networks that are paid by a coin")
def _(data):
    return _direction(data, "coin")


def _stay(data: lab.Data, of: str, first: int = 0) -> lab.Evidence:
    values, every = of_base(data.runs)[of].sel(reward=list(REWARDS)), ["question", "pattern", "reward"]
    change = abs(values.isel(step=-1) - values.isel(step=first)).mean(every, skipna=False)
    return lab.mean("mean change in absolute value over questions, patterns, rewards", change).below(STILL)


@study.claim(
    "Success rates stay, under RLVR and internal feedback: their mean change is below 5 points.",
    origin=papers.QRA_6_STABLE,
)
def stay(data):
    return _stay(data, "success")


@stay.null("shares of the patterns, which do move, in the place of success rates")
def _(data):
    return _stay(data, "policy")


@stay.positive("the last steps alone")
def _(data):
    return _stay(data, "success", first=-2)


def _wanders(data: lab.Data, rewards: Sequence[str]) -> lab.Evidence:
    fall = _rlif.fall(of_base(data.runs))
    both = fall.sel(reward=list(rewards)), fall.sel(reward="RLVR", drop=True)
    return lab.difference("deepest fall of selection, less RLVR's", *both).above(FELL).per("reward")


@study.claim(
    "RLVR moves steadily to better patterns, internal feedback wanders: its choice falls 2 points more from its best.",
    origin=papers.QRA_6_WANDER,
)
def wanders(data):
    return _wanders(data, INTERNAL)


@wanders.null("RLVR with other random numbers")
def _(data):
    return _wanders(data, ["RLVR, again"])


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy with and without format against training, what the rewards see, gain against entropy."""
    figure, ((with_, without), (seen, starts)) = plot.new((9.6, 6.8), nrows=2, ncols=2)
    runs = of_base(data.runs).sel(reward=list(REWARDS))
    _rlif_panels.accuracy(runs.formatted, with_, "with format", margin=MARGIN)
    _rlif_panels.accuracy(runs.plain, without, "ignoring format", margin=MARGIN)
    panels.legend(None, without, ncols=2)
    _rlif_panels.seen(data.runs.seen, seen, means=CERTAIN[:2])
    _rlif_panels.by_entropy(data.runs, starts)
    return figure
