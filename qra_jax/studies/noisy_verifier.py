"""What does a verifier that errs do to training: does it only slow it down?

Claims (Rad et al., arXiv 2601.04411; read in part). A verifier with true positive rate TPR and false positive
rate FPR matters through Youden's index J = TPR − FPR alone: for J > 0 training goes where it would have gone,
only later ("noise rescales time"), at J = 0 it does not move, for J < 0 it unlearns.

The orbit of training is indeed the same for every J > 0 and is run backwards for J < 0. Its clock is another
matter: GRPO divides by the standard deviation of the *observed* rewards. Without false negatives that goes to
zero as accuracy goes to one, and the rest 1 − ρ vanishes like t⁻²; with any share FN = 1 − TPR of them it
does not, and the rest vanishes like t⁻¹, so that no constant factor of time maps one run onto the other.

Control: REINFORCE, whose clock does not look at the rewards' spread. Then the KL term, which brings training
to rest at a known accuracy even for J < 0 (theory.noisy_equilibrium), held against the flow by an ODE solver.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot, theory
from qra_jax.algorithm import Algorithm, grpo, reinforce
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.reward import verifiable
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.trajectory import Status

TITLE = "Noisy verifier: the sign of J decides where training ends, false negatives how the tail gets there"
SOURCE = "Rad et al., arXiv 2601.04411, read in part"
PHASES = ((0.9, 0.2), (0.6, 0.4), (0.5, 0.5), (0.4, 0.6), (0.2, 0.9))
"""(TPR, FPR) of the runs on the worked example, J = .7, .2, 0, −.2, −.7."""
TAILS = ((0.0, 0.0), (0.3, 0.0), (0.6, 0.0), (0.0, 1e-4), (0.0, 1e-2), (0.0, 0.2), (0.3, 0.2))
"""(FP, FN) of the runs with success rates (1, 0); the first is the perfect verifier."""
FIT = (1e8, 1e13)
"""Times between which tail exponents are fitted."""
REF = (0.1, 0.2, 0.7)
"""Base policy of the problem with the KL term: two right patterns and a wrong one."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Runs for five J; tails for seven verifiers under two clocks; resting points for three β and many J."""
    ts = jnp.logspace(-1, 5, 61 if quick else 241)
    tail_ts = jnp.logspace(0, 14, 281 if quick else 561)
    surely = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0])

    @partial(jax.jit, static_argnums=0)
    def run(make: type | None, problem: Problem, rates: jax.Array, ts: jax.Array) -> jax.Array:
        algorithm: Algorithm = reinforce() if make is None else make()
        one = lambda rate: orbit.solve(  # noqa: E731
            problem, log_ts=jnp.log(ts), algorithm=algorithm, reward=verifiable(rate[0], rate[1])
        )
        return jax.vmap(one)(rates).log_policy

    phases = run(grpo, examples.worked(), jnp.array(PHASES), ts)
    noise = np.array(TAILS)
    rates = jnp.stack([1 - noise[:, 1], noise[:, 0]], axis=1)
    betas, youden = jnp.array([0.5, 1.0, 3.0]), jnp.linspace(-0.8, 0.8, 9 if quick else 17)
    fine = jnp.linspace(-0.95, 0.95, 191)
    mixed = Problem.from_probs(ref=REF, success=[1.0, 1.0, 0.0])

    def rest(beta: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array]:
        path = flow.solve(
            mixed,
            ts=jnp.array([0.0, 1e7]),
            algorithm=grpo(),
            reward=verifiable((1 + j) / 2, (1 - j) / 2),
            regularizers=[reverse_kl(beta)],
            event="steady",
            target=1e-10,
            rtol=1e-12,
            atol=1e-12,
            max_steps=16384,
        )
        return path.log_policy[-1], path.status

    def predict(beta: jax.Array, j: jax.Array) -> jax.Array:
        return theory.noisy_equilibrium(mixed.accuracy_ref, beta, tpr=(1 + j) / 2, fpr=(1 - j) / 2)

    square = lambda f: jax.jit(jax.vmap(jax.vmap(f, (None, 0)), (0, None)))  # noqa: E731
    ends, status = square(rest)(betas, youden)
    data = {
        "time": ts,
        "phases": np.array(PHASES),
        "accuracy": jnp.sum(jnp.exp(phases) * examples.worked().success, axis=-1),
        "tail_time": tail_ts,
        "noise": noise,
        "log_rest/grpo": run(grpo, surely, rates, tail_ts)[:, :, 1],
        "log_rest/reinforce": run(None, surely, rates, tail_ts)[:, :, 1],
        "betas": betas,
        "youden": youden,
        "fine_youden": fine,
        "equilibrium": square(predict)(betas, jnp.concatenate([youden, fine])),
        "ends": ends,
        "status": status,
    }
    return {name: np.asarray(value) for name, value in data.items()}


def slowdown(data: Mapping[str, np.ndarray], algorithm: str, log_rest: np.ndarray) -> np.ndarray:
    """How many times longer each verifier needs than the perfect one to bring 1 − ρ down to given values.

    Args:
      data: what `compute` returned.
      algorithm: `"grpo"` or `"reinforce"`.
      log_rest: `[values]`, log(1 − ρ), decreasing.

    Returns:
      `[verifiers, values]`; NaN beyond the last time computed.
    """
    log_time = np.log(data["tail_time"])
    runs = data[f"log_rest/{algorithm}"]
    reached = [np.interp(-log_rest, -run, log_time, left=np.nan, right=np.nan) for run in runs]
    return np.exp(np.array(reached) - reached[0])


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Phases, tails, slowdown against accuracy, and the resting points under KL."""
    figure, axes = plot.new((8.6, 6.2), nrows=2, ncols=2)
    _phases(data, axes[0, 0])
    _tails(data, axes[0, 1])
    _slowdown(data, axes[1, 0])
    _rest(data, axes[1, 1])
    return figure


def _phases(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    colors = [plot.BEST, "#56B4E9", "#666666", "#E69F00", plot.RIVAL]
    time = data["time"]
    for (tpr, fpr), accuracy, color, right in zip(
        data["phases"], data["accuracy"], colors, (False, True, True, True, False), strict=True
    ):
        ax.plot(time, accuracy, color=color)
        middle = int(np.argmin(np.abs(accuracy - (0.25 if accuracy[-1] < 0.3 else 0.8))))
        place = len(time) * 4 // 5 if abs(tpr - fpr) < 0.01 else middle
        ax.annotate(
            f"J = {tpr - fpr:.1f}".replace("-", "−").replace("0.0", "0"),
            (time[place], accuracy[place]),
            (6, 3) if right else (-6, -3),
            ha="left" if right else "right",
            textcoords="offset points",
            color=color,
            fontsize=8,
        )
    ax.set(xscale="log", xlabel="time t", ylabel="accuracy ρ", ylim=(0, 1))
    ax.set_title("J > 0 learns, J = 0 stands still, J < 0 unlearns")


def _style(noise: np.ndarray) -> dict[str, Any]:
    """Blue without false negatives, vermillion with them; broken lines where there are false positives."""
    fp, fn = noise
    return {
        "color": plot.RIVAL if fn > 0 else plot.BEST,
        "linestyle": "-" if fp == 0 else "--" if fp < 0.5 else ":",
        "linewidth": 1.6,
    }


def _tails(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    time = data["tail_time"]
    for noise, run in zip(data["noise"], data["log_rest/grpo"], strict=True):
        ax.plot(time, np.exp(run), **_style(noise))
    ax.set(xscale="log", yscale="log", xlabel="time t", ylabel="1 − ρ", ylim=(1e-20, 1), xlim=(1, 1e14))
    ax.text(3e7, 1e-18, "no false negatives\n1 − ρ ~ t⁻²", color=plot.BEST, ha="right", fontsize=8)
    ax.text(5e13, 1e-7, "any false negatives\n1 − ρ ~ t⁻¹", color=plot.RIVAL, ha="right", fontsize=8)
    ax.text(
        8e13, 1e-17, f"even FN = {data['noise'][3, 1]:g}", color=plot.RIVAL, ha="right", va="top", fontsize=8
    )
    ax.text(2, 1e-19, "broken lines:\nwith false positives", color="#666666", fontsize=8)
    ax.set_title("GRPO: false negatives change the tail's power")


def _slowdown(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    log_rest = np.log(np.logspace(-1, -12, 100))
    for algorithm, width in (("reinforce", 0.9), ("grpo", None)):
        for noise, factor in zip(data["noise"], slowdown(data, algorithm, log_rest), strict=True):
            style = _style(noise)
            if width is not None:
                style |= {"color": plot.MUTED, "linewidth": width}
            ax.plot(np.exp(log_rest), factor, **style)
    ax.set(xscale="log", yscale="log", xlabel="1 − ρ reached", ylabel="time ÷ time without noise")
    ax.set(xlim=(0.4, 1e-12), ylim=(0.7, 1e6))
    ax.text(1e-7, 2e4, "GRPO, with false negatives", color=plot.RIVAL, ha="right", fontsize=8)
    label = "GRPO, false positives only;\nREINFORCE, any noise (grey)"
    ax.text(2e-12, 3.2, label, color=plot.BEST, ha="right", fontsize=8)
    ax.set_title("… so the slowdown is not a constant factor")


def _rest(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    count = len(data["youden"])
    shades = ["#08306B", "#2171B5", "#6BAED6"]
    for beta, theory_line, ends, color in zip(
        data["betas"], data["equilibrium"], data["ends"], shades, strict=True
    ):
        ax.plot(
            data["fine_youden"], 1 / (1 + np.exp(-theory_line[count:])), color=color, label=f"β = {beta:g}"
        )
        rho = np.exp(ends[:, :2]).sum(axis=1)
        ax.plot(data["youden"], rho, "o", color=color, markeredgecolor="white", markersize=5)
    start = sum(REF[:2])
    ax.axhline(start, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.text(0.93, start - 0.015, "base accuracy", va="top", ha="right", fontsize=8, color="#666666")
    ax.axvline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(xlabel="Youden's index J", ylabel="accuracy at rest", ylim=(0, 1), xlim=(-0.97, 0.97))
    ax.legend(loc="upper left", title="formula (lines), flow (dots)", title_fontsize=8)
    ax.set_title("A KL term stops training where theory says")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Phases, tail exponents, rescaling under two clocks, resting points and shares within a class."""
    success = np.asarray(examples.worked().success)
    youden, accuracy = data["phases"] @ [1.0, -1.0], data["accuracy"]
    steps, last = np.diff(accuracy, axis=1), accuracy[:, -1]
    up, down, flat = youden > 1e-9, youden < -1e-9, np.abs(youden) <= 1e-9
    drift = np.abs(accuracy[flat] - accuracy[flat][:, :1]).max()
    ordered = (steps[up] >= 0).all() and (steps[down] <= 0).all()
    arrived = (
        np.abs(last[up] - success.max()).max() < 0.01 and np.abs(last[down] - success.min()).max() < 0.01
    )

    log_time = np.log(data["tail_time"])
    fitted = (data["tail_time"] >= FIT[0]) & (data["tail_time"] <= FIT[1])
    tail = np.polyfit(log_time[fitted], data["log_rest/grpo"][:, fitted].T, 1)[0]
    clean = data["noise"][:, 1] == 0
    window = f"fitted on t = 10^{np.log10(FIT[0]):.0f} … 10^{np.log10(FIT[1]):.0f}"

    early, late = (slowdown(data, "grpo", np.log([x]))[:, 0] for x in (1e-1, 1e-10))
    spread = {name: slowdown(data, name, np.log(np.logspace(-1, -11, 60))) for name in ("grpo", "reinforce")}
    # The best constant s leaves half the range of log(slowdown) as its residual, in decades of time.
    residual = {name: np.ptp(np.log10(x), axis=1) / 2 for name, x in spread.items()}
    factor = 1 / (1 - data["noise"].sum(axis=1))
    plain = np.abs(spread["reinforce"] / factor[:, None] - 1).max()

    count = len(data["youden"])
    right = np.exp(data["ends"][..., :2]).sum(axis=-1)
    gap = np.abs(np.log(right) - data["ends"][..., 2] - data["equilibrium"][:, :count]).max()
    share = np.abs(data["ends"][..., 0] - data["ends"][..., 1] - np.log(REF[0] / REF[1])).max()
    settled = (data["status"] <= Status.ALREADY_MET).all()
    lowest = right.min()
    return [
        Verdict(
            "The sign of J decides: accuracy rises to the best pattern (J > 0), does not move (J = 0), or "
            "falls to the worst (J < 0).",
            SOURCE,
            f"ends at {success.max():g}, {accuracy[0, 0]:g}, {success.min():g}",
            f"ends at {last[up].min():.4f}, {last[flat][0]:.4f}, {last[down].max():.4f}; monotone: "
            f"{'yes' if ordered else 'no'}; drift at J = 0: {drift:.0e}",
            verdict(ordered and arrived and drift < 1e-9),
        ),
        Verdict(
            "Mean-field GRPO without false negatives: 1 − ρ ~ t⁻² for any share of false positives.",
            "theory of this package (closed form at the end of the orbit)",
            "exponent −2",
            f"{tail[clean].min():.4f} … {tail[clean].max():.4f} for FP = "
            f"{', '.join(f'{x:g}' for x in data['noise'][clean, 0])}; {window}",
            verdict(np.abs(tail[clean] + 2).max() < 0.01),
        ),
        Verdict(
            "Mean-field GRPO with any share of false negatives: 1 − ρ ~ t⁻¹.",
            "theory of this package (closed form at the end of the orbit)",
            "exponent −1",
            f"{tail[~clean].min():.4f} … {tail[~clean].max():.4f} for FN = "
            f"{', '.join(f'{x:g}' for x in data['noise'][~clean, 1])}; {window}",
            verdict(np.abs(tail[~clean] + 1).max() < 0.01),
        ),
        Verdict(
            "For J > 0 noise only rescales time.",
            SOURCE,
            "one constant factor of time maps the run onto the noiseless one",
            f"GRPO, FP = {data['noise'][5, 0]:g}, FN = {data['noise'][5, 1]:g}: {early[5]:.1f} times longer "
            f"to 1 − ρ = .1, {late[5]:.1e} times to 10⁻¹⁰; the best constant is wrong by a factor "
            f"10^{residual['grpo'][5]:.1f} in time. With false positives only by at most "
            f"10^{residual['grpo'][clean].max():.2f}. REINFORCE: the factor is 1/J to {plain:.0e}",
            _rescaling(residual["grpo"], clean, plain),
        ),
        Verdict(
            "With exact reverse KL, GRPO rests at logit ρ* = logit ρ_ref + J/(βσ(ρ*)), for J < 0 too.",
            "theory of this package; without noise Mroueh, arXiv 2503.06639",
            "largest difference in logit ρ*: 0",
            f"{gap:.1e} over {data['ends'][..., 0].size} flows; lowest accuracy at rest {lowest:.3f}",
            verdict(gap < 1e-5 and settled and lowest > 0),
        ),
        Verdict(
            "There, the patterns within a class (right or wrong) have their reference proportions.",
            "theory of this package",
            "largest difference in the log ratio of the two right patterns: 0",
            f"{share:.1e}",
            verdict(share < 1e-5 and settled),
        ),
    ]


def _rescaling(residual: np.ndarray, clean: np.ndarray, plain: float) -> str:
    """Verdict on the constant slowdown from its residuals in decades of time."""
    if residual.max() < 0.01:
        return verdict(True)
    if plain > 1e-3:
        return verdict(False)
    false_positives = "" if residual[clean].max() > 0.5 else ", or nearly so if there are no false negatives"
    return f"{ONLY_IF}advantages are not divided by the rewards' spread (REINFORCE){false_positives}"
