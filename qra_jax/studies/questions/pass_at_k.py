"""Does training lose answers that the base model could find, and what loses them?

A question of accuracy ρ has pass@k = 1 − (1 − ρ)^k, which grows with ρ for every k, so that base can only win where
some questions lose accuracy. Expected training of questions with parameters of their own loses none, as
dρ/dt = c(ρ) Σ π²(p − ρ)² ≥ 0. With shared parameters θ_q = log π_ref,q + Φ_q w a step for one question moves all,
ρ̇_q = Σ_q' g_q · Φ_q Φ_q'ᵀ g_q', and only the sum over q is never negative. The pass@k objective cannot lower the mean
pass@k that it ascends, shared parameters or not; negatives only have the mean gradient of REINFORCE.

The experiments train the same populations in every way: with parameters of their own under sampling noise, large steps
and a verifier with false positives; and with shared parameters, which are random features (few or many) or skills
(pattern r has the same feature in every question) whose success rates agree in half of the questions or in all. RL
lowers entropy, and that alone lowers pass@k at large k; so RL is also compared with the base policy cooled to its
entropy, and after heating to base's.

Population: 64 questions, 10 patterns, Dirichlet(½) base policies and Beta(.1, .9) success rates: half of the questions
have ρ_ref < .06. Intervals are over populations.
"""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import by_clock, filtered_sft, grpo, pass_at_k
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _populations

study = lab.Study(
    __name__, title="Pass@k: where base overtakes RL at large k, and what is left of it at equal entropy"
)

GROUP, SEEDS = 8, lab.scale(16, 48)
FAR, MATTERS = 256, 0.02
"""The large k, below whose 1/k a question counts as zero; a difference of pass@k that would matter."""
OWN = {
    "own": (0.2, 0.0),
    "own, steps × 10": (2.0, 0.0),
    "own, steps × 100": (20.0, 0.0),
    "own, FPR = .3": (2.0, 0.3),
}
"""Ways of training with own parameters: learning rate and false positive rate."""
KINDS = {
    "8 random features": 8,
    "32 random features": 32,
    "skills, half agree": 0.5,
    "skills, all agree": 1.0,
}
"""Shared parameters: number of random features, or share of the questions that agree on the success rates of skills."""
CLASH = [*KINDS][:3]
SAMPLED = {"GRPO": grpo(GROUP), "negatives only": filtered_sft("negative", group_size=GROUP)}
EXPECTED = {"GRPO": by_clock(grpo(GROUP)), "pass@8": pass_at_k(8), "pass@64": pass_at_k(64)}


@study.experiment()
def own(run: lab.Run) -> xr.Dataset:
    """Every question with parameters of its own, sampled."""
    return _populations.trained(run, run(SEEDS), OWN, SAMPLED, steps=500)


@study.experiment()
def shared(run: lab.Run) -> xr.Dataset:
    """All questions of a population with shared parameters, sampled."""
    return _populations.trained(run, run(SEEDS), KINDS, SAMPLED, steps=250)


@study.experiment()
def expected(run: lab.Run) -> xr.Dataset:
    """The same on exact means."""
    return _populations.trained(run, run(SEEDS), KINDS, EXPECTED, steps=250, mode="mean")


def _sampled(data: lab.Data, rule: str = "GRPO") -> xr.Dataset:
    return xr.concat([runs.sel(rule=rule, drop=True) for runs in (data.own, data.shared)], "way")


def _curve(accuracy: xr.DataArray, k: Any) -> xr.DataArray:
    """Mean pass@k over questions."""
    return -np.expm1(k * np.log1p(-accuracy.clip(0, 1 - 1e-15))).mean("question", skipna=False)


def _gap(runs: xr.Dataset, k: Any, after: str = "after", base: str = "base") -> lab.Estimate:
    words = f"pass@{k}" if np.ndim(k) == 0 else "pass@k"
    return lab.mean(f"{words}, RL − base", _curve(runs[after], k) - _curve(runs[base], k))


def _crosses(runs: xr.Dataset) -> lab.Evidence:
    base = xr.concat([runs.base, runs.cooled], "against").assign_coords(
        against=["base", "base at RL's entropy"]
    )
    runs = xr.Dataset({"after": runs.after, "base": base})
    better, worse = _gap(runs, 1).above(MATTERS), _gap(runs, FAR).below(-MATTERS)
    return lab.all_of(better, worse).per("against", "way")


@study.claim(f"RL wins pass@1, and base wins pass@{FAR}, by {MATTERS} or more.", origin=papers.PK_1)
def crossover(data):
    return _crosses(_sampled(data))


@crossover.null("training on pass@64, parameters that clash")
def _(data):
    return _crosses(data.expected.sel(rule="pass@64", way=CLASH))


@study.claim(
    "With parameters of its own for each question, noise at large steps or false positives are enough to make base win "
    f"by {MATTERS} at large k under GRPO.",
    origin=lab.Asked("They are common explanations.", (papers.PK_1,)),
)
def noise(data, rule="GRPO", ways=tuple(OWN)[1:]):
    return lab.somewhere(_gap(data.own.sel(rule=rule, way=list(ways)), FAR).below(-MATTERS))


noise.null("small steps, no false positives")(partial(noise.judge, ways=("own",)))
noise.positive("negatives only, whose weights are not centred")(partial(noise.judge, rule="negatives only"))


@study.claim(
    f"With shared parameters that clash the loss at large k is drift: {MATTERS} or more are lost on exact means, too.",
    origin=lab.Derived("theory.influence: only the sum over questions cannot fall"),
)
def drift(data, rule="GRPO"):
    return _gap(data.expected.sel(rule=rule, way=CLASH), FAR).below(-MATTERS)


drift.null("training on pass@64")(partial(drift.judge, rule="pass@64"))


@study.claim(
    f"Most of the loss at large k is of questions pushed to ρ → 0 (below 1/{FAR}).",
    origin=papers.PK_1_NARROWER,
)
def pushed(data, drawn=False):
    runs = data.shared.sel(rule="GRPO", way=CLASH)
    loss = np.maximum((1 - runs.after.clip(0, 1)) ** FAR - (1 - runs.base.clip(0, 1)) ** FAR, 0)
    gone = lab.where_known((runs.after < 1 / FAR) & (runs.base >= 1 / FAR), runs.after, runs.base)
    share = (loss * gone).sum("question", skipna=False) / loss.sum("question", skipna=False)
    return lab.mean("share of the loss", gone.mean("question", skipna=False) if drawn else share).above(0.5)


pushed.null("as many questions, drawn at random")(partial(pushed.judge, drawn=True))


@study.claim(
    f"The share of questions of accuracy zero (below 1/{FAR}) rises by {MATTERS} or more while mean accuracy rises.",
    origin=papers.PK_2,
)
def zeros(data):
    return _zeros(_sampled(data))


def _zeros(runs: xr.Dataset) -> lab.Evidence:
    after, before = (
        lab.where_known(x < 1 / FAR, x).mean("question", skipna=False) for x in (runs.after, runs.base)
    )
    more = lab.mean("share of zeros, RL − base", after - before)
    return lab.all_of(_gap(runs, 1).above(0), more.above(MATTERS)).per("way")


@zeros.null("training on pass@64, parameters that clash")
def _(data):
    return _zeros(data.expected.sel(rule="pass@64", way=CLASH))


@study.claim("Training on pass@k raises it with shared parameters, too, at k = 8 and 64.", origin=papers.PKPO)
def target(data):
    def missed(policy: str) -> xr.DataArray:
        curves = [_curve(data.expected[policy].sel(rule=f"pass@{k}", drop=True), k) for k in (8, 64)]
        return 1 + 1e-9 - xr.concat(curves, "k").assign_coords(k=[8, 64])

    return lab.ratio("misses after ÷ before, at the k of training", missed("after"), missed("base")).below(1)


@target.null("GRPO at k = 64, parameters that clash")
def _(data):
    runs = data.expected.sel(rule="GRPO", way=CLASH)
    after, before = (1 + 1e-9 - _curve(x, 64) for x in (runs.after, runs.base))
    return lab.ratio("misses after ÷ before, k = 64", after, before).below(1)


@study.claim("Training on negative samples alone improves on the base model at every k.", origin=papers.NSR)
def negatives(data, against=None, rule="negatives only", ways=(*OWN, *KINDS)):
    runs = _sampled(data, rule).sel(way=list(ways))
    k = xr.DataArray([1, 8, 64, 256], {"k": [1, 8, 64, 256]}, "k")
    base = runs.base if against is None else _sampled(data, against).after
    return _gap(xr.Dataset({"after": runs.after, "base": base}), k).above(0).per("way")


negatives.null("GRPO in base's place")(partial(negatives.judge, against="GRPO"))
negatives.positive("GRPO with own parameters")(partial(negatives.judge, rule="GRPO", ways=["own"]))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Pass@k against k; what becomes of each question; the difference at small and large k in every way."""
    figure, (first, second, third) = plot.new((11.0, 3.9), ncols=3, width_ratios=[1, 0.95, 1.05])
    tries = xr.DataArray(2.0 ** np.arange(11), dims="k", coords={"k": 2.0 ** np.arange(11)})
    some, one = data.shared.sel(rule="GRPO", way=CLASH[1]), data.own.sel(rule="GRPO", way="own")
    clash, own = plot.color("GRPO"), plot.CYCLE[5]
    lines = {"base": (some.base, "black", "-"), "base, cooled to RL's entropy": (some.cooled, "black", ":")}
    lines |= {"GRPO, own parameters": (one.after, own, "-"), f"GRPO, {CLASH[1]}": (some.after, clash, "-")}
    focus = data.expected.sel(rule="pass@64", way=CLASH[1]).after
    lines |= {f"pass@64, {CLASH[1]}": (focus, plot.color("pass@64"), "-")}
    lead = (_curve(some.after, tries) - _curve(some.base, tries)).mean("seed").values
    cross = int(tries[lead < 0][0]) if (lead < 0).any() else None
    title = f"Base overtakes at k ≤ {cross} if questions share" if cross else "RL stays ahead"
    panels.frame(title, first, x="number of tries k", y="mean pass@k", log="x", ylim=(0, 1.02))
    edges, x = np.linspace(-7, 7, 29), "logit of a question's accuracy (ends: and beyond)"
    gone, before = (float((accuracy < 1 / FAR).mean()) for accuracy in (some.after, some.base))
    title = f"Sharing: below 1/{FAR} are {gone:.0%}, before {before:.0%}"
    panels.frame(title, second, x=x, y="share of questions", ylim=(0, 0.24))
    for name, (accuracy, color, dash) in lines.items():
        first.plot(tries, _curve(accuracy, tries).mean("seed"), dash, color=color, label=name)
        if dash == "-" and "pass@64" not in name:
            rho = accuracy.clip(1e-12, 1 - 1e-12).values.ravel()
            counts = np.histogram(np.clip(np.log(rho / (1 - rho)), -7, 7), edges)[0]
            second.stairs(counts / rho.size, edges, color=color, label=name, linewidth=1.6)
    panels.mark(-np.log(FAR - 1), second, f"ρ = 1/{FAR}")
    runs, shades = _sampled(data), {way: own if way in OWN else clash for way in [*OWN, *KINDS]}
    worse = [int((_gap(runs, FAR, base=base).value < 0).sum()) for base in ("base", "cooled")]
    title = f"pass@{FAR} falls in {worse[0]} of {len(shades)} ways, below cooled base in {worse[1]}"
    panels.frame(title, third, x="RL − base (intervals over populations)", y="", xlim=(-0.35, 0.85))
    for base, face in (("base", None), ("cooled", "white")):
        for i, (k, marker) in enumerate(((1, "o"), (FAR, "s"))):
            gap = _gap(runs, k, base=base)
            low, high = gap.interval(0.001)
            for y, (way, color) in enumerate(shades.items()):
                value = float(gap.value.sel(way=way))
                error = [[value - float(low.sel(way=way))], [float(high.sel(way=way)) - value]]
                label = f"pass@{k}, {'base' if face is None else 'cooled base'}" if y == 0 else None
                style = {"fmt": marker, "color": color, "mfc": face or color, "markersize": 5, "linewidth": 1}
                third.errorbar(value, y + 0.15 * (i - 0.5), xerr=error, label=label, **style)
    third.axvline(0, 0.15, color="black", linewidth=0.8, zorder=0)
    third.set_yticks(range(len(shades)), list(shades))
    third.set_ylim(len(shades) + 1.2, -0.6)
    for ax in (first, second, third):
        panels.legend(
            None,
            ax,
            fontsize=7.5,
            loc="upper right" if ax is second else "lower right",
            ncols=1 + (ax is third),
        )
    return figure
