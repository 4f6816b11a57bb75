r"""How old may a gradient be before training becomes unstable?

For plain gradient steps near an optimum of curvature K, a gradient held for S steps diverges at ηKS = 2; one delayed
by S steps at ηK = 2 sin(π/(2(2S+1))), so that ηKS = 1.00 (S = 1), 1.24 (S = 2), … π/2. With heavy-ball momentum m,
delayed, the threshold is the first η at which a root of

$$ z^{S+1} - (1+m) z^S + m z^{S-1} + \eta K = 0 $$

leaves the unit circle; held, the same of the map of one period. Where only the rollouts are old and the KL term is
new, the mean gradient is a function F(θ_now, θ_old) and the linear step is θ_{k+1} − θ_k = η (A θ_k + B θ_{k−S}), A
= ∂F/∂θ_now, B = ∂F/∂θ_old. Importance ratios make the mean gradient of REINFORCE that of now, whatever S.

Problem: π_ref = (.05, .70, .25), success rates (.9, .6, .1), exact reverse KL with β = .2, whose one interior
optimum is π_opt ∝ π_ref exp(p/β); K is the largest eigenvalue of minus the Jacobian there. Thresholds are found by
bisection over η of mean runs that start 10⁻⁶ beside the optimum: unstable if the largest distance in the last
quarter exceeds that in the second, or if it ever exceeds 10⁻². What happens beyond a threshold is the study
`staleness-beyond`.
"""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import rloo
from qra_jax.off_policy import OffPolicy
from qra_jax.studies import lab, papers
from qra_jax.studies.clocks import _staleness
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="Staleness: theory gives the age at which a gradient destabilises, and ratios lift the limit",
)

MOMENTA, AGES, AGE = [0.0, 0.5, 0.9], lab.scale([1, 2, 4], [1, 2, 4, 8, 16]), 2
"""AGE: of old rollouts."""
CLOSE, MILDER = 0.01, 0.05
"""Of a threshold, relative: what is one per cent beyond it shows within 2000 steps; and a difference that matters."""
KINDS = {
    "REINFORCE (no baseline)": (_staleness.ONE, "none", None),
    "RLOO (baseline)": (rloo(2), "none", None),
    "with ratios": (_staleness.ONE, "clip", None),
    "with ratios, clipped": (_staleness.ONE, "clip", 0.2),
}


@study.experiment()
def thresholds(run: lab.Run) -> xr.Dataset:
    """ηK from which on mean training leaves the optimum: measured, and by linear theory."""
    ages, shape = run(AGES), ("schedule", "age", "momentum")
    fresh = _staleness.threshold(OffPolicy(), MOMENTA)
    found, law = np.empty((2, 2, len(ages), len(MOMENTA)))
    radii = {"held": theory.held_radius, "delayed": theory.delayed_radius}
    for i, (schedule, radius) in enumerate(radii.items()):
        for j, age in enumerate(ages):
            old = OffPolicy(staleness=age, schedule=schedule, of="gradient")
            found[i, j] = fresh if schedule == "held" and age == 1 else _staleness.threshold(old, MOMENTA)
            law[i, j] = [_staleness.limit(partial(radius, age=age, momentum=m)) for m in MOMENTA]
    variables = {"measured": (shape, found), "predicted": (shape, law), "fresh": ("momentum", fresh)}
    return lab.dataset(variables, {"schedule": list(radii), "age": ages, "momentum": MOMENTA})


@study.experiment()
def rollouts(run: lab.Run) -> xr.Dataset:
    """The same where only the rollouts are old."""
    found, law = [], []
    for name, (algorithm, surrogate, clip) in KINDS.items():
        old = OffPolicy(surrogate, clip=clip, staleness=AGE)
        found.append(_staleness.threshold(old, [0.0], algorithm)[0])
        law.append(_staleness.two_time_limit(AGE, baseline="RLOO" in name, ratios="ratios" in name))
    return lab.dataset({"measured": ("kind", found), "predicted": ("kind", law)}, {"kind": list(KINDS)})


def _held(data: lab.Data, schedule: str) -> lab.Evidence:
    found = data.thresholds.measured.sel(schedule=schedule, momentum=0)
    return lab.close("ηKS at the threshold", found * found.age, 2, within=CLOSE, relative=True)


def _delayed(data: lab.Data, schedule: str) -> lab.Evidence:
    found = data.thresholds.measured.sel(schedule=schedule, momentum=0)
    law = found.copy(data=[theory.delay_limit(int(age)) for age in found.age])
    return lab.close("ηK at the threshold", found, law, within=CLOSE, relative=True)


@study.claim(
    "At the optimum of one problem a gradient held for S steps is unstable from ηKS = 2 on, to 1 %.",
    origin=lab.Derived("theory.held_radius"),
)
def held(data):
    return _held(data, "held")


held.null("delayed gradients")(lambda data: _held(data, "delayed"))


@study.claim(
    "At the optimum of one problem a gradient S steps late is unstable from ηK = 2 sin(π/(2(2S+1))) on, to 1 %.",
    origin=lab.Derived("theory.delay_limit"),
)
def delayed(data):
    return _delayed(data, "delayed")


delayed.null("held gradients")(lambda data: _delayed(data, "held"))


def _roots(data: lab.Data, momentum: float | None = None) -> lab.Evidence:
    found = data.thresholds.sel(momentum=MOMENTA[1:])
    law = found.predicted if momentum is None else data.thresholds.predicted.sel(momentum=momentum, drop=True)
    return lab.close("threshold over the predicted one", found.measured / law, 1, within=CLOSE)


@study.claim(
    "At the optimum of one problem, held or delayed by S = 1 … 16, with momentum .5 and .9, the roots of the "
    "characteristic polynomials give the thresholds, to 1 %.",
    origin=lab.Derived("theory.delayed_radius, theory.held_radius"),
)
def with_momentum(data):
    return _roots(data)


with_momentum.null("the roots without momentum")(lambda data: _roots(data, 0.0))


def _weaker(late: xr.DataArray, fresh: xr.DataArray) -> lab.Evidence:
    parts = [x.sel(momentum=MOMENTA[1:]) / x.sel(momentum=0, drop=True) for x in (late, fresh)]
    words = "threshold over that without momentum"
    return lab.all_of(
        lab.exact(f"{words}, late", parts[0]).below(1 - MILDER),
        lab.exact(f"{words}, fresh", parts[1]).above(1 + MILDER),
    )


@study.claim(
    "Momentum .5 and .9 makes a late gradient less stable, although it makes a fresh one more stable.",
    origin=lab.Derived(),
)
def weaker(data):
    return _weaker(data.thresholds.measured.sel(schedule="delayed"), data.thresholds.fresh)


weaker.null("fresh gradients in place of late ones")(
    lambda d: _weaker(d.thresholds.fresh, d.thresholds.fresh)
)


def _whole(data: lab.Data) -> xr.DataArray:
    return data.thresholds.measured.sel(schedule="delayed", momentum=0, age=AGE, drop=True)


def _two_times(data: lab.Data, law: xr.DataArray) -> lab.Evidence:
    return lab.close("threshold over the predicted one", data.rollouts.measured / law, 1, within=CLOSE)


@study.claim(
    "With only the rollouts old (S = 2), the roots of θ' = θ + η(Aθ + Bθ_old) give the threshold, to 1 %.",
    origin=lab.Derived("theory.two_time_radius"),
)
def two_times(data):
    return _two_times(data, data.rollouts.predicted)


two_times.null("the threshold of a wholly old gradient")(lambda data: _two_times(data, _whole(data)))


@study.claim(
    "Old rollouts (S = 2) with a new KL term have a higher threshold than a wholly old gradient.",
    origin=lab.Asked("Trainers hold rollouts, not gradients.", (papers.OSCILLATOR_REFRESH,)),
    needs_no_control="two thresholds by one bisection, whose error `two-times` and `delayed` bound",
)
def milder(data):
    found = data.rollouts.measured.isel(kind=[0, 1]) / _whole(data)
    return lab.exact("threshold over that of a wholly old gradient", found).above(1 + MILDER).per("kind")


def _lifts(data: lab.Data, kinds: list[str]) -> lab.Evidence:
    found = data.rollouts.measured.sel(kind=kinds) / data.thresholds.fresh.sel(momentum=0, drop=True)
    return lab.close("threshold over that of a fresh gradient", found, 1, within=CLOSE)


@study.claim(
    "Importance ratios lift the limit of staleness on REINFORCE's mean step near the optimum (S = 2), clipped or not.",
    origin=lab.Derived(),
)
def lifts(data):
    return _lifts(data, list(KINDS)[2:])


lifts.null("no ratios")(lambda data: _lifts(data, list(KINDS)[:1]))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Thresholds against S; what only old rollouts change."""
    figure, (first, second) = plot.new((8.8, 3.5), ncols=2)
    limits, old = data.thresholds, data.rollouts
    title, x = "Thresholds lie on theory (lines)", "age of the gradient S (steps)"
    panels.frame(
        title, first, x=x, y="largest stable ηKS", log="xy", xticks=limits.age.values, ylim=(0.04, 14)
    )
    colors = dict(zip(MOMENTA, (plot.CYCLE[0], plot.CYCLE[4], plot.CYCLE[1]), strict=True))
    arms = {
        "by": "momentum",
        "dash": "schedule",
        "colors": colors,
        "names": {m: f"m = {m:g}" for m in MOMENTA},
    }
    panels.dots(limits.measured * limits.age, first, x="age", theory=limits.predicted * limits.age, **arms)
    panels.legend(None, first, ncols=2, loc="upper right", fontsize=7)

    rows = ["whole gradient", *old.kind.values.tolist(), "nothing old"]
    found = [float(_whole(data)), *old.measured.values, float(limits.fresh[0])]
    law = [theory.delay_limit(AGE), *old.predicted.values, 2.0]
    bars = xr.DataArray(found, {"old": rows}, ["old"])
    panels.frame(
        "Old rollouts need a baseline or ratios",
        second,
        x=f"largest stable ηK, S = {AGE}",
        y="",
        xlim=(0, 2.5),
    )
    panels.bars(bars, second, x="old", flat=True, expected=bars.copy(data=law), numbers="{:.2f}")
    return figure
