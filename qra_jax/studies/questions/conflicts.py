r"""One parameter for many questions: do they move together, and what if they want opposite values of it?

- *Common shift*: with one shared feature "this is the right pattern" of overlap s, every logit moves by
  ż = 2[(1 − s) ρ(1 − ρ) + s Σ ρ(1 − ρ)] under REINFORCE. The common part grows with the number of questions, so the
  exponent of ż ∝ (4ρ(1 − ρ))^a goes from 1 (a question alone) to 0 at a small overlap.
- *Winner takes all*: two questions want opposite values of one parameter, z_A = m + u and z_B = m − u. A compromise
  u = 0 is stable iff f(ρ) = c(ρ)ρ(1 − ρ) falls there: iff the accuracy σ(m) that both could have is above ½ for
  REINFORCE and GRPO, (1 − q)/(2 − q) for Tsallis q, 1/(k + 1) for pass@k. If A is N times as frequent, it takes the
  parameter for itself, however far the rare question falls, iff m < ½ log N (REINFORCE) or m < log N (GRPO, G → ∞).

The experiments train on exact means, so that nothing is noise.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import grpo, pass_at_k, reinforce, tsallis
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _sharing
from qra_jax.training import train

study = lab.Study(
    __name__, title="Conflicts: questions that share one parameter move together, or one takes it all"
)

RULES = {
    "REINFORCE": (reinforce(), 1 / 2),
    "GRPO": (grpo(), 1 / 2),
    "Tsallis, q = ½": (tsallis(0.5), 1 / 3),
    "pass@4": (pass_at_k(4), 1 / 5),
}
"""Algorithms of the conflict, and the accuracy above which it ends in a compromise."""
FREQUENT, STEP = 4, 0.15
"""Times that the frequent question occurs for each of the rare one; step of m, by which laws may be off."""
MIDDLES = (np.arange(-3.0, 3.01, STEP) + STEP / 2).tolist()


def _two(logit: Array) -> Problem:
    """Stacked questions with a right and a wrong pattern and this log odds."""
    log_ref = jnp.stack([jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)], axis=-1)
    return Problem(log_ref, jnp.broadcast_to(jnp.array([1.0, 0.0]), log_ref.shape))


STARTS = np.linspace(-4, 4, 64)


@study.experiment(
    {"overlap": [0.0, *np.logspace(-4, 0, 17).tolist()]},
    dims={"soon": ["start"], "late": ["start"]},
    coords={"start": STARTS},
)
def shifts(cell):
    """Change of every question's logit, early (as a speed) and after training that moves the mean by about one."""
    start, sign = jnp.asarray(STARTS), jnp.array([1.0, -1.0]) / np.sqrt(2)
    phi = _sharing.features(jnp.broadcast_to(sign[:, None], (64, 2, 1)), cell.overlap)
    rate = 0.01 / jnp.mean(theory.shared_logit_speed(start, cell.overlap))
    path = train(
        jax.random.key(0),
        _two(start),
        steps=100,
        record_every=1,
        learning_rate=rate,
        mode="mean",
        features=phi,
    )
    logits = path.log_policy[..., 0] - path.log_policy[..., 1]
    return {"soon": (logits[:, 1] - start) / rate, "late": logits[:, -1] - start}


def _fight(cell, copies: int, head_start: float) -> dict[str, Array]:
    """Where two questions end that want opposite values of one parameter, the first of them in so many copies."""
    sign = jnp.array([1.0, -1.0]) / 2
    start = cell.middle + jnp.array([head_start] * copies + [-head_start])
    phi = jnp.stack([sign] * copies + [-sign])[:, :, None]
    end = _sharing.end(_two(start), phi, 2.0 / copies, 4000, cell.rule)
    return {"end": (end[:, 0] - end[:, 1])[jnp.array([0, copies])]}


@study.experiment(
    {"rule": [rule for rule, _ in RULES.values()], "middle": MIDDLES}, dims={"end": ["side"]}, block=256
)
def even(cell):
    """A conflict of two questions, one of them slightly ahead."""
    return _fight(cell, 1, 0.05)


@study.experiment({"rule": [reinforce(), grpo()], "middle": MIDDLES}, dims={"end": ["side"]}, block=256)
def uneven(cell):
    """A conflict with a question that is four times as frequent."""
    return _fight(cell, FREQUENT, 0.0)


def _exponent(speed: xr.DataArray) -> lab.Estimate:
    x = xr.DataArray(-2 * np.log(np.cosh(STARTS / 2)), dims="start")
    return lab.slope("exponent a of ż ∝ (4ρ(1 − ρ))^a", np.log(speed), x, along="start")


@study.claim(
    "Sharing makes the logits of 64 questions shift together: from s = .1 on REINFORCE's clock exponent is below .1.",
    origin=lab.Derived("theory.shared_logit_speed"),
)
def together(data, overlaps=slice(0.0999, 1)):
    return _exponent(data.shifts.soon.sel(overlap=overlaps)).below(0.1)


together.null("s of .001 or less")(partial(together.judge, overlaps=slice(0, 0.00101)))


def _turn(flags: xr.DataArray) -> xr.DataArray:
    """m half-way between the last grid point at which it is so and the first at which it is not."""
    return flags.middle.where(flags).max("middle") + STEP / 2


@study.claim(
    "Of two questions in conflict the one ahead takes all below an accuracy that the algorithm sets (½ for REINFORCE "
    "and GRPO, ⅓ for Tsallis q = ½, ⅕ for pass@4); above it there is a compromise.",
    origin=lab.Derived("this study: c(ρ)ρ(1 − ρ) has to fall"),
)
def conflict(data, shift=0):
    laws = np.roll([law for _, law in RULES.values()], shift)
    ends = data.even.end
    turn = _turn(abs(ends[..., 0] - ends[..., 1]) > 0.1).where(ends.notnull().all(["middle", "side"]))
    return lab.exact("logit of the accuracy − of the law", turn - np.log(laws / (1 - laws))).near(
        0.0, within=STEP
    )


conflict.null("the law of another algorithm")(partial(conflict.judge, shift=2))


@study.claim(
    "A question 4 times as frequent takes the shared parameter for itself, unless both could be right: for m < ½ log 4 "
    "under REINFORCE, for m < log 4 under GRPO.",
    origin=lab.Derived("this study: c(ρ)ρ(1 − ρ) of the two in balance"),
)
def frequent(data, laws=(0.5, 1.0)):
    ends = data.uneven.end
    turn = _turn(ends[..., 1] < np.log(0.01 / 0.99)).where(ends.notnull().all(["middle", "side"]))
    return lab.exact(
        "m up to which the rare one ends below 1 % − the law", turn - np.array(laws) * np.log(FREQUENT)
    ).near(0.0, within=STEP)


frequent.null("each algorithm with the law of the other")(partial(frequent.judge, laws=(1.0, 0.5)))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Shifts of logits; the exponent against overlap; who loses a conflict."""
    figure, (first, second, third) = plot.new((11.0, 3.6), ncols=3)
    title = "One shared feature: all logits shift together"
    panels.frame(title, first, x="accuracy at the start", y="change of logit", ylim=(0, 2.4))
    some = data.shifts.late.sel(overlap=[0.0, 0.01, 0.1, 1.0], method="nearest")
    for line, color in zip(some, ("black", "#7FB3D5", "#2E86C1", "#1B4F72"), strict=True):
        first.plot(1 / (1 + np.exp(-STARTS)), line, color=color, label=f"s = {float(line.overlap):.2g}")
    title, y = "A little sharing is enough for it", "exponent a of ż ∝ (4ρ(1 − ρ))$^a$"
    panels.frame(title, second, x="overlap s of the feature (64 questions)", y=y, log="x")
    fine = np.logspace(-4, 0, 60)
    told = np.asarray(jax.vmap(lambda s: theory.shared_logit_speed(jnp.asarray(STARTS), s))(fine))
    law = _exponent(xr.DataArray(told, {"overlap": fine, "start": STARTS}, ("overlap", "start"))).value
    panels.dots(_exponent(data.shifts.soon[1:]).value, second, x="overlap", theory=law)
    panels.mark(0.1, second, "a = .1", axis="y")
    title, x = "In conflict the winner takes all, if both are hard", "accuracy that both could have, σ(m)"
    panels.frame(title, third, x=x, y="accuracy of the loser at the end", xlim=(0, 1))
    both, loser = 1 / (1 + np.exp(-np.array(MIDDLES))), 1 / (1 + np.exp(-data.even.end.min("side")))
    for i, (name, (_, law)) in enumerate(RULES.items()):
        color = plot.color(name.split(",")[0])
        third.plot(both, loser[i], "--" if i == 1 else "-", color=color, label=name, linewidth=1.6)
        third.axvline(law, color=color, linewidth=0.8, linestyle=":", zorder=0)
    third.plot([0, 1], [0, 1], color=plot.MUTED, linewidth=0.8, zorder=0)
    panels.legend(None, first, loc="upper right", ncols=2)
    panels.legend(None, third, loc="upper left")
    return figure
