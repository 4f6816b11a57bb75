r"""What happens beyond the age at which a gradient destabilises training, and what just below it?

With gradients S steps old, theory puts the threshold of plain descent at ηK = 2 sin(π/(2(2S+1))) (study
`staleness`). Just beyond it a Hopf bifurcation should make the run swing, by (η/η_c − 1)^½ and with a period of 2(2S
+ 1) steps; far beyond, linear theory says nothing. Below it, sampling noise should be amplified to the variance η²
uᵀCu Σ ψ_j², with ψ the impulse response, u the direction of K and C the covariance of one group's gradient.

Runs of exact means start from π_ref = (.05, .70, .25) with success rates (.9, .6, .1) and reverse KL, β = .2, with S
= 2: the whole gradient is old, or the rollouts are and importance ratios, clipped at .2 or not, correct for it. The
last 60 of 2000 steps are looked at. Sampled runs (G = 64) have β = 2, which keeps them linear.
"""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.off_policy import OffPolicy
from qra_jax.studies import lab, papers
from qra_jax.studies.clocks import _staleness
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="Beyond the limit of staleness: first a swing, then a corner; and noise grows before it",
)

AGE, GROUP, BETA, LAST = 2, 64, 2.0, 60
NEAR, LOADS = np.linspace(1.02, 1.12, 6), [0.25, 0.5, 0.75, 0.9]
"""η/η_c between which the swing is fitted to a power law, and of sampled runs."""
LEADING, NOISE, REST = 0.1, 0.15, 1e-3
"""Of leading orders, whose corrections are η/η_c − 1 ≤ .12; of a variance: a tenth of the spread; a swing at rest."""
WAYS = {
    "gradient": OffPolicy(staleness=AGE, of="gradient"),
    "ratios": OffPolicy(staleness=AGE),
    "clipped ratios": OffPolicy(clip=0.2, staleness=AGE),
}


@study.experiment()
def beyond(run: lab.Run) -> xr.Dataset:
    """The last policies of mean runs from π_ref, by η/η_c and by what is AGE steps old."""
    pushes = np.unique([0.05, 0.1, 0.2, 0.4, *NEAR, *np.linspace(0.6, 4.0, run(lab.scale(18, 60)))]).round(6)
    unit = theory.delay_limit(AGE) / _staleness.curvature()[0]
    found = lab.cells(
        lambda cell: {"policy": _staleness.ends(WAYS[cell.way], cell.push * unit, LAST)},
        axes={"way": list(WAYS), "push": pushes.tolist()},
        dims={"policy": ["step", "pattern"]},
    )
    lost = (found.policy > 0.99).all("step").any("pattern")
    return found.assign(swing=found.policy[..., 0].max("step") - found.policy[..., 0].min("step"), lost=lost)


@study.experiment()
def shaken(run: lab.Run) -> xr.Dataset:
    """Variance of sampled runs along the direction of K below the threshold, and linear theory's."""
    k, seeds, found, law = _staleness.curvature(BETA)[0], run(lab.scale(2048, 8192)), [], []
    for age in (0, AGE):
        loads = np.array(LOADS) * theory.delay_limit(age)
        one = partial(_staleness.shaken, age=age, beta=BETA, group=GROUP)
        axes = {"rate": (loads / k).tolist()}
        runs = lab.cells(
            lambda cell, key, one=one: {"away": one(key, cell.rate)}, key=run.key, seeds=seeds, axes=axes
        )
        square = (runs.away.astype(float) - runs.away.astype(float).mean("seed")) ** 2
        found.append([square.sum("seed") / (seeds - 1), square.std("seed", ddof=1) / np.sqrt(seeds)])
        ages = (age, 0)
        law.append([[_staleness.shaken_variance(load, a, BETA, GROUP) for load in loads] for a in ages])
    parts, shape = np.concatenate([np.array(found, float), np.array(law)], axis=1), ("age", "load")
    names = ("variance", "error", "predicted", "undelayed")
    variables = {name: (shape, parts[:, i]) for i, name in enumerate(names)}
    return lab.dataset(variables, {"age": [0, AGE], "load": LOADS}, seeds=seeds)


def _corner(data: lab.Data, above: bool) -> lab.Evidence:
    runs = data.beyond.sel(way="gradient")
    chosen = runs.lost[(runs.push > 1) == above].astype(float).rename(push="η/η_c")
    return lab.exact("whether the run ends in a corner (one share above .99)", chosen).above(0.5).per("η/η_c")


@study.claim(
    "On this problem (β = .2, S = 2) a run from the base policy beyond the threshold ends in a corner.",
    origin=lab.Asked("Linear theory ends at the threshold.", (papers.OSCILLATOR_REFRESH,)),
)
def diverges(data):
    return _corner(data, True)


diverges.null("runs below the threshold")(lambda data: _corner(data, False))


def _swings(data: lab.Data, way: str) -> lab.Evidence:
    runs = data.beyond.sel(way=way).sel(push=NEAR, method="nearest")
    rise = lab.slope(
        "power of the swing in η/η_c − 1", np.log(runs.swing.clip(1e-12)), np.log(runs.push - 1), along="push"
    )
    steps = _staleness.period(runs.policy[0, :, 0].values)
    period = lab.close("period at the least η", steps, 2 * (2 * AGE + 1), within=LEADING, relative=True)
    return lab.all_of(rise.near(0.5, within=LEADING), period)


@study.claim(
    "Up to 12 % beyond (β = .2, S = 2), the swing grows like (η/η_c − 1)^½, with a period of 2(2S + 1) steps.",
    origin=lab.Derived(),
)
def swings(data):
    return _swings(data, "gradient")


swings.null("runs with importance ratios")(lambda data: _swings(data, "ratios"))


def _rests(data: lab.Data, ways: list[str]) -> lab.Evidence:
    runs = data.beyond.sel(way=ways, push=data.beyond.push < 2 / theory.delay_limit(AGE))
    rest = lab.where_known((runs.swing < REST) & (runs.lost == 0), runs.swing, runs.lost)
    words = (
        "share of a grid of η, up to the limit of fresh gradients, at which the run rests, outside corners"
    )
    return lab.exact(words, rest.mean("push", skipna=False)).above(0.999)


@study.claim(
    "With ratios, clipped or not, the run from this base policy (β = .2, S = 2) settles at every η of a grid at which "
    "the optimum is stable.",
    origin=lab.Asked("Linear theory says nothing about finite distances."),
)
def rests(data):
    return _rests(data, ["ratios", "clipped ratios"]).per("way")


rests.null("an old gradient without ratios")(lambda data: _rests(data, ["gradient"]))


def _amplified(data: lab.Data, law: str, ages: list[int]) -> lab.Evidence:
    runs = data.shaken.sel(age=ages)
    found = runs.variance / runs[law], runs.error / runs[law]
    return lab.measured("variance over predicted", *found, n=int(runs.attrs["seeds"])).near(1, within=NOISE)


@study.claim(
    "Below the threshold (β = 2, S = 0 and 2) sampling noise has the variance of linear theory, η²uᵀCu Σψ².",
    origin=lab.Derived("theory.impulse_response"),
)
def amplified(data):
    return _amplified(data, "predicted", [0, AGE]).per("load")


amplified.null("the law of a fresh gradient for an old one")(
    lambda data: _amplified(data, "undelayed", [AGE])
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """What becomes of runs beyond the threshold; variance below it."""
    figure, (left, right) = plot.new((8.8, 3.5), ncols=2)
    runs = data.beyond.sel(way="gradient")
    panels.frame(
        "Beyond: swings first, then a corner",
        left,
        x=f"η / η_c, gradient {AGE} steps old",
        y="π(r*) in the end",
    )
    panels.mark(1, left)
    for push, values in zip(runs.push.values, runs.policy[..., 0].values, strict=True):
        left.plot(np.full(LAST, push), values, ".", color=plot.BEST, markersize=1.5)
    kept = float(runs.push[~runs.lost.values].max())
    if kept < float(runs.push.max()):
        span = np.array([float(runs.push[runs.push > kept].min()), float(runs.push.max())])
        panels.mark(span, left, "in a corner", at=0.5, color=plot.RIVAL)
    steps = _staleness.period(runs.policy.sel(push=NEAR[0], method="nearest")[:, 0].values)
    panels.note((1.06, 0.8), left, f"swings, period {steps:.1f} steps", color=plot.BEST)
    left.set(xlim=(0.55, 4.05), ylim=(-0.03, 1.03))

    panels.frame(
        "Noise grows before the threshold", right, x="η / η_c", y="variance of the logit along K", log="y"
    )
    noise = data.shaken
    value = lab.measured("", noise.variance, noise.error)
    names = {0: "fresh (line: theory)", AGE: f"{AGE} steps old"}
    shades = {0: plot.MUTED, AGE: plot.CYCLE[1]}
    panels.dots(value, right, x="load", by="age", theory=noise.predicted, names=names, colors=shades)
    panels.legend(None, right, loc="upper left")
    return figure
