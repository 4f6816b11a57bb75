"""At which tokens does RL change a network, and does a change of rank find them?

RL is reported to change the probability *rank* of few of the tokens that the trained network emits, more under
internal feedback (RLIF) than under verified answers (RLVR), and more with training; and to act on a sparse set of
critical tokens. A decoder is pre-trained on the controlled task (the worked example, marker left out now and then) and
trained by GRPO on verified answers, on answers whose success rates are fixed, or on self-certainty. It is compared with
its base place by place, on its own samples: rank of the emitted token, KL(now‖base), cosine of the features.

A sequence has three decisions (pattern, marker, answer) whatever its length; the steps follow from them. Theory says
that reward teaches decisions: ranks change there, and features, and few of all tokens change only where a sequence has
many for each decision. A language model has more than any sequence here.

Controls: RL on a coin in place of a reward, with the same steps and learning rate; and for every trained network a
random change of its base's weights with the same KL (norms of the matrices as in the trained one, up to one factor).
What is as far from the base, but was not trained, shows what is particular to RL. Claims are about the longest
sequences that were run, and one learning rate, chosen so that RLVR is about done by the last step.
"""

import jax
import xarray as xr

from qra_jax import plot, transformer
from qra_jax.problem import examples, stack
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._bases import learnt
from qra_jax.studies.networks._changes import REWARDS, SUMS, changes, ratio
from qra_jax.transformer.task import KINDS

study = lab.Study(__name__, title="Critical tokens: which tokens RL moves, beside random changes as far away")

ARMS: list[str] = list(REWARDS[:-1])
"""Those that are judged; the coin is a control."""
SHORT, DECISIONS = {"RLVR, rates fixed": "RLVR,\nrates fixed"}, ["pattern", "marker", "answer"]
STEPS_OF = {"short": (1, 2, 3), "long": (8, 12, 16)}
LENGTHS, SEEDS = lab.scale(["short"], list(STEPS_OF)), lab.scale(4, 10)
QUESTIONS, SAMPLES, WIDTH = lab.scale(4, 8), lab.scale(8, 16), lab.scale(24, 32)
ANNOUNCED, PRETRAINING, TIMES, RATE = 0.9, 300, [20, 60, 100], 2e-4
"""Marker in the corpus, its steps; steps of RL at which networks are compared, as in the paper; rate of Adam."""
REPORTED = {"RLVR": (5.2, 6.6, 7.3), "RLIF": (6.8, 8.9, 10.1)}
"""Changed ranks in % at these steps, GSM8K: context, not a target."""
FEW, MORE = 0.101, 0.005
"""Highest share reported; difference of shares that would matter, a quarter of the growth reported for RLVR."""
COLORS: dict[str, str] = dict(
    zip(REWARDS, (plot.color("rlvr"), "#56B4E9", plot.color("rlif"), "#666666"), strict=True)
)


@study.experiment()
def runs(run):
    """Networks of every length, trained on every reward, compared with their base; and random changes as far."""
    made, seeds, samples = [], run(SEEDS), run(SAMPLES)
    keys = jax.random.split(jax.random.key(run.seed + 1), seeds)
    for name in run(LENGTHS):
        problem = stack([examples.worked()] * run(QUESTIONS))
        task = transformer.controlled(problem, announced=ANNOUNCED, steps=STEPS_OF[name], digits=1)
        model = transformer.Decoder(task.vocabulary, width=run(WIDTH), depth=1)
        base = run.bank.get(learnt, (task,), model, seed=run.seed, seeds=seeds, steps=PRETRAINING)
        base = jax.tree.map(lambda leaf: leaf[0], base)
        made.append(changes(keys, model, task, base, times=TIMES, rate=RATE, samples=samples))
    return xr.concat(made, xr.DataArray(run(LENGTHS), dims="length", name="length"))


def _sums(data: lab.Data, *, random: bool = False) -> xr.Dataset:
    """Sums at the last step of the longest sequences, `[reward, seed, kind]`; of the random changes, if so."""
    last = data.runs.isel(length=-1, step=-1, drop=True)
    return xr.Dataset({name: last[f"random_{name}" if random else name] for name in SUMS})


def _more(words: str, first: xr.DataArray, second: xr.DataArray, shift: int = 0) -> lab.Evidence:
    """Paired difference of two shares; with a shift, that to other seeds, which is zero of equal arms on average."""
    estimate = lab.difference(words, first, second.roll(seed=shift)).as_percent()
    return estimate.above(MORE).per("reward") if "reward" in estimate.value.dims else estimate.above(MORE)


def _few(runs: xr.Dataset, other: str = "") -> lab.Evidence:
    own = xr.Dataset({name: runs[other + name] for name in ("reranked", "places")}).sel(reward=ARMS)
    return lab.mean("share of changed ranks", ratio(own)).as_percent().below(FEW).per("reward", "length")


@study.claim(
    "RL changes the rank of few of the tokens that a trained network emits.", origin=papers.QRA_7_RANKS
)
def few(data):
    return _few(data.runs.isel(step=-1))


few.null("networks that have learnt nothing")(lambda data: _few(data.runs, "fresh_"))


def _rewarded(data: lab.Data, first: str | list[str], second: str, shift: int = 0) -> lab.Evidence:
    changed = ratio(_sums(data))
    high, low = (changed.sel(reward=names, drop=True) for names in (first, second))
    return _more(f"changed ranks, less those of {second}", high, low, shift)


@study.claim("Internal feedback changes more ranks than verified answers do.", origin=papers.QRA_7_RANKS)
def internal(data):
    return _rewarded(data, "RLIF", "RLVR")


internal.null("verified answers, other random numbers")(lambda data: _rewarded(data, "RLVR", "RLVR", 1))


def _later(data: lab.Data, first: int, shift: int = 0) -> lab.Evidence:
    changed = ratio(data.runs.sel(reward=ARMS).isel(length=-1))
    return _more("rise of the share of changed ranks", changed.isel(step=-1), changed.isel(step=first), shift)


@study.claim("More ranks change as training goes on.", origin=papers.QRA_7_RANKS)
def grows(data):
    return _later(data, 0)


grows.null("the last step against the last step of other seeds")(lambda data: _later(data, -1, 1))


def _sparse(data: lab.Data, random: bool) -> lab.Evidence:
    own, control = (ratio(_sums(data, random=which).sel(reward=ARMS)) for which in (random, True))
    return _more("changed ranks, random change less RL", control, own, int(random))


@study.claim(
    "RL changes the ranks of fewer tokens than a random change of the weights with the same KL.",
    origin=lab.Asked(
        "A sparse set would be fewer tokens than of any change as far.", (papers.QRA_7_CRITICAL,)
    ),
)
def sparse(data):
    return _sparse(data, False)


sparse.null("one random change against another one")(lambda data: _sparse(data, True))


@study.claim(
    "The share of changed ranks measures what the reward teaches: of a coin it is smaller.",
    origin=lab.Asked("Noise of the updates alone moves a network, too.", (papers.QRA_7_RANKS,)),
)
def teaches(data):
    return _rewarded(data, ARMS, "coin")


teaches.null("a coin, other random numbers")(lambda data: _rewarded(data, ["coin"], "coin", 1))


def _held(data: lab.Data, name: str, kinds: list[str], bound: float) -> lab.Evidence:
    sums = _sums(data)[name].sel(reward=ARMS)
    both = sums.sel(kind=kinds).sum("kind", skipna=False), sums.sum("kind", skipna=False)
    return lab.pooled_share(f"share of {', '.join(kinds)} tokens", *both).above(bound).per("reward")


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
    figure, axes = plot.new((9.4, 6.6), nrows=2, ncols=2)
    (left, right), (below, last) = axes
    changed, length = 100 * ratio(data.runs.isel(length=-1)), data.runs.length.values[-1]
    rlvr, _, rlif, _ = changed.isel(step=-1).mean("seed").values
    title = f"At the end: RLVR {rlvr:.1f} %, RLIF {rlif:.1f} %"
    panels.frame(title, left, x=f"GRPO steps ({length} sequences)", y="changed ranks (%)", xticks=TIMES)
    arms = {"colors": COLORS, "runs": changed.sizes["seed"] < 6}
    panels.curves(changed, left, x="step", by="reward", over="seed", within=(0, 100), **arms)
    for name, shares in REPORTED.items():
        left.plot(TIMES, shares, "--", color=COLORS[name], linewidth=1)
    panels.legend({**COLORS, "reported, GSM8K": "--"}, left, place="right")
    sums = _sums(data).sel(reward=ARMS)
    rows = {"tokens": "places", "ranks": "reranked", "KL": "kl"}
    shares = {n: sums[x].sum("seed") / sums[x].sum(["seed", "kind"]) for n, x in rows.items()}
    held = shares["ranks"].sel(kind=DECISIONS).sum("kind")
    bars = {f"{arm}: {name}": x.sel(reward=arm, drop=True) for arm in ARMS for name, x in shares.items()}
    table = xr.concat(list(bars.values()), "row").assign_coords(row=list(bars))
    panels.frame(f"Decisions hold ≥ {held.min():.0%} of changed ranks", right, x="share", y="")
    shades = dict(zip(KINDS, (plot.BEST, "#D9D9D9", "#E69F00", plot.RIVAL, "#8C8C8C"), strict=True))
    panels.bars(table, right, x="row", by="kind", stacked=True, flat=True, colors=shades)
    panels.legend(None, right, place="right")
    both = xr.concat([100 * ratio(_sums(data, random=which)) for which in (False, True)], "network")
    both = both.assign_coords(network=["trained", "random change, same KL"])
    gap = both.mean("seed").diff("network").sel(reward=ARMS)
    title = f"Random changes with the same KL: {float(gap.min()):+.1f} to {float(gap.max()):+.1f} points"
    panels.frame(title, below, x="", y="changed ranks (%)")
    panels.bars(both, below, x="reward", by="network", over="seed", within=(0, 100), names=SHORT)
    below.legend(fontsize=8, loc="upper left")
    of_kl = sums.kl_reranked.sum("kind") / sums.kl.sum("kind")
    caught = xr.concat([of_kl, ratio(sums)], "share").assign_coords(share=["of KL", "of all tokens"])
    told = " / ".join(f"{value:.0%}" for value in caught.sel(share="of KL").mean("seed").values)
    panels.frame(f"Tokens of changed rank hold {told} of the KL", last, x="", y="at tokens of changed rank")
    panels.bars(caught, last, x="reward", by="share", over="seed", within=(0, 1), names=SHORT)
    last.set_ylim(0, 1.05)
    last.legend(fontsize=8)
    return figure
