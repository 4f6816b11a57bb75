r"""Does SFT on the questions that RL never solves, in between RL steps, beat RL and SFT?

RELIFT says so, with fewer demonstrations than SFT, and that SFT at every step does far worse. Tested here at equal
demonstrations and equal steps; a unit of demonstrations is one, at weight one, for one question and unit time. Beside
the method stand SFT before RL and, to tell the *choice* of questions from the *timing*, SFT first on whatever is
unsolved and RL only then; as a control without teaching, the model's own choices in place of demonstrations.

*Dose*, derived here. A question starts at ρ₀ = π_ref(r*) ≪ 1. RL needs a time ∝ 1/ρ₀ to find r*; demonstrations, a
share x of them of r*, move its log odds by 2x a unit for two patterns, so about log(1/ρ₀)/2x units do, whenever they
come: a gain by choice of questions, since those that RL solves anyway need none, and none by timing. But the dose need
not go all the way: RL alone finishes from ρ ≈ 1/(2√(G − 1) T) on, whereas the gate (1 − ρ)^G shuts at 1/G only. Between
RL steps it shuts in time, since RL lifts ρ itself; before RL it wastes demonstrations, unless its G is larger. The gate
looks at accuracy alone: with a half-right rival a question counts as solved, stalled or not. With shared parameters
demonstrations for one question move others, and nothing is promised.

*Rest*, derived here. SFT at every step with weight w holds the policy near the data μ. If only r* is ever right (rate
p*), accuracy rests at the root of $\rho=p^\star\{1-w(1-m)/[w+c(\rho)\rho]\}$ with m = μ(r*) (`theory.rest_point`).

Experiment: GRPO with G = 8 and T = 50 in expectation, 4 patterns, log π_ref(r*) uniform from 10⁻⁶ to 10^−.5, p* from .8
to 1; the others are never right, or one is half of the time; features √(1 − s) of its own for each question beside √s
shared. Members are populations of questions.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _mixed
from qra_jax.studies.sft._mixed import BEFORE, BETWEEN, EVERY, FIRST, METHODS, OWN, RL, SFT

study = lab.Study(__name__, title="Interleaving: SFT on unsolved questions between RL steps, or before them")

POPULATIONS, QUESTIONS, WEIGHT, POINTS = 24, lab.scale(12, 32), 0.3, 0.03
"""POINTS: of accuracy, that matter; RELIFT reports 3.6 over the next best."""
RIVALS, APART, SHARED = {"no rival": 0.0, "half-right rival": 0.5}, {"apart": 0.0}, {"all shared": 1.0}
OVERLAPS = lab.scale(APART | SHARED, APART | {"30 % shared": 0.3} | SHARED)
BASE = {"rival": "no rival", "overlap": "apart"}
SHADES = (plot.color("rlvr"), plot.color("sft"), *(plot.CYCLE[i] for i in (4, 3, 6, 1)))
COLORS = dict(zip(METHODS, SHADES, strict=True))
WEIGHTS = lab.scale([0.03, 0.1, 0.2, 1.0], [0.03, 0.06, 0.1, 0.2, 0.6, 1.0, 3.0])
AMOUNTS = lab.scale([0.5, 2.0, 5.0, 12.0], [0.5, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0, 25.0])
SHARES = lab.scale([0.01, 0.1, 0.3, 0.8, 1.0], [0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9, 1.0])
GATES, HEAVY = [2.0, 8.0, 64.0, 256.0], [1.0, 10.0]
"""G of the gates of SFT that comes first; weights of SFT at every step."""


def _questions(run: lab.Run, rival: float = 0.0, overlap: float = 0.0) -> _mixed.Population:
    return _mixed.population(run.shared_seed, POPULATIONS, run(QUESTIONS), rival, overlap)


@study.experiment()
def settings(run: lab.Run) -> xr.Dataset:
    """All methods at the demonstrations that interleaving takes, expected and sampled."""
    rows = []
    for rival in RIVALS.values():
        row = [_mixed.compare(_questions(run, rival, s), WEIGHT, run.seed) for s in run(OVERLAPS).values()]
        rows.append(xr.concat(row, xr.DataArray(list(run(OVERLAPS)), dims="overlap", name="overlap")))
    return xr.concat(rows, xr.DataArray(list(RIVALS), dims="rival", name="rival"))  # pyright: ignore


@study.experiment()
def budgets(run: lab.Run) -> xr.Dataset:
    """Demonstrations and accuracy for several amounts of every method but RL alone, without rival, apart."""
    questions, rows = _questions(run), []
    for method in METHODS[1:]:
        amounts = np.resize(run(WEIGHTS if method == BETWEEN else AMOUNTS), len(run(AMOUNTS)))
        accuracy, given, _ = _mixed.run(questions, method, np.sort(amounts)[:, None])
        rows.append((given.mean(axis=-1), accuracy.mean(axis=(-2, -1))))
    given, accuracy = np.swapaxes(np.array(rows), 0, 1)
    both = {"given": (("way", "amount"), given), "accuracy": (("way", "amount"), accuracy)}
    return lab.dataset(both, {"way": list(METHODS[1:])})


@study.experiment(after=["settings"])
def gates(run: lab.Run) -> xr.Dataset:
    """SFT first on questions below other accuracies, at the same demonstrations, without rival, apart."""
    questions, given = _questions(run), run.done.settings.given.sel(**BASE, way=BETWEEN).values
    times = [_mixed.time_first(questions, given, gate) for gate in GATES]
    found = [_mixed.run(questions, FIRST, time, gate=gate) for time, gate in zip(times, GATES, strict=True)]
    accuracy, taken = (np.stack([x[i].reshape(POPULATIONS, -1).mean(axis=1) for x in found]) for i in (0, 1))
    both = {"accuracy": accuracy, "given": taken}
    return lab.dataset({name: (("gate", "population"), x) for name, x in both.items()}, {"gate": GATES})


@study.experiment()
def quality(run: lab.Run) -> xr.Dataset:
    """SFT at every step, and interleaved at weight one, against the share of r* in the data, without rival, apart."""
    return _mixed.qualities(_questions(run), HEAVY, np.asarray(run(SHARES)))


def _gains(data: lab.Data, method: str, *others: str) -> lab.Evidence:
    accuracy = data.settings.accuracy
    gains = accuracy.sel(way=method, drop=True) - accuracy.sel(way=list(others))
    words = f"accuracy of {method} less that of another"
    return lab.mean(words, gains, "population").above(POINTS).per("overlap", "rival")


@study.claim(
    "SFT on unsolved questions between RL steps beats RL alone and SFT alone by three points or more.",
    origin=papers.RELIFT,
)
def relift(data):
    return _gains(data, BETWEEN, RL, SFT)


@study.claim(
    "It beats SFT before RL, at equal demonstrations and steps, by three points or more.",
    origin=lab.Asked("SFT before RL is the usual order, and RELIFT's natural control.", (papers.RELIFT,)),
)
def before(data):
    return _gains(data, BETWEEN, BEFORE)


@study.claim(
    "The choice of questions gains: SFT on unsolved ones, then RL, beats SFT on all, then RL, by three points.",
    origin=lab.Derived("demonstrations for a question that RL solves anyway are wasted"),
)
def choice(data):
    return _gains(data, FIRST, BEFORE)


@study.claim(
    "The timing gains, too: interleaved beats SFT on unsolved questions, then RL, by three points or more.",
    origin=lab.Asked("The dose log(1/ρ₀)/2x is the same whenever it comes; is that all?", (papers.RELIFT,)),
)
def timing(data):
    return _gains(data, BETWEEN, FIRST)


relift.null("the model's own choices in place of demonstrations")(lambda data: _gains(data, OWN, RL))
before.null("the model's own choices in place of demonstrations")(lambda data: _gains(data, OWN, BEFORE))
choice.null("RL without SFT in its place")(lambda data: _gains(data, RL, BEFORE))
timing.null("the model's own choices in place of demonstrations")(lambda data: _gains(data, OWN, FIRST))


def _half(data: lab.Data, gate: list[float]) -> lab.Evidence:
    """Whether at one of these gates interleaving gains less than half of what it gains at the gate of its group."""
    first, between = data.gates.accuracy, data.settings.accuracy.sel(**BASE, way=BETWEEN, drop=True)
    timing = between - first.sel(gate=float(_mixed.GROUP), drop=True)
    words = "gain by timing less half of that at a gate of 8, "
    left = {g: between - first.sel(gate=g) - timing / 2 for g in gate}
    less = [lab.mean(f"{words}at {g:g}", gap, "population").below(0) for g, gap in left.items()]
    gain = lab.mean("gain by timing at a gate of 8", timing, "population").above(0)
    return lab.all_of(gain, lab.any_of(*less))


@study.claim(
    "Timing gains because RL takes over early: SFT before RL with a gate that shuts early loses less than half of it.",
    origin=lab.Derived("RL alone finishes from ρ = 1/(2√(G − 1) T) on, far below 1/G"),
)
def take_over(data):
    return _half(data, GATES[2:])


take_over.null("a gate that shuts later, G = 2")(lambda data: _half(data, GATES[:1]))


def _below(data: lab.Data, every: xr.DataArray) -> lab.Evidence:
    alone, words = data.settings.accuracy.sel(**BASE, way=RL, drop=True), "RL alone less SFT at every step"
    return lab.difference(words, alone, every, "population").above(0)


@study.claim("SFT at every step ends below RL alone.", origin=papers.RELIFT_EVERY_STEP)
def every_step(data):
    return _below(data, data.quality.every).per("share", "weight")


every_step.null("r* only, x = 1")(lambda data: _below(data, data.quality.every.isel(share=-1)))


def _off(off: xr.DataArray) -> lab.Evidence:
    return lab.close("largest difference in accuracy", off.max(skipna=False), within=0.01)


@study.claim(
    "SFT at every step ends within a point of the rest point ρ = p*{1 − w(1 − m)/[w + c(ρ)ρ]} of every question that "
    "it gets to in half of the run.",
    origin=lab.Derived("theory.rest_point"),
)
def rest(data):
    return _off(data.quality.off)


rest.null("the rest point of the other weight")(lambda data: _off(data.quality.off_other))


def _alike(sampled: xr.DataArray, expected: xr.DataArray) -> lab.Evidence:
    words = "sampled accuracy less expected one"
    return lab.difference(words, sampled, expected, "population").near(0, within=POINTS)


@study.claim(
    "Averaged over settings, sampled training ends within three points of the accuracy that expected training has.",
    origin=lab.Derived("this study: expected updates are means of the sampled ones"),
)
def sampled(data):
    both = data.settings.sel(way=list(METHODS)).mean(["rival", "overlap"], skipna=False)
    return _alike(both.sampled, both.accuracy)


@sampled.null("SFT on unsolved, then RL, expected with the gates of other groups")
def _(data):
    drawn = data.settings.sampled.sel(**BASE, way=FIRST, drop=True)
    return _alike(drawn, data.gates.accuracy.sel(gate=[g for g in GATES if g != _mixed.GROUP]))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy on the way; against demonstrations; gains in all settings; SFT at every step."""
    figure, ((way, budget), (gain, share)) = plot.new((10.4, 7.0), nrows=2, ncols=2)
    base, middle = data.settings.sel(BASE), data.quality.mean("population")
    given, alone = float(base.given.sel(way=BETWEEN).mean()), float(base.accuracy.sel(way=RL).mean())
    title = f"Equal demonstrations ({given:.1f} a question), unequal ends"
    panels.frame(title, way, x="step", y="mean accuracy", ylim=(0, 1.35), yticks=np.linspace(0, 1, 6))
    shown = (base.way != OWN) & ((base.way != SFT) | (base.step <= _mixed.STEPS / _mixed.PARTS))
    panels.curves(base.path.where(shown).sel(way=list(METHODS)), way, x="step", by="way", colors=COLORS)
    panels.legend(None, way, loc="upper left", ncols=2)
    gates = data.gates.mean("population")
    best = gates.isel(gate=int(np.argmax(gates.accuracy.values)))
    place, gate = (float(best.given), float(best.accuracy)), float(best.gate)
    title = f"SFT first does best with the gate (1 − ρ)^{gate:g} (star)"
    panels.frame(title, budget, x="demonstrations a question", y="final accuracy", log="x", ylim=(0, 1))
    for method in METHODS[1:]:
        one = data.budgets.sel(way=method)
        budget.plot(one.given, one.accuracy, "o-", color=COLORS[method], markersize=3)
    panels.mark(alone, budget, axis="y", color=COLORS[RL])
    budget.plot(*place, "*", color=COLORS[FIRST], markersize=12, markeredgecolor="white", zorder=5)
    panels.note(place, budget, f"first, where ρ < 1/{gate:g}", shift=(-6, 5))
    accuracy = data.settings.accuracy.stack(setting=("overlap", "rival"))
    gains = accuracy.sel(way=BETWEEN, drop=True) - accuracy.sel(way=[m for m in METHODS if m != BETWEEN])
    names = [", ".join(setting) for setting in gains.setting.values]
    gains = gains.drop_vars(["overlap", "rival", "setting"]).assign_coords(setting=names)
    won = int((gains.mean("population") > POINTS).all("way").sum())
    title = f"It beats all others by three points in {won} of {len(names)} settings"
    panels.frame(title, gain, x="accuracy of interleaved less that of another, by colour (99.8 %)", y="")
    panels.forest(gains, gain, by="way", over="population", level=0.002, colors=COLORS)
    labels = {"x": "share x of r* in the demonstrations", "y": "final accuracy"}
    panels.frame("SFT at every step holds the policy at the data", share, **labels, log="", ylim=(0, 1))
    pink, dashes = COLORS[EVERY], {1.0: "-", 10.0: "--"}
    panels.curves(middle["rest"], share, x="share", dash="weight", colors=pink, label=False)
    panels.dots(middle.every, share, x="share", dash="weight", colors=pink, label=False)
    panels.curves(middle.gated, share, x="share", colors=COLORS[BETWEEN], style={"marker": "."})
    panels.mark(alone, share, "RL alone", axis="y", color=COLORS[RL])
    entries = {f"SFT at every step, w = {w:g}: rest": {"color": pink, "linestyle": dashes[w]} for w in HEAVY}
    panels.legend(entries | {"interleaved, w = 1": COLORS[BETWEEN]}, share, loc="lower right")
    return figure
