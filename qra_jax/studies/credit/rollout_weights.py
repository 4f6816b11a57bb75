r"""Weights of rollouts by rarity and by length: what do they buy, and what can they not have at once?

*Rarity.* Read as credit by rare success, a right rollout weighs more the fewer are right on its question: (1 −
ρ)^{k−1}, the gradient of pass@k. Read as credit by rare pattern, it weighs more the less often its pattern is
drawn: π(r)^{−α}, which rests at π ∝ p^{1/α}. On a question with a policy of its own, pass@k = 1 − (1 − ρ)^k rises
with the accuracy ρ alone: rare success is a clock, which ends where plain credit does, and rare patterns keep the
policy from the best one, which lowers pass@k at every k. Where questions share a policy, plain credit ends at the
one pattern that solves most on average; spreading over patterns that solve different questions pays at k = 8, and
costs at k = 1.

*Length.* A rollout of |o| tokens contributes f(|o|) (R − ρ) ∇log π(o). The mean update is the policy gradient for
every question only if f is constant: then tokens that do not matter add noise that grows with the length, E|∇log
π(o)|² = const + (|o| − 1)/2 for even choices between two. That a rollout counts the same whatever its length needs
f ~ |o|^{−1/2} (the norm of the sum) or 1/|o| (its tokens), and then the mean is that of another reward. Both at
once need equal lengths.

Both papers are known by their abstracts: the first is read in both ways; ‘unbiased’ as a cosine of .99 or more with
the policy gradient, ‘invariant’ as contributions of right rollouts of all patterns within 10 % of one size.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import switch
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _rollout_weights
from qra_jax.studies.credit._rollout_weights import CREDIT, PATTERNS, TRIES
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__, title="Weights of rollouts: rarity pays where questions share a policy; length has its price"
)

WORLDS, KINDS = ["one policy", "own policies"], ["rare success", "rare pattern"]
POWERS, LENGTHS = np.round(np.linspace(0, 1.5, 31), 2), np.array([4, 8, 16, 32, 64, 128, 256, 512])
COUNTS = [1, 2, 4, 8, 16, 32, 64, 128]
"""Numbers of tries in the figure."""


@study.experiment(
    {"world": [*WORLDS, "one policy, sampled"], "credit": np.arange(len(CREDIT))},
    seeds=lab.scale(24, 96),
    dims={"accuracy": ["question"]},
    coords={"credit": list(CREDIT)},
    common=("world", "credit"),
)
def trained(cell, key):
    """Accuracy of the questions of many sets, after training with plain credit and with credit by rare success."""
    rule = switch(cell.credit, [algorithm for algorithm, _ in CREDIT.values()])
    return {"accuracy": _rollout_weights.accuracies(key, cell.credit, rule, cell.world)}


@study.experiment()
def resting(run: lab.Run) -> xr.Dataset:
    """Accuracy of the questions of as many sets, where plain credit and credit by rare pattern come to rest."""
    sets, names = run(lab.scale(256, 2048)), ("seed", "question")
    rests = [
        _rollout_weights.resting(np.random.default_rng(run.seed), sets, world != WORLDS[0])
        for world in WORLDS
    ]
    every = [lab.dataset({name: (names, value) for name, value in one.items()}) for one in rests]
    return xr.concat(every, "world").assign_coords(world=WORLDS)


@study.experiment()
def lengths(run: lab.Run) -> xr.Dataset:
    """Bias of the mean update and spread of contributions of random questions, over the power of the length."""
    random, size = np.random.default_rng(run.seed), (run(lab.scale(1000, 10_000)), PATTERNS)
    policy, success = random.dirichlet(np.ones(PATTERNS), size[0]), random.random(size)
    table = [
        [_rollout_weights.contributions(policy, success, each, power) for power in POWERS]
        for each in (LENGTHS.astype(float), np.full(PATTERNS, 64.0))
    ]
    names = ("lengths", "power", "quantity", "seed")
    coords = {"lengths": ["4 to 512", "all 64"], "power": POWERS, "quantity": ["bias", "spread"]}
    return lab.dataset({"found": (names, np.array(table))}, coords)


def _pass(accuracy: xr.DataArray, tries: int) -> xr.DataArray:
    return (1 - (1 - accuracy) ** tries).mean("question", skipna=False)


def _by_success(data: lab.Data, tries: int, worlds: list[str], credit: str = "rare success") -> lab.Estimate:
    every = _pass(data.trained.accuracy.sel(world=worlds), tries)
    words = f"pass@{tries} with credit by rare success, less that with plain credit"
    return lab.difference(words, every.sel(credit=credit, drop=True), every.sel(credit="plain", drop=True))


def _by_pattern(data: lab.Data, tries: int, worlds: list[str]) -> lab.Estimate:
    rare, plain = (_pass(data.resting[name].sel(world=worlds), tries) for name in ("rare", "plain"))
    return lab.difference(
        f"pass@{tries} with credit by rare pattern, less that with plain credit", rare, plain
    )


@study.claim(
    "Credit weighted by rarity raises pass@8 by a point or more, by rare success and by rare pattern.",
    origin=papers.RARITY,
)
def raises(data):
    parts = _by_success(data, TRIES, WORLDS), _by_pattern(data, TRIES, WORLDS)
    return lab.all_of(*(part.above(0.01).per("world") for part in parts))


@raises.null("plain credit at twice the learning rate")
def _(data):
    return _by_success(data, TRIES, WORLDS, "twice the rate").above(0.01)


@study.claim(
    "Where questions share a policy, what credit by rarity gains at pass@8 it pays for at pass@1.",
    origin=lab.Derived(cited=(papers.RARITY,)),
)
def pays(data):
    parts = _by_success(data, 1, WORLDS[:1]), _by_pattern(data, 1, WORLDS[:1])
    return lab.all_of(*(part.below(0.0) for part in parts))


@pays.null("at pass@8")
def _(data):
    parts = _by_success(data, TRIES, WORLDS[:1]), _by_pattern(data, TRIES, WORLDS[:1])
    return lab.all_of(*(part.below(0.0) for part in parts))


def _sampled(data: lab.Data, credit: str) -> lab.Evidence:
    return _by_success(data, TRIES, ["one policy, sampled"], credit).above(0.01)


@study.claim(
    "Sampled with 8 rollouts a question, credit by rare success raises pass@8 by a point or more where questions share "
    "a policy.",
    origin=lab.Asked("Does it survive sampling?", (papers.RARITY,)),
)
def sampled(data):
    return _sampled(data, "rare success")


sampled.null("plain credit at twice the learning rate")(lambda data: _sampled(data, "twice the rate"))


def _at_once(data: lab.Data, lengths: str) -> lab.Evidence:
    found = data.lengths.found.sel(lengths=lengths, drop=True)
    bias, spread = (found.sel(quantity=name, drop=True) for name in ("bias", "spread"))
    both = lab.where_known((bias <= 0.01) & (spread <= 1.1), bias, spread)
    possible = both.max("power", skipna=False)
    return lab.share("questions in which some power is unbiased and invariant", possible).below(0.05)


@study.claim(
    "Weights that are a power of the length cannot be unbiased and invariant at once: on random questions with "
    "answers of 4 to 512 tokens no power from 0 to 1.5 is both, in 95 of 100.",
    origin=papers.LENGTH_WEIGHTS,
)
def at_once(data):
    return _at_once(data, "4 to 512")


at_once.null("answers that all have 64 tokens")(lambda data: _at_once(data, "all 64"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """pass@k by credit, where questions share a policy and where they do not; bias and spread of length weights."""
    figure, axes = plot.new((12.6, 3.9), ncols=3)
    titles = "One policy for all: rarity buys pass@k", "A policy each: rarity buys nothing"
    colors = {"plain": plot.RIVAL, "rare success": plot.BEST, "rare pattern": "#009E73"}
    credits = ["plain", "rare success"]
    curve = lambda x: xr.concat([_pass(x, k) for k in COUNTS], "k").assign_coords(k=COUNTS)  # noqa: E731
    every = curve(data.trained.accuracy.sel(credit=credits))
    rare = curve(data.resting.rare).expand_dims(credit=["rare pattern"])
    for ax, world, title in zip(axes[:2], WORLDS, titles, strict=True):
        panels.frame(title, ax, x="k", y="pass@k", log="x", xticks=COUNTS, ylim=(0, 1))
        panels.curves(every.sel(world=world), ax, x="k", by="credit", over="seed", colors=colors)
        panels.curves(rare.sel(world=world), ax, x="k", by="credit", over="seed", colors=colors)
        panels.legend(None, ax, loc="lower right")
    dots = every.sel(world="one policy, sampled")
    panels.dots(dots, axes[0], x="k", by="credit", over="seed", colors=colors, label=False)
    panels.note((2, float(dots.sel(k=2, credit="plain").mean())), axes[0], "dots: sampled", shift=(8, -14))
    title = "Length: unbiased at 0, invariant near ½"
    panels.frame(title, axes[2], x="power of the length in the weight", y="", log="y", ylim=(1e-3, 200))
    middle = data.lengths.found.sel(lengths="4 to 512").median("seed")
    for name, words, color in (
        ("bias", "1 − cosine with the policy gradient", plot.BEST),
        ("spread", "largest ÷ smallest contribution", plot.RIVAL),
    ):
        axes[2].plot(POWERS, np.maximum(middle.sel(quantity=name), 1e-3), color=color, label=words)
    panels.legend(None, axes[2], loc="upper left")
    return figure
