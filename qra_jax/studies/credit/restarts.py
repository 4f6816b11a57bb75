r"""What do restarts from prefixes teach, and what does a bonus for them?

A rollout may begin at a prefix of an answer in place of the question: at one of its own, cut at some step (Satori), or
at a part of a right solution, a hint (SPARKLE). With weights $w_a$ of the starts, training goes along

$$ \dot\theta_c = m(s)\,\pi(c\mid s)\,[V(c)-V(s)],\qquad m(s) = \sum_a w_a\,c(V(a))\,P(a\to s), $$

so that a start matters by the states that it visits. A solution of four steps that are each right with chance q needs a
time of order $1/\prod q_i$ from the question, and with hints of all lengths one of order $\sum 1/q_i$, a step at a time
from the end. Own prefixes, cut after 0, 1, … or D − 1 steps alike, visit a state at depth k less often than rollouts
from the question, $m(s) = \frac{k+1}{D}d(s)$: no help in a cold start. But later choices are slowed down less, which
should help where the best leaf is behind a first step that looks bad only until the second is learnt; and prefixes of
the *base* go on visiting what the policy leaves, also mistakes that become rare before reflecting is learnt. A choice
that lies inside the prefix gets no gradient at all.

A bonus of .5 for a right answer from a wrong prefix, and of −.5 for a wrong one from a right prefix, makes the reward
of each start affine, 1.5 R or 1.5 R − .5: it multiplies RLOO's update by 1.5, and GRPO's std divides it out.

Times are those of the exact flow at equal rollouts, which cost no more tokens from a prefix than from the question.
Sampled training takes four groups of eight a step; wrong prefixes, and rollouts from the question alone, are the nulls.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.algorithm import grpo, reinforce, rloo
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _restarts, _restarts_panels
from qra_jax.studies.credit._restarts import HIDDEN, MAZE, RUNS, STARTS
from qra_jax.studies.credit._restarts_evidence import (
    ACCURACY,
    REFLECTS,
    ROUNDING,
    bonus,
    closed,
    gain,
    off,
    over,
    power,
)

study = lab.Study(
    __name__, title="Restarts from prefixes teach what they visit; a bonus for them is a larger step"
)

RATES, FIRSTS, SIZE, GROUP = [0.1, 0.03, 0.01, 0.003], [0.2, 0.1, 0.05, 0.02], 0.5, 8
"""Chances of a right step, and of the first step to the hidden leaf; size of the bonus; rollouts of a group."""
STEPS, EVERY, LEARNING = 200, 10, 0.3
SMALL, LARGER, SAME = 1e-6, "1.5 times", "once"
"""Of the constant added to a standard deviation; what a bonus may do to the weights of a group."""
QUESTION, HINTS, FALSE, ANY, BASE, OWN = STARTS
DERIVED = lab.Derived("this study's text", (papers.SATORI, papers.SPARKLE))


@study.experiment(
    {
        "algorithm": (reinforce(group_size=GROUP), grpo(GROUP)),
        "task": np.arange(2),
        "start": np.arange(len(STARTS)),
        "level": np.arange(len(RATES)),
    }
)
def times(cell):
    """Times of the exact flow to an accuracy, in the maze and where the best leaf is hidden; tokens of a rollout."""
    chance = jnp.asarray([RATES, FIRSTS])[jnp.asarray(cell.task, int), jnp.asarray(cell.level, int)]
    return _restarts.time_to(cell.task, chance, cell.start, cell.algorithm) | {"chance": chance}


@study.experiment()
def inside(run: lab.Run) -> xr.Dataset:
    """Largest mean update of the first step where all prefixes have it, and where a part of the rollouts has none."""
    asked = _restarts.hidden(jnp.asarray(FIRSTS[0]))
    late = np.where(asked.shape.depth == 1, 0.5, 0.0)
    some = np.where(asked.shape.depth < 2, 1 / 3, 0.0)
    update = [float(_restarts.first_step(asked, jnp.asarray(w))) for w in (late, some)]
    return lab.dataset({"first": (("prefixes",), update)}, {"prefixes": ["all with it", "some without"]})


@study.experiment(
    {"algorithm": (rloo(GROUP), grpo(GROUP))},
    seeds=lab.scale(64, 512),
    dims={"off": ["law"]},
    coords={"law": [LARGER, SAME]},
)
def groups(cell, key):
    """Weights of a random restarted group with the bonus, against 1.5 times, and once, those without."""
    return {"off": _restarts.groups(key, cell.algorithm, SIZE)}


@study.experiment(
    {"algorithm": (rloo(GROUP), grpo(GROUP)), "kind": np.arange(len(RUNS))},
    seeds=lab.scale(16, 100),
    dims={"seen": ["what", "step"]},
    coords={"what": [REFLECTS, ACCURACY], "step": np.arange(0, STEPS + 1, EVERY)},
)
def runs(cell, key):
    """Sampled training: chance of reflecting after a bad step, and accuracy from the question."""
    kind = jnp.asarray(cell.kind, int)
    size = jnp.where(kind == list(RUNS).index("correction, restarts with the bonus"), SIZE, 0.0)
    options = {"rate": LEARNING, "steps": STEPS, "every": EVERY}
    return {"seen": _restarts.sampled(key, kind, size, algorithm=cell.algorithm, **options)}


@study.claim(
    "Four steps of chance q ≤ .1 take a time of order 1/q⁴ from the question (exponent within .3).",
    origin=DERIVED,
)
def cold(data):
    return power(data, QUESTION, 4.0)


cold.null("prefixes of the right solution")(lambda data: power(data, HINTS, 4.0))


@study.claim(
    "With prefixes of the right solution, 0 to 3 quarters, they take one of order 1/q (exponent within .3).",
    origin=DERIVED,
)
def hinted(data):
    return power(data, HINTS, 1.0)


hinted.null("prefixes of a wrong solution")(lambda data: power(data, FALSE, 1.0))


def _no_sooner(data: lab.Data, *starts: str) -> lab.Evidence:
    return lab.all_of(*(over(data, MAZE, starts, QUESTION, tokens=one).above(1) for one in (False, True)))


@study.claim(
    "In the maze, restarts from own prefixes, of the base or of the policy as it is, take no less time than rollouts "
    "from the question, at equal rollouts and at equal tokens.",
    origin=DERIVED,
)
def own_prefixes(data):
    return _no_sooner(data, BASE, OWN)


own_prefixes.null("prefixes of the right solution, or any")(lambda data: _no_sooner(data, HINTS, ANY))


@study.claim(
    "Where the best leaf is behind a bad first step, restarts from own prefixes, of the base or of the policy as it "
    "is, take half the time from the question or less.",
    origin=DERIVED,
)
def later_first(data):
    return over(data, HIDDEN, (BASE, OWN), QUESTION).below(0.5)


later_first.null("prefixes of the usual side")(lambda data: over(data, HIDDEN, (FALSE,), QUESTION).below(0.5))


@study.claim(
    "There, prefixes of the base, which go on visiting what the policy leaves, take four fifths of the time of those "
    "of the policy or less.",
    origin=DERIVED,
)
def revisits(data):
    return over(data, HIDDEN, (BASE,), OWN).below(0.8)


revisits.null("the maze")(lambda data: over(data, MAZE, (BASE,), OWN).below(0.8))


@study.claim("A choice inside every prefix has a mean update of zero.", origin=DERIVED)
def chosen_for(data):
    return closed(data, "all with it")


chosen_for.null("some rollouts begin at the question")(lambda data: closed(data, "some without"))


@study.claim(
    "Under RLOO a bonus of ±.5 multiplies the weights of each restarted group by 1.5.",
    origin=lab.Derived("this study's text", (papers.SATORI,)),
)
def larger_step(data):
    return off(data, 0, LARGER, ROUNDING)


larger_step.null("GRPO")(lambda data: off(data, 1, LARGER, ROUNDING))


@study.claim(
    "Under GRPO a bonus of ±.5 changes no weight of a restarted group by more than 1e-6.",
    origin=lab.Derived("this study's text", (papers.SATORI,)),
)
def void(data):
    return off(data, 1, SAME, SMALL)


void.null("RLOO")(lambda data: off(data, 0, SAME, SMALL))


@study.claim(
    "Restarts from good and bad prefixes, with the bonus, raise the chance of reflecting after a bad step by .25 or "
    "more beyond as many rollouts from the question.",
    origin=papers.SATORI,
)
def corrects(data):
    return gain(data, "correction, restarts with the bonus")


@corrects.null("restarts from good prefixes alone")
def _(data):
    return gain(data, "correction, good prefixes alone")


@study.claim(
    "The bonus itself raises the chance of reflecting, mean over training, by .05 or more under RLOO.",
    origin=lab.Asked("How much of the gain is the bonus, and how much the restarts?", (papers.SATORI,)),
)
def bonus_itself(data):
    return bonus(data, 0)


bonus_itself.null("under GRPO")(lambda data: bonus(data, 1))


@bonus_itself.positive("the restarts themselves")
def _(data):
    return gain(data, "correction, restarts")


@study.claim(
    "With prefixes of the right solution sampled training solves the maze of q = .1 with an accuracy .25 or more above "
    "that of as many rollouts from the question.",
    origin=papers.SPARKLE,
)
def useful(data):
    return gain(data, "maze, right prefixes", ACCURACY)


useful.null("prefixes of a wrong solution")(lambda data: gain(data, "maze, wrong prefixes", ACCURACY))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Times by start in the maze and behind a bad step, and what sampled training learns."""
    return _restarts_panels.drawn(data)
