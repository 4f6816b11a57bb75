r"""How does the size of a bonus for a behaviour set the speed of training?

In the question–reason–answer model there are a rare good use of a tool, a sham use that looks the same and is worth
less, and direct answers. The reward is $s_r + b$ for both uses of the tool. With the flow $\dot\theta = \pi\odot a$
of advantages a, log-odds move at the speeds

$$ \frac{d}{dt}\log\frac{\pi_{\rm good}}{\pi_{\rm sham}} = \dot\theta_{\rm good} - \dot\theta_{\rm sham}, \qquad
   \frac{d}{dt}\log\frac{\pi_{\rm tool}}{\pi_{\rm direct}} =
   \frac{\sum_{r\in\rm tool}\pi_r\dot\theta_r}{\pi_{\rm tool}} - \dot\theta_{\rm direct}. $$

Under REINFORCE both are linear in b as long as some answers are direct. The second grows without bound; the first
falls, as the bonus pushes both uses in proportion to their probabilities and sham use is the commoner. GRPO divides by
the standard deviation of the reward, which grows with b as well: a large bonus is not faster than a middling one. Once
all answers use the tool, all of a group get the bonus; a constant is taken away by the mean and does not change the
standard deviation, so that b should have no effect.

The experiment computes the speeds from expected updates, at finite groups and in their limit, where half of the answers
are direct, and where a share of 1e-9 is.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, plot
from qra_jax.algorithm import Algorithm, grpo, reinforce
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _switch
from qra_jax.studies.credit._switch import MARKS
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="The size of a bonus: GRPO divides it out, and once all comply no baseline leaves any of it",
)

BEHAVIOUR, GOOD = MARKS["the behaviour"], 0.2
"""Who gets the bonus; share of good use in all use of the tool."""
BONUSES = np.round(np.concatenate([[0.0], np.geomspace(0.1, 10, 21)]), 6)
DIRECT = {"all": 1e-9, "half": 0.5}
"""Shares of direct answers: all use the tool, or half do."""
ALGORITHMS: dict[str, Algorithm] = {"REINFORCE": reinforce(), "GRPO, G → ∞": grpo(), "GRPO, G = 8": grpo(8)}
GRPOS = list(ALGORITHMS)[1:]


@study.experiment()
def speeds(run: lab.Run) -> xr.Dataset:
    """Exact speeds of log-odds: good use against sham, and the tool against direct answers, over the bonus."""

    def speed(level: Any, direct: Any, algorithm: Algorithm) -> Any:
        parts = jnp.array([GOOD, 1 - GOOD])
        policy = jnp.append(parts * (1 - direct), direct)
        problem = _switch.question(jnp.asarray(0.39))  # speeds do not depend on its base policy
        reward = _switch.bonus(level, jnp.asarray(BEHAVIOUR))
        velocity = flow.drift(problem, jnp.log(policy), algorithm=algorithm, reward=reward)
        return velocity[0] - velocity[1], parts @ velocity[:2] - velocity[2]

    rows = [jnp.asarray(x.ravel()) for x in np.meshgrid(BONUSES, list(DIRECT.values()), indexing="ij")]
    every = [jax.vmap(partial(speed, algorithm=own)) for own in ALGORITHMS.values()]
    found = np.array(jax.jit(lambda *rows: [each(*rows) for each in every])(*rows)).reshape(
        len(ALGORITHMS), 2, len(BONUSES), len(DIRECT)
    )
    names = ("algorithm", "bonus", "direct")
    return lab.dataset(
        {"good": (names, found[:, 0]), "tool": (names, found[:, 1])},
        {"algorithm": list(ALGORITHMS), "bonus": BONUSES, "direct": list(DIRECT)},
    )


def _cancels(data: lab.Data, direct: str) -> lab.Evidence:
    good = data.speeds.good.sel(direct=direct, drop=True)
    change = abs(good.sel(bonus=1.0, drop=True) / good.sel(bonus=0.0, drop=True) - 1)
    return lab.exact("relative change of the speed at which good use overtakes sham use", change).below(0.01)


@study.claim(
    "Once all use the tool, a bonus of 1 for it changes the speed at which good use overtakes sham use by a hundredth "
    "or less.",
    origin=lab.Derived(cited=(papers.TWO_STAGE_SEARCH,)),
)
def cancels(data):
    return _cancels(data, "all").per("algorithm")


cancels.null("half of the answers are direct")(lambda data: _cancels(data, "half"))


def _bounded(data: lab.Data, algorithms: list[str]) -> lab.Evidence:
    tool = data.speeds.tool.sel(direct="half", algorithm=algorithms, drop=True)
    ratio = tool.sel(bonus=10.0, drop=True) / tool.sel(bonus=1.0, drop=True)
    return lab.exact("speed of tool use with a bonus of 10 over that with 1", ratio).below(2.0)


@study.claim(
    "GRPO divides the size of a bonus out: while half of the answers are direct, one of 10 spreads the use of a tool "
    "at less than twice the speed of one of 1.",
    origin=lab.Derived("the standard deviation of a group grows with the bonus", (papers.TWO_STAGE_SEARCH,)),
)
def bounded(data):
    return _bounded(data, GRPOS)


bounded.null("REINFORCE")(lambda data: _bounded(data, ["REINFORCE"]))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Speeds against the size of the bonus, before and after all use the tool."""
    figure, axes = plot.new((12.6, 3.8), ncols=3)
    tool, good = (data.speeds[name] for name in ("tool", "good"))
    gain = (tool.sel(bonus=10.0) / tool.sel(bonus=1.0)).sel(direct="half")
    one, ten = (float(gain.sel(algorithm=name)) for name in ("REINFORCE", GRPOS[0]))
    change = float(abs(good / good.sel(bonus=0.0) - 1).sel(direct="all").max())
    drawn = (
        (
            f"b = 10 for 1: speed × {one:.1f}, with GRPO × {ten:.1f}",
            tool,
            "half",
            "tool over direct answers",
        ),
        ("Half use it: a bonus spreads the commoner sham", good, "half", "good over sham use"),
        (f"All use it: b changes the speed by {change:.0e}", good, "all", "good over sham use"),
    )
    for ax, (title, speed, direct, words) in zip(axes, drawn, strict=True):
        panels.frame(title, ax, x="size b of the bonus for using the tool", y=f"speed of log-odds, {words}")
        panels.curves(speed.sel(direct=direct, drop=True), ax, x="bonus", by="algorithm")
        panels.mark(0.0, ax, axis="y")
    panels.legend(None, axes[0], loc="upper left")
    return figure
