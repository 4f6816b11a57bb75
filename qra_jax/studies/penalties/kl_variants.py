r"""Two penalties are called "the KL term": where does training end under each of them?

Common practice puts the k3 estimator of KL(π‖π_ref) into the loss. Its mean gradient in the logits is −β(π − π_ref),
that of the *forward* KL(π_ref‖π). With a reward R of mean R̄ under π and an algorithm's clock c, put b = β/c(R̄).
Training should rest at

$$ \pi_r \propto \pi_{\rm ref}(r)\,e^{R_r/b}\ \text{(reverse KL)},\qquad
   \pi_r = \frac{b\,\pi_{\rm ref}(r)}{s - R_r},\ \ s = b + \bar R > \max R\ \text{(k3)}, $$

closed forms up to one scalar: s from Σπ = 1, and b where the clock depends on R̄ (GRPO). From these follow:

- k3 keeps π_r ≥ π_ref(r) b/(b + max R − R_r), so that what is not on the best pattern vanishes like β; under reverse
  KL it goes like e^{−Δ/β} (two theorems on the closed forms, drawn but not claimed);
- a rare good pattern (success rates 1 and 0, base share ε) rests at one half for β = 1/log(1/ε − 1) under reverse KL,
  but for β = ½/(1 − 2ε), whatever ε, under k3;
- from a share δ a forgotten pattern comes back in a time ~ log(1/δ) under k3, ~ 1/(δ log 1/δ) under reverse KL.

The experiments train with either penalty as the regularizer: on exact means, with a noisy verifier too, and on samples
(G = 8, averages over the second half of a run, extrapolated to η → 0). The penalty itself is exact, not estimated from
rollouts: an estimate has the same mean, but sees a pattern of share δ in one rollout of 1/δ, with a weight π_ref/δ.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import by_clock, grpo, reinforce
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import Regularizer, k3_loss, reverse_kl
from qra_jax.reward import verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.training import train

study = lab.Study(
    __name__, title="KL variants: reverse KL and k3 in the loss are two penalties with two ends"
)

AXIS, NAMES = [0.0, 1.0], {0.0: "reverse KL", 1.0: "k3 in the loss"}
"""Values of the axis `k3`, and what they mean."""
ALGORITHMS = {"REINFORCE": reinforce(), "GRPO, G = 8": by_clock(grpo(8)), "GRPO, G → ∞": grpo()}
RARE, BESIDE = [1e-2, 1e-4], [0.5, 0.8, 0.95, 1.05, 1.25, 2.0]
"""Base shares ε of a rare good pattern, and β there over that of the law."""
LOST, BACK = [1e-1, 1e-2, 1e-3], 0.5
"""Shares δ from which a pattern has to come back to half of its base share ½, and β there."""
END = {"mode": "mean", "learning_rate": 1.0, "steps": 32_768, "record_every": 32_768}
SAME, MATTERS = 1e-3, 0.01
"""Tolerance of shares on exact means (under reverse KL and small β the last pattern goes so slowly that END is short of
the rest by 10⁻⁴), and on samples; the two penalties differ by .3."""


def _terms(k3: jax.Array, beta: float | jax.Array) -> list[Regularizer]:
    """One of the two penalties, in one program for both."""
    return [reverse_kl(beta * (1 - k3)), k3_loss(beta * k3)]


def _pair(share: float | jax.Array, success: tuple[float, float] = (1.0, 0.0)) -> Problem:
    """Two patterns, the first with this share."""
    return Problem(jnp.log(jnp.stack([share, 1 - jnp.asarray(share)])), jnp.array(success))


@study.experiment(
    {
        "k3": AXIS,
        "algorithm": [replace(member, name=name) for name, member in ALGORITHMS.items()],
        "beta": lab.scale([0.1, 0.5, 1.0, 2.0], [0.1, 0.2, 0.5, 0.7, 1.0, 2.0]),
        "youden": lab.scale([-1.0, -0.5, 0.0, 0.5, 1.0], np.linspace(-1, 1, 9).tolist()),
    },
    dims={"end": ["pattern"], "closed": ["pattern"]},
)
def ends(cell):
    """The worked example on exact means, with a verifier of index J = TPR − FPR, TPR + FPR = 1: where it ends."""
    problem, reward = examples.worked(), verifiable((1 + cell.youden) / 2, (1 - cell.youden) / 2)
    options = {"algorithm": cell.algorithm, "reward": reward}
    run = train(jax.random.key(0), problem, regularizers=_terms(cell.k3, cell.beta), **options, **END)
    accepted = run.policy[-1] @ reward.rates(problem)
    b = cell.beta / cell.algorithm.clock(accepted, 1 - accepted)
    rests = [theory.resting_policy(problem, cell.beta, penalty=name, **options) for name in theory.PENALTIES]
    closed = jnp.exp(jnp.where(cell.k3 > 0, rests[1], rests[0]))
    return {"end": run.policy[-1], "accuracy": run.accuracy[-1], "closed": closed, "b": b}


@study.experiment(
    {"k3": AXIS, "algorithm": [reinforce(group_size=8), grpo(8)], "beta": [0.5, 1.0], "rate": [0.1, 0.2]},
    seeds=lab.scale(128, 512),
    dims={"end": ["pattern"]},
    common=["rate"],
)
def sampled(cell, key):
    """The same on samples: the policy, averaged over the second half of a run."""
    options = {"learning_rate": cell.rate, "steps": 2000, "record_every": 10}
    penalty = _terms(cell.k3, cell.beta)
    run = train(key, examples.worked(), algorithm=cell.algorithm, regularizers=penalty, **options)
    return {"end": run.policy[100:].mean(axis=0)}


@study.experiment({"k3": AXIS, "share": RARE, "beside": BESIDE})
def rare(cell):
    """A rare good pattern beside a bad one: its share at the end."""
    reverse, forward = (theory.half_beta(cell.share, penalty=name) for name in theory.PENALTIES)
    law = jnp.where(cell.k3 > 0, forward, reverse)
    penalty = _terms(cell.k3, cell.beside * law)
    run = train(jax.random.key(0), _pair(cell.share), regularizers=penalty, **END)
    return {"end": run.policy[-1, 0], "beta": cell.beside * law, "law": law}


@study.experiment({"k3": AXIS, "share": LOST})
def lost(cell):
    """Two equally good patterns, one of them forgotten: when it has a share of ¼ again."""
    penalty, start = _terms(cell.k3, BACK), _pair(cell.share).log_ref
    options = {"mode": "mean", "learning_rate": 0.02, "steps": 10_240, "record_every": 16}
    even = _pair(0.5, (0.5, 0.5))
    run = train(jax.random.key(0), even, regularizers=penalty, log_policy0=start, **options)
    return {"time": jnp.interp(0.25, run.policy[:, 0], run.time)}


def _law(values: xr.DataArray, other: bool) -> xr.DataArray:
    """A law by penalty; or, for a control, each penalty with the law of the other."""
    return values.isel(k3=[1, 0]).assign_coords(k3=AXIS) if other else values


def _return_time(shares: np.ndarray | list[float]) -> xr.DataArray:
    """Closed form of the time to come back."""
    rows = [theory.return_time(shares, beta=BACK, penalty=name) for name in theory.PENALTIES]
    return xr.DataArray(rows, {"k3": AXIS, "share": shares}, ("k3", "share"))


OTHER = "each penalty with the law of the other"


@study.claim(
    "Worked example, β = .1 … 2: with k3 in the loss training on exact means ends at the optimum under the forward "
    "KL, b π_ref/(s − R), under the exact reverse KL at π_ref exp(R/b)/Z; both with a noisy verifier, too.",
    origin=lab.Derived("theory.resting_policy", (papers.K3, papers.POS_RECURSION)),
)
def forward(data, other=False):
    gap = abs(data.ends.end - _law(data.ends.closed, other)).max(["pattern", "beta", "youden"], skipna=False)
    return lab.close("largest difference in a share", gap, within=SAME)


forward.null(OTHER)(partial(forward.judge, other=True))


def _at_zero(data: lab.Data) -> xr.DataArray:
    """Sampled ends as η → 0, linearly from two η."""
    return 2 * data.sampled.end.sel(rate=0.1) - data.sampled.end.sel(rate=0.2)


@study.claim(
    "Sampled training (REINFORCE and GRPO, G = 8) ends there, too, on average as η → 0.",
    origin=lab.Derived("theory.resting_policy"),
)
def samples(data, other=False):
    clear = data.ends.closed.sel(beta=data.sampled.beta, youden=1)
    own, law = (
        _law(clear, swap).isel(algorithm=slice(2)).assign_coords(algorithm=data.sampled.algorithm)
        for swap in (False, other)
    )
    miss = (_at_zero(data) - law).where((abs(law - own) > 2 * MATTERS) | (not other))
    two = miss.isel(pattern=slice(2))  # the third is what is left
    return lab.mean("sampled share as η → 0 − closed form", two).near(0.0, within=MATTERS)


samples.null(f"{OTHER}, where the two differ by more than {2 * MATTERS:g}")(
    partial(samples.judge, other=True)
)


@study.claim(
    "A rare good pattern ends at one half for β = 1/log(1/ε − 1) under reverse KL, but for ½/(1 − 2ε) under k3.",
    origin=lab.Derived("theory.half_beta", (papers.KL_COLLAPSE,)),
)
def half(data, other=False):
    runs, law = data.rare, _law(data.rare.law.isel(beside=0, drop=True), other)
    x, y = np.log(runs.beta), np.log(runs.end) - np.log1p(-runs.end)
    (x0, x1), (y0, y1) = ([v.sel(beside=side, drop=True) for side in (0.95, 1.05)] for v in (x, y))
    ratio = np.exp(x0 - y0 * (x1 - x0) / (y1 - y0)) / law  # between the runs on either side of one half
    return lab.exact("β at which it ends at one half ÷ that of the law", ratio).near(1.0, within=0.01)


half.null(OTHER)(partial(half.judge, other=True))


@study.claim(
    "A forgotten pattern comes back in a time ~ log(1/δ) under k3, ~ 1/(δ log(1/δ)) under reverse KL.",
    origin=lab.Derived("theory.return_time"),
)
def back(data, other=False):
    ratio = data.lost.time / _law(_return_time(LOST), other)
    return lab.exact("time to come back ÷ closed form", ratio).near(1.0, within=0.01)


back.null(OTHER)(partial(back.judge, other=True))


def _lines(problem: Problem, betas: np.ndarray) -> list[jax.Array]:
    """Closed form of the first pattern's share against β under each penalty."""
    forms = (theory.optimal_policy, theory.k3_policy)
    return [jax.jit(jax.vmap(partial(form, problem)))(betas)[:, 0] for form in forms]


@study.figure
def draw(data: lab.Data) -> Figure:
    """What is left beside the best pattern; a rare good one; coming back; a noisy verifier."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.4), nrows=2, ncols=2)
    shades, white = {0.0: plot.CYCLE[0], 1.0: plot.CYCLE[4]}, {"mec": "white", "markersize": 5}
    look, fine = {"by": "k3", "colors": shades, "names": NAMES}, np.geomspace(0.03, 3, 121)
    limit, clear, beta = _at_zero(data).mean("seed"), data.ends.sel(youden=1), (0.03, 3)
    title, y = "k3 keeps a floor under every pattern", "share not on the best pattern"
    panels.frame(title, first, x="β over the algorithm's clock", y=y, log="xy", xlim=beta, ylim=(1e-4, 2))
    title, y = "… and lets a rare good one grow", "its share at rest (base: ε)"
    panels.frame(title, second, x="strength of the penalty β", y=y, log="x", xlim=beta, ylim=(-0.02, 1.4))
    for k3, line in zip(AXIS, _lines(examples.worked(), fine), strict=True):
        first.plot(fine, -np.expm1(line), color=shades[k3])
        for i, marker in enumerate("os^"):
            runs = clear.sel(k3=k3).isel(algorithm=i)
            first.plot(runs.b, 1 - runs.end[:, 0], marker, color=shades[k3], **white)
        b = clear.b.sel(k3=k3, beta=limit.beta)[:2]
        first.plot(b, 1 - limit.sel(k3=k3).isel(pattern=0), "kx", markersize=4, zorder=4)
        runs = data.rare.sel(k3=k3)
        second.plot(runs.beta.values.ravel(), runs.end.values.ravel(), "o", color=shades[k3], **white)
    for share, dash in zip(RARE, ("-", "--"), strict=True):
        for k3, line in zip(AXIS, _lines(_pair(share), fine), strict=True):
            second.plot(fine, np.exp(line), dash, color=shades[k3], label=f"{NAMES[k3]}, ε = {share:g}")
    panels.note((0.04, 0.17), first, "∝ β", shift=(0, 0), color=shades[1.0])
    panels.note((0.045, 4e-4), first, "∝ e$^{−Δ/β}$", color=shades[0.0])
    marks = dict(zip([*ALGORITHMS, "sampled, η → 0"], "os^x", strict=True))
    panels.legend({name: shades[k] for k, name in NAMES.items()} | marks, first, loc="lower right")
    panels.legend(None, second, loc="upper left", ncols=2)
    title, x = "k3 brings forgotten patterns back", "share δ of a forgotten pattern"
    y = f"time to come back (β = {BACK:g})"
    panels.frame(title, third, x=x, y=y, log="xy", xlim=(1e-8, 0.2), ylim=(1, 1e8))
    panels.dots(data.lost.time, third, x="share", theory=_return_time(np.geomspace(1e-8, 0.2, 60)), **look)
    panels.note((1e-6, 1e5), third, "~ 1/(δ log 1/δ)", color=shades[0.0])
    panels.note((1e-6, 30), third, "~ log 1/δ", color=shades[1.0])
    title, x = "A noisy verifier: both stay on their law", "Youden's index J of the verifier"
    panels.frame(title, fourth, x=x, y="accuracy at rest", ylim=(0, 1))
    runs = data.ends.isel(algorithm=2).sel(beta=0.5)
    closed = runs.closed @ xr.DataArray(np.asarray(examples.worked().success), dims="pattern")
    panels.dots(runs.accuracy, fourth, x="youden", theory=closed, **look)
    panels.mark(float(examples.worked().accuracy_ref), fourth, "base accuracy", axis="y")
    panels.legend(None, third)
    panels.legend(None, fourth, loc="upper left", title=f"GRPO, β = {float(runs.beta):g}")
    return figure
