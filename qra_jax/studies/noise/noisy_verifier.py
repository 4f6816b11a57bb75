r"""What does a verifier that errs do to training: does it only slow it down?

A verifier with TPR = 1 − FN and FPR = FP (shares of false negatives and positives) rewards a rollout of accuracy ρ
with probability Q = FPR + Jρ, J = TPR − FPR being Youden's index. The mean update of pattern r is J c(Q) π_r (p_r − ρ):
the orbit is the same for every J > 0 and is run backwards for J < 0, and the errors are in the clock alone. REINFORCE's
is 1, so that noise takes 1/J times as long. GRPO's is 1/√(Q(1−Q)), from the spread of the *observed* rewards, and no
function of J alone. Without false negatives it diverges as ρ → 1, and the rest 1 − ρ vanishes like t⁻²; with any share
of them it does not, and the rest vanishes like t⁻¹: one constant factor of time fits a range of accuracies, not all.

With an exact reverse KL term and patterns that are right or wrong for sure, GRPO comes to rest, for J < 0 too, where

$$ \operatorname{logit}\rho_* = \operatorname{logit}\rho_{\rm ref} + \frac{J}{\beta\sqrt{Q_*(1-Q_*)}}, $$

with the shares within each class (right or wrong) as in the base policy (`theory.noisy_equilibrium`).

The experiments: orbits of the worked example for several J, at three values of TPR + FPR; of two patterns with success
rates (1, 0) from ρ = ½ on for twelve verifiers; and flows with the KL term, by an ODE solver without orbits.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot, theory
from qra_jax.algorithm import by_clock, grpo, reinforce
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.reward import verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.noise import _slowdown
from qra_jax.trajectory import Status

study = lab.Study(
    __name__, title="Noisy verifier: where training ends, how much later, and how its tail goes"
)

CLOCKS, GRPO = [by_clock(reinforce()), by_clock(grpo())], "GRPO"
YOUDEN, SUMS, TIMES = (-0.7, -0.2, 0.0, 0.2, 0.7), (0.75, 1.0, 1.25), np.logspace(-1, 5, 121)
"""J and TPR + FPR of the runs on the worked example."""
POSITIVE, NEGATIVE, LONG = (0.0, 0.3, 0.6), (0.0, 1e-4, 1e-2, 0.2), np.logspace(-2, 14, 321)
"""Shares of false positives and of false negatives of the runs with success rates (1, 0)."""
SEEN, DEEP = np.log(np.geomspace(0.4, 0.01, 30)), np.log(np.geomspace(0.1, 1e-10, 60))
"""log(1 − ρ) over the range of accuracies that a run is watched in, and far beyond."""
REF, BETAS = (0.1, 0.2, 0.7), (0.5, 1.0, 3.0)
"""Base policy with two right patterns and a wrong one; strengths of the KL term."""
TAIL = lab.Derived("theory.exponents", (papers.NOISE_TIME, papers.NOISE_FIFTEEN))
READING = lab.Asked(
    "The paper's ‘primarily’ has no numbers: which time, which range of accuracies?", (papers.NOISE_TIME,)
)


@study.experiment(
    {"algorithm": CLOCKS, "youden": YOUDEN, "sum": SUMS}, dims={"accuracy": ["time"]}, coords={"time": TIMES}
)
def phases(cell):
    """Accuracy along the orbit of the worked example."""
    reward = verifiable((cell.sum + cell.youden) / 2, (cell.sum - cell.youden) / 2)
    run = orbit.solve(examples.worked(), jnp.asarray(TIMES), algorithm=cell.algorithm, reward=reward)
    return {"accuracy": run.accuracy}


@study.experiment(
    {"algorithm": CLOCKS, "FP": POSITIVE, "FN": NEGATIVE}, dims={"log_rest": ["time"]}, coords={"time": LONG}
)
def tails(cell):
    """log(1 − ρ) of two patterns with success rates (1, 0), from ρ = ½ on."""
    surely, reward = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0]), verifiable(1 - cell.FN, cell.FP)
    run = orbit.solve(surely, log_ts=jnp.log(LONG), algorithm=cell.algorithm, reward=reward)
    return {"log_rest": run.log_policy[:, 1]}


@study.experiment(
    {"beta": BETAS, "youden": np.linspace(-0.8, 0.8, 17)}, dims={"end": ["pattern"], "way": ["pattern"]}
)
def rests(cell):
    """Flows with a KL term to their rest, and at t = 1; the law."""
    mixed, tpr = Problem.from_probs(ref=REF, success=[1, 1, 0]), (1 + cell.youden) / 2
    options = {
        "algorithm": grpo(),
        "reward": verifiable(tpr, 1 - tpr),
        "regularizers": [reverse_kl(cell.beta)],
    }
    options |= {"event": "steady", "target": 1e-10, "rtol": 1e-12, "atol": 1e-12, "max_steps": 16384}
    path = flow.solve(mixed, ts=jnp.array([0.0, 1.0, 1e7]), **options)
    law = theory.noisy_equilibrium(mixed.accuracy_ref, cell.beta, tpr=tpr, fpr=1 - tpr)
    return {"end": path.log_policy[-1], "way": path.log_policy[1], "status": path.status, "law": law}


@study.claim(
    "The sign of J decides: on the worked example GRPO's accuracy rises to the best pattern, stands still (J = 0), or "
    "falls to the worst, for TPR + FPR = .75, 1 and 1.25.",
    origin=papers.NOISE_PHASE,
    needs_no_control="computed without sampling, and the three ends exclude one another",
)
def fate(data):
    accuracy, success = data.phases.accuracy.sel(algorithm=GRPO), np.asarray(examples.worked().success)
    j, start = np.sign(accuracy.youden), accuracy.isel(time=0)
    goal = xr.where(j > 0, success.max(), xr.where(j < 0, success.min(), start))
    along = (j * accuracy.diff("time")).min("time", skipna=False)
    ends = lab.close("accuracy at the end − goal", accuracy.isel(time=-1) - goal, within=0.01)
    return lab.all_of(ends, lab.exact("least step in the direction of J", along).above(-1e-12))


def _powers(data: lab.Data, misses: Any, **runs: str) -> lab.Evidence:
    late = data.tails.log_rest.sel(runs).sel(FN=list(misses), time=slice(1e8, 1e13))
    power = lab.slope("d log(1 − ρ) / d log t", late, np.log(late.time), along="time")
    return power.near(xr.where(late.FN > 0, -1.0, -2.0), within=0.01)


@study.claim("GRPO (G → ∞): 1 − ρ ~ t⁻² without false negatives, t⁻¹ with any share of them.", origin=TAIL)
def tail(data):
    return _powers(data, NEGATIVE, algorithm=GRPO)


@tail.null("REINFORCE without false negatives, whose clock sees no spread")
def _(data):
    return _powers(data, [0.0], algorithm="REINFORCE")


def _noisy(data: lab.Data, log_rest: np.ndarray, **clean: str) -> xr.DataArray:
    return _slowdown.slowdown(data.tails.log_rest, data.tails.log_rest.sel(FP=0, FN=0, **clean), log_rest)


def _grpo(
    data: lab.Data, depth: np.ndarray, clean: str = GRPO, misses: Any = NEGATIVE, by: float = 1.25
) -> lab.Evidence:
    """Runs of GRPO with these shares of false negatives, against the noiseless run of an algorithm."""
    slower = _noisy(data, depth, algorithm=clean).sel(algorithm=GRPO, FN=list(misses))
    return _slowdown.constant(slower).below(by).per("FN")


@study.claim(
    "For J > 0 noise rescales GRPO's time: from ρ = .6 up to .99 one constant fits within a quarter.",
    origin=READING,
)
def rescales(data):
    return _grpo(data, SEEN)


CLOCK = "without false negatives, against noiseless REINFORCE: another clock"
rescales.null(CLOCK)(lambda data: _grpo(data, SEEN, "REINFORCE", [0.0]))


@study.claim("From ρ = .9 up to 1 − 10⁻¹⁰ one constant fits within a factor of 2.", origin=READING)
def only(data):
    return _grpo(data, DEEP, by=2.0)


only.null(CLOCK)(lambda data: _grpo(data, DEEP, "REINFORCE", [0.0], 2.0))


def _youden(data: lab.Data, algorithm: str, misses: Any = NEGATIVE) -> lab.Evidence:
    slower = _noisy(data, SEEN).sel(algorithm=algorithm) * (1 - data.tails.FP - data.tails.FN)
    most = abs(np.log(slower)).max("rest", skipna=False).sel(FN=list(misses))
    return lab.exact("|log(J × time ÷ time without noise)|, the largest up to ρ = .99", most).below(0.01)


@study.claim("Under REINFORCE, whose clock sees no spread, noise takes 1/J times as long.", origin=TAIL)
def plain(data):
    return _youden(data, "REINFORCE")


plain.null("runs of GRPO, with a hundredth of false negatives or more")(
    lambda data: _youden(data, GRPO, NEGATIVE[2:])
)


def _rests(data: lab.Data, end: str, law: xr.DataArray) -> lab.Evidence:
    log_policy: Any = data.rests[end]
    right: Any = np.exp(log_policy[..., :2])
    logit = np.log(right.sum("pattern", skipna=False)) - log_policy[..., 2]
    inside = log_policy[..., 0] - log_policy[..., 1] - np.log(REF[0] / REF[1])
    moving = (data.rests.status > int(Status.ALREADY_MET)).sum()
    logit, inside = (xr.DataArray(abs(gap)).max(skipna=False) for gap in (logit - law, inside))
    return lab.all_of(
        lab.close("flows that have not come to rest", moving, within=0.5),
        lab.close("largest difference in logit ρ*", logit, within=1e-5),
        lab.close("… in the log ratio of the right patterns", inside, within=1e-5),
    )


@study.claim(
    "With exact reverse KL, GRPO rests at logit ρ* = logit ρ_ref + J/(βσ(ρ*)), for J < 0, too, with the shares of a "
    "class as in the base policy.",
    origin=lab.Derived("theory.noisy_equilibrium", (papers.POS_OPTIMUM,)),
)
def rest(data):
    return _rests(data, "end", data.rests.law)


@rest.null("the law of REINFORCE, which does not divide by σ")
def _(data):
    return _rests(data, "end", np.log(sum(REF[:2]) / REF[2]) + data.rests.youden / data.rests.beta)


rest.null("the same flows on their way, at t = 1")(lambda data: _rests(data, "way", data.rests.law))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Phases, tails, slowdown against accuracy, and the resting points under KL."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.2), nrows=2, ncols=2)
    title, x = "J > 0 learns, J = 0 stands still, J < 0 unlearns", "time t"
    panels.frame(title, first, x=x, y="accuracy ρ", log="x", ylim=(0, 1), xlim=(0.1, 1e5))
    colors = dict(zip(YOUDEN, (plot.RIVAL, "#E69F00", "#666666", "#56B4E9", plot.BEST), strict=True))
    names = {j: f"J = {panels.plain(j)}" for j in YOUDEN}
    panels.curves(
        data.phases.accuracy.sel(algorithm=GRPO, sum=1.0),
        first,
        x="time",
        by="youden",
        colors=colors,
        names=names,
    )
    panels.legend(None, first, loc="upper left")
    title = "GRPO: false negatives change the tail's power"
    panels.frame(title, second, x=x, y="1 − ρ", log="xy", xlim=(1, 1e14), ylim=(1e-20, 1))
    shades = dict(zip(NEGATIVE, (plot.BEST, "#E69F00", "#D55E00", "#7A3300"), strict=True))
    look: Any = {"by": "FN", "dash": "FP", "colors": shades}
    panels.curves(np.exp(data.tails.log_rest.sel(algorithm=GRPO)), second, x="time", **look)
    panels.legend(None, second, loc="lower left")
    panels.note((1e9, 1e-18), second, "t⁻² (others: t⁻¹)", shift=(-8, 0), color=plot.BEST)
    rest, worst = np.logspace(-0.4, -12, 100), float(_slowdown.constant(_noisy(data, SEEN)).value.max())
    slower = _noisy(data, np.log(rest)).assign_coords(rest=rest).transpose("algorithm", "FN", "FP", "rest")
    title, y = f"One constant fits within {worst:.1f} × up to .99, not beyond", "time ÷ time without noise"
    panels.frame(title, third, x="1 − ρ reached", y=y, log="xy", xlim=(0.4, 1e-12), ylim=(0.3, 1e6))
    panels.curves(slower[0], third, x="rest", **look | {"colors": plot.MUTED, "label": False})
    panels.curves(slower[1], third, x="rest", **look | {"label": False})
    panels.note((1e-7, 2e4), third, "GRPO, with\nfalse negatives", shift=(-6, 0), color=plot.RIVAL)
    panels.note((2e-12, 0.5), third, "REINFORCE (grey), GRPO without", shift=(-6, 0), color=plot.BEST)
    title = "A KL term stops training where theory says"
    panels.frame(title, fourth, x="J", y="accuracy at rest", ylim=(0, 1))
    law, end = 1 / (1 + np.exp(-data.rests.law)), np.exp(data.rests.end[..., :2]).sum("pattern")
    names = {beta: f"β = {panels.plain(beta)}" for beta in BETAS}
    panels.dots(end, fourth, x="youden", by="beta", theory=law, names=names)
    panels.mark(sum(REF[:2]), fourth, "base accuracy", axis="y", at=0.02)
    panels.legend(None, fourth, loc="upper left", title="formula (lines), flow (dots)")
    return figure
