"""At which tokens does RL change a network, and does a change of rank find them?

RL is reported to change the probability *rank* of few of the tokens that the trained network emits, more under
internal feedback (RLIF) than under verified answers (RLVR), and more with training; and to act on a sparse set of
critical tokens. A decoder is pre-trained on the controlled task (the worked example, marker left out now and then) and
trained by GRPO on verified answers, on answers whose success rates are fixed, or on self-certainty. It is compared with
its base place by place, on its own samples: rank of the emitted token, KL(now‖base), cosine of the features.

A sequence has three decisions (pattern, marker, answer) whatever its length; the steps follow from them. Theory says
that reward teaches decisions: ranks change there, and features, and few of all tokens change only where a sequence has
many for each decision. A language model has more than any sequence here.

Controls: RL on a coin in place of a reward, and RLVR once more with other random numbers, with the same steps and
learning rate; and for every trained network random changes of its base's weights with the same KL (norms of the
matrices as in the trained one, up to one factor). What is as far from the base, but was not trained, shows what is
particular to RL. Claims are about the longest sequences that were run, and one learning rate, chosen so that RLVR is
about done by the last step. Where changed ranks lie is counted over all networks, as some have next to none; if none
of them lies elsewhere in any network, that is open: members that agree say nothing of their scatter.
"""

import jax
import xarray as xr

from qra_jax import plot, transformer
from qra_jax.problem import examples, stack
from qra_jax.studies import lab, papers
from qra_jax.studies.networks import _changes_panels as drawn
from qra_jax.studies.networks._bases import learnt
from qra_jax.studies.networks._changes import REWARDS, SUMS, changes, ratio
from qra_jax.studies.networks._shares import pooled

study = lab.Study(__name__, title="Critical tokens: which tokens RL moves, beside random changes as far away")

AGAIN, ARMS = "RLVR, again", [*map(str, REWARDS[:3])]
"""One of the controls, the coin is another; and those that are judged."""
DECISIONS = ["pattern", "marker", "answer"]
STEPS_OF = {"short": (1, 2, 3), "long": (8, 12, 16)}
LENGTHS, SEEDS = lab.scale(["short"], list(STEPS_OF)), lab.scale(4, 10)
QUESTIONS, SAMPLES, WIDTH = lab.scale(4, 8), lab.scale(8, 16), lab.scale(24, 32)
ANNOUNCED, PRETRAINING, TIMES, RATE = 0.9, 300, [20, 60, 100], 2e-4
"""Marker in the corpus, its steps; steps of RL at which networks are compared, as in the paper; rate of Adam."""
FEW, MORE = 0.101, 0.01
"""Highest share reported; difference of shares that would matter: half of the growth reported for RLVR, 2.1 points, and
a third of what RLIF is reported to change more, 2.8 points."""


@study.experiment()
def runs(run):
    """Networks of every length, trained on every reward, compared with their base; and random changes as far away."""
    made, seeds, samples = [], run(SEEDS), run(SAMPLES)
    keys = jax.random.split(run.key, seeds)
    for name in run(LENGTHS):
        problem = stack([examples.worked()] * run(QUESTIONS))
        task = transformer.controlled(problem, announced=ANNOUNCED, steps=STEPS_OF[name], digits=1)
        model = transformer.Decoder(task.vocabulary, width=run(WIDTH), depth=1)
        base = run.bank.get(learnt, (task,), model, seed=run.shared_seed, seeds=seeds, steps=PRETRAINING)
        base = jax.tree.map(lambda leaf: leaf[0], base)
        made.append(changes(keys, model, task, base, times=TIMES, rate=RATE, samples=samples))
    return xr.concat(made, xr.DataArray(run(LENGTHS), dims="length", name="length"))


def _named(runs: xr.Dataset, other: str = "") -> xr.Dataset:
    """Numbers of changed ranks and of all tokens, of the trained networks or of others beside them."""
    return xr.Dataset({name: runs[other + name] for name in ("reranked", "places")})


def _sums(data: lab.Data, *, random: bool = False) -> xr.Dataset:
    """Sums at the last step of the longest sequences, `[reward, seed, kind]`; of the random changes, if so."""
    last = data.runs.isel(length=-1, step=-1, drop=True)
    return xr.Dataset({name: last[f"random_{name}" if random else name] for name in SUMS})


def _more(words: str, first: xr.DataArray, second: xr.DataArray) -> lab.Evidence:
    estimate = lab.difference(words, first, second).as_percent()
    return estimate.above(MORE).per("reward") if "reward" in estimate.value.dims else estimate.above(MORE)


def _few(runs: xr.Dataset, other: str = "") -> lab.Evidence:
    own = ratio(_named(runs.sel(reward=ARMS), other))
    return lab.mean("share of changed ranks", own).as_percent().below(FEW).per("reward", "length")


@study.claim(
    "RL changes the rank of few of the tokens that a trained network emits.", origin=papers.QRA_7_RANKS
)
def few(data):
    return _few(data.runs.isel(step=-1))


few.null("networks that have learnt nothing")(lambda data: _few(data.runs, "fresh_"))


def _rewarded(data: lab.Data, first: str | list[str], second: str) -> lab.Evidence:
    changed = ratio(_sums(data))
    high, low = (changed.sel(reward=names, drop=True) for names in (first, second))
    return _more(f"changed ranks, less those of {second}", high, low)


@study.claim("Internal feedback changes more ranks than verified answers do.", origin=papers.QRA_7_RANKS)
def internal(data):
    return _rewarded(data, "RLIF", "RLVR")


internal.null("verified answers with other random numbers")(lambda data: _rewarded(data, AGAIN, "RLVR"))


@study.claim("More ranks change as training goes on.", origin=papers.QRA_7_RANKS)
def grows(data):
    changed = ratio(data.runs.sel(reward=ARMS).isel(length=-1))
    return _more("rise of the share of changed ranks", changed.isel(step=-1), changed.isel(step=0))


grows.null("RLVR after as many steps, with other random numbers")(
    lambda data: _rewarded(data, [AGAIN], "RLVR")
)


def _sparse(data: lab.Data, first: str = "random_", second: str = "") -> lab.Evidence:
    runs = data.runs.isel(length=-1, step=-1).sel(reward=ARMS)
    high, low = (ratio(_named(runs, name)) for name in (first, second))
    both = _sums(data).sel(reward=ARMS).sum("kind", skipna=False)
    moved = lab.mean("KL(RL‖base) of a token, in nats", both.kl / both.places).above(MORE)
    return lab.all_of(_more("changed ranks, random change less RL", high, low), moved)


@study.claim(
    "RL changes the ranks of fewer tokens than a random change of the weights with the same KL on samples of the base.",
    origin=lab.Asked(
        "A sparse set would be fewer tokens than of any change as far.", (papers.QRA_7_CRITICAL,)
    ),
)
def sparse(data):
    return _sparse(data)


sparse.null("another random change in the place of RL")(lambda data: _sparse(data, "again_", "random_"))


@study.claim(
    "Training on a coin changes the ranks of fewer tokens than training on verified answers, or internal feedback.",
    origin=lab.Asked("Noise of the updates alone moves a network, too.", (papers.QRA_7_RANKS,)),
)
def teaches(data):
    return _rewarded(data, ARMS, "coin")


teaches.null("RLVR twice, with other random numbers")(lambda data: _rewarded(data, [AGAIN], "RLVR"))


def _held(data: lab.Data, name: str, kinds: list[str], bound: float) -> lab.Evidence:
    sums = _sums(data)[name].sel(reward=ARMS)
    both = sums.sel(kind=kinds).sum("kind", skipna=False), sums.sum("kind", skipna=False)
    return pooled(f"share of {', '.join(kinds)} tokens", *both).above(bound).per("reward")


@study.claim(
    "The pattern token holds most of the changed ranks.",
    origin=lab.Asked("The pattern is what the theory says is chosen.", (papers.QRA_7_CRITICAL,)),
)
def at_pattern(data):
    return _held(data, "reranked", ["pattern"], 0.5)


at_pattern.null("all tokens, changed or not")(lambda data: _held(data, "places", ["pattern"], 0.5))


@study.claim(
    "Decisions (pattern, marker, answer) hold nine tenths of the changed ranks.",
    origin=lab.Derived("this study: steps follow from the decisions before them", (papers.QRA_7_CRITICAL,)),
)
def at_decisions(data):
    return _held(data, "reranked", DECISIONS, 0.9)


at_decisions.null("all tokens, changed or not")(lambda data: _held(data, "places", DECISIONS, 0.9))


def _caught(data: lab.Data, name: str) -> lab.Evidence:
    sums = _sums(data).sel(reward=ARMS).sum("kind", skipna=False)
    part = sums.kl_reranked / sums.kl if name == "kl" else sums.reranked / sums.places
    share = lab.mean("share of KL(now‖base) at tokens of changed rank", part).as_percent()
    return share.above(0.5).per("reward")


@study.claim(
    "A change of rank finds the tokens whose distribution changes.",
    origin=lab.Asked(
        "Changed ranks are the measure of the paper, KL that of the theory.", (papers.QRA_7_RANKS,)
    ),
)
def finds(data):
    return _caught(data, "kl")


finds.null("as many tokens, picked at random")(lambda data: _caught(data, "places"))


def _features(data: lab.Data, random: bool) -> lab.Evidence:
    sums = _sums(data, random=random).sel(reward=ARMS)
    cosine = sums.similarity / sums.places.where(sums.places > 0)
    decisions = cosine.sel(kind=["pattern", "answer"]).mean("kind", skipna=False)
    steps = cosine.sel(kind="step", drop=True)
    gap = lab.difference("cosine with the base's features, steps less decisions", steps, decisions)
    return gap.above(0).per("reward")


@study.claim(
    "Features, too, change more at the decisions (pattern, answer) than at steps.",
    origin=lab.Derived("this study: the reward's gradient acts where the next token decides"),
)
def features(data):
    return _features(data, False)


features.null("random changes with the same KL")(lambda data: _features(data, True))


@study.figure
def draw(data):
    """The share over training, where changes sit, random changes beside, and what a change of rank finds."""
    figure, ((left, right), (below, last)) = plot.new((9.4, 6.6), nrows=2, ncols=2)
    drawn.over_training(data.runs.isel(length=-1), left)
    drawn.where(_sums(data).sel(reward=ARMS), right, decisions=DECISIONS)
    drawn.beside_random(_sums(data), _sums(data, random=True), below, judged=ARMS)
    drawn.found(_sums(data).sel(reward=ARMS), last)
    return figure
