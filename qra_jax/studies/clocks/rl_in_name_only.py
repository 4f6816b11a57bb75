r"""Is GRPO filtered supervised fine-tuning, and where do the two part?

With the reward spread evenly over tokens GRPO is outcome-weighted supervised learning (Samineni et al.). Weights of
±√((1 − ρ̂)/ρ̂) for right and wrong rollouts make filtered SFT on positives and negatives GRPO itself, group by
group. All other weights have the same mean direction c(ρ) π⊙(p − ρ) (study `clocks`), with their own clock and their
own noise. So one group's gradients should coincide only if weights are centred alike, and the expected paths should
part as soon as something else than the reward has a speed (KL), rollouts get old (several epochs), or questions of
different ρ share parameters. Adam divides a constant speed out again, but on sampled groups it divides by the noise,
ḡ/√(ḡ² + Var g), which is each rule's own.

Paths are compared whatever their speed, on three questions: the largest difference in any share between a rule's
path and the nearest point of GRPO's. Accuracies are compared at equal samples on random questions (middling: success
rates Beta(1, 1); hard: Beta(.15, 1.2)), with the learning rate that is best for each rule on other questions than it
is judged on.
"""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.studies import lab, papers
from qra_jax.studies.clocks import _rules
from qra_jax.studies.clocks._rules import CONDITIONS, GROUP, RULES, TUNED
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__, title="RL in name only: GRPO is filtered SFT on average, until anything else keeps time"
)

SIZES = [8, 32, 128]
SHADES = [plot.color(n) for n in ("GRPO", "GRPO", "filtered SFT±", "filtered SFT⁺", "filtered SFT⁻")]
COLORS = dict(zip(RULES, SHADES, strict=True))
PARTED, SAMPLED = 0.01, 0.02
"""Differences in a share beyond which paths have parted: of exact means, above the error of steps, and of samples."""
RATES, LEVELS, EPOCHS = [0.03, 0.1, 0.3, 1.0, 3.0], ["middling", "hard"], [1, 4]
MATCH = 0.055
"""Largest difference in accuracy that the paper calls comparable: 71.4 − 65.9 per cent."""


@study.experiment()
def groups(run: lab.Run) -> xr.Dataset:
    """Cosines of single groups' gradients with GRPO's of the same group, and with GRPO's of another group."""
    random, variables = np.random.default_rng(run.seed), {}
    for size in SIZES:
        cosine, another = _rules.group_cosines(random, size, run(lab.scale(40, 400)))
        variables[f"cosine_{size}"] = (("rule", "group"), cosine)
        variables |= {"another": ("group", another)} if size == GROUP else {}
    return lab.dataset(variables, {"rule": list(RULES)})


@study.experiment()
def paths(run: lab.Run) -> xr.Dataset:
    """Largest distance of every rule's expected path from GRPO's, whatever the speed, on three questions."""
    table = [_rules.distances(name, run.seed) for name in CONDITIONS]
    return lab.dataset(
        {"apart": (("condition", "rule"), table)}, {"condition": list(CONDITIONS), "rule": list(RULES)}
    )


@study.experiment()
def adam(run: lab.Run) -> xr.Dataset:
    """Sampled runs under Adam with small steps, on three questions."""

    options = {"dims": {"path": ["question", "record", "pattern"]}, "seeds": run(lab.scale(32, 128))}
    found = lab.cells(_rules.under_adam, key=run.key, axes={"rule": list(RULES.values())}, **options)
    return found.assign_coords(rule=list(RULES))


@study.experiment()
def tuned(run: lab.Run) -> xr.Dataset:
    """Accuracy after 200 steps on equal samples, for every rate, on random questions: the seeds."""

    axes = {"epochs": lab.static(EPOCHS), "rule": list(TUNED.values()), "level": [0.0, 1.0], "rate": RATES}
    options = {"seeds": run(lab.scale(160, 2048)), "common": ("epochs", "rule", "rate")}
    found = lab.cells(_rules.accuracies, key=run.key, axes=axes, **options)
    found = found.assign_coords(rule=list(TUNED), level=LEVELS)
    return found.assign(base=found.base[0, 0, :, 0])


def _same_group(cosine: xr.DataArray) -> lab.Evidence:
    worst = (1 - cosine).max("group").where(cosine.notnull().any("group"))
    return lab.exact("largest 1 − cosine with GRPO's gradient of the same group", worst).below(1e-9)


@study.claim(
    "On policy GRPO's gradient of a group and that of filtered SFT on the same group have one direction.",
    origin=lab.Asked("One is said to be the other: group by group, or on average?", (papers.RINO_1,)),
)
def one_group(data):
    return _same_group(data.groups[f"cosine_{GROUP}"].sel(rule=list(RULES)[1:])).per("rule")


one_group.null("GRPO's own gradients of two groups")(lambda data: _same_group(data.groups.another))


def _parts(data: lab.Data, conditions: list[str]) -> lab.Evidence:
    apart = data.paths.apart.sel(condition=conditions).max("rule", skipna=False)
    return lab.exact("largest distance of a rule's expected path from GRPO's", apart).above(PARTED)


@study.claim(
    "A KL term, eight epochs and shared parameters each part the expected path of some rule from GRPO's, on three "
    "questions.",
    origin=lab.Derived(cited=(papers.RINO_1,)),
)
def parts(data):
    return _parts(data, ["8 epochs", "KL", "shared"])


parts.null("on policy, questions apart")(lambda data: _parts(data, ["on policy"]))


def _apart(path: xr.DataArray, rules: list[str], every: int = 1) -> xr.DataArray:
    """Distance of half of each rule's mean path from GRPO's whole one."""
    means = path.mean("seed").transpose("rule", "question", "record", "pattern")
    whole = means.sel(rule="GRPO").values
    found = [theory.path_distance(means.sel(rule=rule).values[:, :41:every], whole) for rule in rules]
    return xr.DataArray(found, {"rule": rules}, ["rule"])


def _adam_parts(data: lab.Data, rules: list[str]) -> lab.Evidence:
    words = "distance of a rule's mean path from GRPO's, sampled, Adam"
    apart = partial(_apart, rules=rules, every=4)  # paths are smooth
    path = data.adam.path.sel(rule=["GRPO", *rules])
    return lab.somewhere(lab.statistic(words, apart, path, draws=200).above(SAMPLED))


@study.claim(
    "On sampled groups Adam parts the average path of some rule from GRPO's, by .02 of a share or more, on three "
    "questions.",
    origin=lab.Derived(cited=(papers.RINO_1,)),
)
def adam_parts(data):
    return _adam_parts(data, list(RULES)[2:])


adam_parts.null("GRPO's own weights, other rollouts")(lambda data: _adam_parts(data, list(RULES)[1:2]))


def _at_best(data: lab.Data) -> xr.DataArray:
    """Accuracy at the rate that was best on the first half of the questions, on the second half."""
    accuracy, half = data.tuned.accuracy, data.tuned.sizes["seed"] // 2
    early = accuracy.isel(seed=slice(None, half)).mean("seed", skipna=False)
    best = early.fillna(np.inf).argmax("rate")  # what is unknown could be the best, and leaves open
    return accuracy.isel(seed=slice(half, None)).isel(rate=best)


def _base(data: lab.Data) -> xr.DataArray:
    return data.tuned.base.isel(seed=slice(data.tuned.sizes["seed"] // 2, None))


def _matches(data: lab.Data, other: xr.DataArray) -> lab.Evidence:
    words = "accuracy, less that of GRPO"
    return (
        lab.difference(words, other, _at_best(data).sel(rule="GRPO", drop=True))
        .near(0, within=MATCH)
        .per("level", "epochs")
    )


@study.claim(
    "On random questions, each by itself, filtered SFT with unit weights on positives and negatives matches GRPO at "
    "equal samples, within .055.",
    origin=papers.RINO_2,
)
def matches(data):
    return _matches(data, _at_best(data).sel(rule="± (unit weights)", drop=True))


@matches.null("the base policy")
def _(data):
    return _matches(data, _base(data) + 0 * _at_best(data).sel(rule="GRPO", drop=True))


def _collapses(data: lab.Data, rule: str) -> lab.Evidence:
    found = _at_best(data).sel(rule=rule, level="hard", drop=True)
    return lab.difference(
        "accuracy on hard questions, less that of base", found, _base(data).sel(level="hard")
    ).below(0.0)


@study.claim(
    "Negatives alone collapse on hard random questions: below the base policy.",
    origin=papers.RINO_2_NEGATIVES,
)
def collapse(data):
    return _collapses(data, "negatives only")


collapse.null("GRPO")(lambda data: _collapses(data, "GRPO"))
collapse.positive("a rule that imitates wrong answers")(
    lambda data: _collapses(data, "imitates wrong answers")
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Cosines of single groups; distances between paths; tuned accuracies."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1, 1.1, 1.5])
    title, x = "One group's gradients differ, their means do not", "rollouts in the group"
    panels.frame(title, first, x=x, y="cosine with GRPO's gradient", log="x", xticks=SIZES, ylim=(-0.6, 1.1))
    for name in list(RULES)[2:]:
        low, middle, high = np.transpose(
            [np.nanquantile(data.groups[f"cosine_{size}"].sel(rule=name), [0.1, 0.5, 0.9]) for size in SIZES]
        )
        first.plot(SIZES, middle, "o-", color=COLORS[name], label=name)
        first.fill_between(SIZES, low, high, color=COLORS[name], alpha=0.15, linewidth=0)
    first.plot(SIZES, np.ones(3), color=plot.color("GRPO"), label="±, GRPO weights; every mean")
    first.legend(fontsize=8, loc="lower right")

    sampled = _apart(data.adam.path, list(RULES)).expand_dims(condition=["Adam,\nsampled"])
    both: xr.DataArray = xr.concat([data.paths.apart, sampled], "condition")
    apart = both.isel(rule=slice(1, None)).transpose("rule", "condition")
    panels.frame("Where paths part: distance from GRPO's", second, x="", y="")
    shown = apart.copy(data=np.log10(np.maximum(apart.values, 1e-5)))
    panels.heat(shown, second, x="condition", y="rule", cmap="Greens", limits=(-5, 0))
    for (i, j), value in np.ndenumerate(apart.values):
        ink = {"ha": "center", "va": "center", "color": "white" if value > 0.05 else "black"}
        second.text(j, i, "0" if value < 1e-9 else panels.plain(float(f"{value:.1g}")), fontsize=9, **ink)
    second.tick_params(length=0)

    best = _at_best(data).sel(rule=list(TUNED)[:-1]).drop_vars("rate")
    best = best.stack(case=("level", "epochs"))
    labels = [
        f"{level},\n{'one epoch' if epochs == 1 else f'{epochs} epochs'}"
        for level, epochs in best.case.values
    ]
    best = best.drop_vars(["case", "level", "epochs"]).assign_coords(case=labels)
    panels.frame(
        "Equal samples: on questions apart all match",
        third,
        x="",
        y="accuracy, tuned (black: base policy)",
        ylim=(0, 1.2),
    )
    base = _base(data).mean("seed")
    black = xr.DataArray(
        [float(base.sel(level=label.split(",")[0])) for label in labels], {"case": labels}, ["case"]
    )
    panels.bars(best, third, x="case", by="rule", over="seed", colors=COLORS, expected=black)
    panels.legend(None, third, ncols=2, loc="upper center")
    return figure
