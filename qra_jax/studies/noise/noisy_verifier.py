r"""What does a verifier that errs do to training: does it only slow it down?

A verifier with true positive rate TPR = 1 − FN and false positive rate FPR = FP rewards a rollout of accuracy ρ with the
probability Q = FPR + Jρ, J = TPR − FPR being Youden's index. The mean update of pattern r is J c(Q) π_r (p_r − ρ): the
orbit is the same for every J > 0 and is run backwards for J < 0, and the errors are in the clock alone. REINFORCE's is 1,
so that noise takes 1/J times as long. GRPO's is 1/√(Q(1−Q)), the spread of the *observed* rewards, and not a function of
J alone. Without false negatives it diverges as ρ → 1, and the rest 1 − ρ vanishes like t⁻²; with any share of them it
does not, and the rest vanishes like t⁻¹. One constant factor of time then fits over a range of accuracies, not over all.

With an exact reverse KL term and patterns that are right or wrong for sure, GRPO comes to rest, for J < 0 too, where

$$ \operatorname{logit}\rho_* = \operatorname{logit}\rho_{\rm ref} + \frac{J}{\beta\sqrt{Q_*(1-Q_*)}}, $$

with the shares within each class (right or wrong) as in the base policy (`theory.noisy_equilibrium`).

The experiments: orbits of the worked example for several J, at three values of TPR + FPR; of two patterns with success
rates (1, 0) from ρ = ½ on for twelve verifiers; and flows with the KL term, by an ODE solver without orbits.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot, theory
from qra_jax.algorithm import by_clock, grpo, reinforce
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.reward import verifiable
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Evidence, Study, evidence, panels, scale
from qra_jax.trajectory import Status

study = Study(
    __name__, title="Noisy verifier: where training ends, how much later it gets there, and how its tail goes"
)

CLOCKS, GRPO = [by_clock(reinforce()), by_clock(grpo())], "GRPO"
YOUDEN, SUMS, TIMES = (-0.7, -0.2, 0.0, 0.2, 0.7), (0.8, 1.0, 1.2), np.logspace(-1, 5, 121)
"""J and TPR + FPR of the runs on the worked example."""
POSITIVE, NEGATIVE, LONG = (0.0, 0.3, 0.6), (0.0, 1e-4, 1e-2, 0.2), np.logspace(-2, 14, 321)
MISSES = slice(NEGATIVE[1], None)
"""Shares of false positives and of false negatives of the runs with success rates (1, 0)."""
SEEN, DEEP = np.log(np.geomspace(0.4, 0.01, 30)), np.log(np.geomspace(0.1, 1e-10, 60))
"""log(1 − ρ) over the range of accuracies that a run is watched in, and far beyond."""
REF, BETAS = (0.1, 0.2, 0.7), (0.5, 1.0, 3.0)
"""Base policy with two right patterns and a wrong one; strengths of the KL term."""


@study.experiment(
    {"algorithm": CLOCKS, "youden": YOUDEN, "sum": SUMS}, dims={"accuracy": ["time"]}, coords={"time": TIMES}
)
def phases(cell):
    """Accuracy along the orbit of the worked example."""
    reward = verifiable((cell.sum + cell.youden) / 2, (cell.sum - cell.youden) / 2)
    return {
        "accuracy": orbit.solve(
            examples.worked(), jnp.asarray(TIMES), algorithm=cell.algorithm, reward=reward
        ).accuracy
    }


@study.experiment(
    {"algorithm": CLOCKS, "FP": POSITIVE, "FN": NEGATIVE}, dims={"log_rest": ["time"]}, coords={"time": LONG}
)
def tails(cell):
    """log(1 − ρ) of two patterns with success rates (1, 0), from ρ = ½ on."""
    surely, reward = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0]), verifiable(1 - cell.FN, cell.FP)
    run = orbit.solve(surely, log_ts=jnp.log(LONG), algorithm=cell.algorithm, reward=reward)
    return {"log_rest": run.log_policy[:, 1]}


@study.experiment(
    {"beta": BETAS, "youden": scale(np.linspace(-0.8, 0.8, 9), np.linspace(-0.8, 0.8, 17))},
    dims={"end": ["pattern"], "way": ["pattern"]},
)
def rests(cell):
    """Flows with a KL term to their rest, and at t = 1; the law."""
    mixed, rates = (
        Problem.from_probs(ref=REF, success=[1.0, 1.0, 0.0]),
        ((1 + cell.youden) / 2, (1 - cell.youden) / 2),
    )
    options = {"algorithm": grpo(), "reward": verifiable(*rates), "regularizers": [reverse_kl(cell.beta)]}
    options |= {"event": "steady", "target": 1e-10, "rtol": 1e-12, "atol": 1e-12, "max_steps": 16384}
    path = flow.solve(mixed, ts=jnp.array([0.0, 1.0, 1e7]), **options)
    law = theory.noisy_equilibrium(mixed.accuracy_ref, cell.beta, tpr=rates[0], fpr=rates[1])
    return {"end": path.log_policy[-1], "way": path.log_policy[1], "status": path.status, "law": law}


def _fate(data: Data, sign: int = 1) -> Evidence:
    accuracy, success = data.phases.accuracy.sel(algorithm=GRPO), np.asarray(examples.worked().success)
    j, start = accuracy.youden, accuracy.isel(time=0)
    goal = xr.where(sign * j > 0, success.max(), xr.where(sign * j < 0, success.min(), start))
    along = (sign * np.sign(j) * accuracy.diff("time")).min("time", skipna=False)
    ends = evidence.close(
        "accuracy at the end − best, base or worst", accuracy.isel(time=-1) - goal, within=0.01
    )
    return evidence.all_of(ends, evidence.exact("least step in the direction of J", along).above(-1e-12))


@study.claim(
    "The sign of J decides: GRPO's accuracy rises to the best pattern, stands still (J = 0), or falls to the worst.",
    origin=papers.NOISE_PHASE,
)
def fate(data):
    return _fate(data)


fate.null("the same with the opposite sign of J")(lambda data: _fate(data, sign=-1))


def _same_course(data: Data, over: str) -> Evidence:
    """Distance of the courses of accuracy that differ in one axis, for each algorithm."""
    words = f"distance of the courses for several values of {over}, in accuracy"
    runs = data.phases.accuracy.sel(youden=[0.2, 0.7])
    rows = {
        name: evidence.same_curve(words, runs.sel(algorithm=name), over=over)
        for name in runs.algorithm.values
    }
    return evidence.stacked("algorithm", rows).below(1e-3).per("algorithm")


@study.claim(
    "The course of accuracy depends on the verifier through J alone.",
    origin=Asked(
        "In the paper's model the drift depends on J alone; here GRPO divides by the spread of the observed rewards.",
        (papers.NOISE_PHASE,),
    ),
)
def alone(data):
    return _same_course(data, "sum")


alone.null("verifiers of different J")(lambda data: _same_course(data, "youden"))


def _powers(data: Data, missing: slice) -> xr.DataArray:
    """Power of t in the tail of GRPO, over the last five decades of time."""
    late = data.tails.log_rest.sel(algorithm=GRPO, time=slice(1e8, 1e13), FN=missing)
    return evidence.slope("d log(1 − ρ) / d log t", late, np.log(late.time), along="time")


TAIL = Derived("theory.exponents", (papers.NOISE_TIME, papers.NOISE_FIFTEEN))


@study.claim(
    "Mean-field GRPO without false negatives: 1 − ρ ~ t⁻², whatever the false positives.", origin=TAIL
)
def without(data):
    return _powers(data, slice(0, 0)).near(-2.0, within=0.01)


without.null("verifiers with false negatives")(lambda data: _powers(data, MISSES).near(-2.0, within=0.01))


@study.claim("Mean-field GRPO with any share of false negatives: 1 − ρ ~ t⁻¹.", origin=TAIL)
def misses(data):
    return _powers(data, MISSES).near(-1.0, within=0.01)


misses.null("verifiers without")(lambda data: _powers(data, slice(0, 0)).near(-1.0, within=0.01))


def _slowdown(run: xr.DataArray, clean: xr.DataArray, log_rest: np.ndarray) -> xr.DataArray:
    """Time to bring log(1 − ρ) down to given values, over that of a noiseless run; inf where a run does not get there."""

    def reached(row: np.ndarray) -> np.ndarray:
        return np.interp(-log_rest, -row, np.log(run.time.values), right=np.inf)

    dims: dict = {"input_core_dims": [["time"]], "output_core_dims": [["rest"]], "vectorize": True}
    both = [xr.apply_ufunc(reached, row, **dims) for row in (run, clean)]
    known = run.notnull().all("time") & clean.notnull().all("time")
    return np.exp(both[0] - both[1]).where(known)


def _constant(slower: xr.DataArray) -> xr.DataArray:
    """By what factor the best constant is wrong in time."""
    spread = np.log(slower.max("rest", skipna=False)) - np.log(slower.min("rest", skipna=False))
    return evidence.exact("factor by which the best constant is wrong in time", np.exp(spread / 2))


def _noisy(data: Data, log_rest: np.ndarray, **clean: str) -> xr.DataArray:
    runs = data.tails.log_rest
    return _slowdown(runs, runs.sel(FP=0, FN=0, **clean), log_rest)


@study.claim(
    "For J > 0 noise rescales time up to an accuracy of .99: one constant maps a run onto the noiseless one within a "
    "factor of 2 in time.",
    origin=papers.NOISE_TIME,
)
def rescales(data):
    return _constant(_noisy(data, SEEN)).below(2.0)


@rescales.null("verifiers with J ≤ 0, against J = .7")
def _(data):
    rest, j = np.log1p(-data.phases.accuracy.sel(algorithm=GRPO)), data.phases.youden
    return _constant(
        _slowdown(rest[:, :].where(j <= 0, drop=True), rest.sel(youden=0.7), np.log([0.45, 0.2]))
    ).below(2.0)


@study.claim(
    "Noise only rescales time: for GRPO, too, one constant does down to 1 − ρ = 10⁻¹⁰.",
    origin=Asked("“Rate, not fate” invites to read the paper's ‘primarily’ as ‘only’.", (papers.NOISE_TIME,)),
)
def only(data):
    return _constant(_noisy(data, DEEP).sel(algorithm=GRPO)).below(2.0).per("FN")


only.null("noiseless REINFORCE in the place of noiseless GRPO")(
    lambda data: _constant(_noisy(data, DEEP, algorithm="REINFORCE").sel(algorithm=GRPO)).below(2.0).per("FN")
)


def _youden(data: Data, algorithm: str) -> Evidence:
    slower = _noisy(data, SEEN).sel(algorithm=algorithm) * (1 - data.tails.FP - data.tails.FN)
    return evidence.exact("J × time ÷ time without noise", slower).near(1.0, within=0.01)


@study.claim(
    "Under REINFORCE, whose clock does not look at rewards, noise takes 1/J times as long.", origin=TAIL
)
def plain(data):
    return _youden(data, "REINFORCE")


plain.null("runs of GRPO")(lambda data: _youden(data, GRPO))


def _rests(data: Data, law: xr.DataArray) -> Evidence:
    end = data.rests.end
    logit = np.log(np.exp(end[..., :2]).sum("pattern", skipna=False)) - end[..., 2]
    settled = (data.rests.status > int(Status.ALREADY_MET)).sum()
    gap = abs(logit - law).max(skipna=False)
    moving = evidence.close("flows that have not come to rest", settled, within=0.5)
    return evidence.all_of(moving, evidence.close("largest difference in logit ρ*", gap, within=1e-5))


KL = Derived("theory.noisy_equilibrium", (papers.POS_OPTIMUM,))


@study.claim(
    "With exact reverse KL, GRPO rests at logit ρ* = logit ρ_ref + J/(βσ(ρ*)), for J < 0, too.", origin=KL
)
def rest(data):
    return _rests(data, data.rests.law)


@rest.null("the law of REINFORCE, which does not divide by σ")
def _(data):
    base = np.log(sum(REF[:2])) - np.log(REF[2])
    return _rests(data, base + data.rests.youden / data.rests.beta)


def _shares(data: Data, at: str) -> Evidence:
    gap = abs(data.rests[at][..., 0] - data.rests[at][..., 1] - np.log(REF[0] / REF[1])).max(skipna=False)
    return evidence.close("largest difference in the log ratio of both right patterns", gap, within=1e-5)


@study.claim("There, the patterns of a class have their proportions in the base policy.", origin=KL)
def proportions(data):
    return _shares(data, "end")


proportions.null("the same flows on their way, at t = 1")(lambda data: _shares(data, "way"))


@study.figure
def draw(data: Data) -> Figure:
    """Phases, tails, slowdown against accuracy, and the resting points under KL."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.2), nrows=2, ncols=2)
    title, x = "J > 0 learns, J = 0 stands still, J < 0 unlearns", "time t"
    panels.frame(title, first, x=x, y="accuracy ρ", log="x", ylim=(0, 1), xlim=(0.1, 1e5))
    colors = dict(zip(YOUDEN, (plot.RIVAL, "#E69F00", "#666666", "#56B4E9", plot.BEST), strict=True))
    names = {j: f"J = {panels.plain(j)}" for j in YOUDEN}
    accuracy = data.phases.accuracy.sel(algorithm=GRPO, sum=1.0)
    panels.curves(accuracy, first, x="time", by="youden", colors=colors, names=names)
    panels.ends(first)

    look = {"by": "FN", "dash": "FP", "names": {}}
    look["colors"] = dict(zip(NEGATIVE, (plot.BEST, "#E69F00", "#D55E00", "#7A3300"), strict=True))
    rest = np.exp(data.tails.log_rest.sel(algorithm=GRPO)).transpose("FN", "FP", "time")
    title = "GRPO: false negatives change the tail's power"
    panels.frame(title, second, x=x, y="1 − ρ", log="xy", xlim=(1, 1e14), ylim=(1e-20, 1))
    panels.curves(rest, second, x="time", **look)
    panels.legend(None, second, loc="lower left")
    panels.note((3e7, 1e-18), second, "1 − ρ ~ t⁻²", shift=(-6, 0), color=plot.BEST)
    panels.note((3e13, 3e-9), second, "1 − ρ ~ t⁻¹", shift=(-6, 8), color="#7A3300")

    log_rest = np.log(np.logspace(-1, -12, 100))
    slower = (
        _noisy(data, log_rest).assign_coords(rest=np.exp(log_rest)).transpose("algorithm", "FN", "FP", "rest")
    )
    title, x, y = "… so that no constant fits beyond .99", "1 − ρ reached", "time ÷ time without noise"
    panels.frame(title, third, x=x, y=y, log="xy", xlim=(0.4, 1e-12), ylim=(0.7, 1e6))
    panels.curves(slower[0], third, x="rest", **look | {"colors": plot.MUTED}, label=False)
    panels.curves(slower[1], third, x="rest", **look, label=False)
    panels.mark((0.4, 0.01), third, "ρ < .99")
    panels.note((1e-7, 2e4), third, "GRPO, with false negatives", shift=(-6, 0), color=plot.RIVAL)
    panels.note((2e-12, 6), third, "REINFORCE (grey), GRPO without", shift=(-6, 0), color=plot.BEST)

    title, fine = "A KL term stops training where theory says", np.linspace(-0.95, 0.95, 191)
    panels.frame(title, fourth, x="Youden's index J", y="accuracy at rest", ylim=(0, 1), xlim=(-0.97, 0.97))
    law = jax.jit(jax.vmap(jax.vmap(_equilibrium, (None, 0)), (0, None)))(jnp.array(BETAS), jnp.asarray(fine))
    law = xr.DataArray(np.asarray(law), {"beta": list(BETAS), "youden": fine}, ("beta", "youden"))
    names = {beta: f"β = {panels.plain(beta)}" for beta in BETAS}
    end = np.exp(data.rests.end[..., :2]).sum("pattern")
    panels.dots(end, fourth, x="youden", by="beta", theory=law, names=names)
    panels.mark(sum(REF[:2]), fourth, "base accuracy", axis="y")
    panels.legend(None, fourth, loc="upper left", title="formula (lines), flow (dots)")
    return figure


def _equilibrium(beta: jax.Array, j: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(theory.noisy_equilibrium(sum(REF[:2]), beta, tpr=(1 + j) / 2, fpr=(1 - j) / 2))
