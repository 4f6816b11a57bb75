"""What happens when a model is trained on its own certainty?

Theorem 5.6 (two answers, β = 0, uniform base policy, success rates U[0, 1], base model more right than wrong): as the
number of patterns n grows, accuracy rises at first with probability → 1, yet training ends in the *worst* pattern with
probability ½. It is read plainly here: iid success rates, conditioned on ρ_ref > ½. In language models accuracy was
seen to rise, and to fall below its start later.

Theory: the first move has the sign of a sample covariance of p and self-certainty R, and R is even about p = ½. For
U[0, 1] its mean is zero, and only its correlation with ρ_ref − ½ is left: P(rise) → ½ + arcsin(r)/π = .677. For success
rates ~ Beta(a, b) the mean is (a − b)/(2(a + b)²): the rise is sure as n → ∞ iff a > b. But then the surest pattern is
right in the limit (min p ~ n^(−1/a) against 1 − max p ~ n^(−1/b)), so that no Beta(a, b) should have both halves.

Experiment: fates of random problems from the closed forms (`theory.rlif_fates`), for Beta(a, 1) against n, and over
(a, b); exact orbits of 20 patterns to their end, from uniform and from uneven base policies (Dirichlet(1)), all of them
counted; the control is RLVR on the same problems.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, theory
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.reward import self_certainty, verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.regimes import _feedback_figures as figures
from qra_jax.studies.regimes._draws import more_right_than_wrong, rlif_draws

TITLE = "Internal feedback: with uniform success rates it ends in the worst pattern half the time"
study = lab.Study(__name__, title=TITLE)

FAMILIES = [1.0, 1.05, 1.2, 2.0]
"""Success rates ~ Beta(a, 1); a = 1 is the plain reading, U[0, 1]."""
SIZES, MANY = [10, 32, 100, 316, 1000, 3162, 10_000], 10_000
AXIS = np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0])
PATTERNS, BASES = 20, ["uniform", "uneven"]
DECADES = np.concatenate([np.linspace(-2, 8, 41), np.arange(9, 31), [200]])
"""Times at which orbits are read off, as powers of ten; the last is the end."""
REWARDS, VISIBLE, APART, NEAR = ("certainty", "rlvr"), 0.02, 0.2, 0.05
"""Gain that counts as a rise; distance of a and b that counts as a lean; what matters in a probability."""


@study.experiment()
def fates(run: lab.Run) -> xr.Dataset:
    """First move and end under uniform base policies with success rates ~ Beta(a, 1), against n."""
    random, draws = np.random.default_rng(run.seed), run(lab.scale(2000, 4000))
    found = np.array([[rlif_draws(random, a, n, draws) for n in SIZES] for a in FAMILIES])
    values = {"rise": (("a", "n", "draw"), found[:, :, 0]), "worst": (("a", "n", "draw"), found[:, :, 1])}
    return lab.dataset(values | {"limit": theory.rlif_rise_probability()}, {"a": FAMILIES, "n": SIZES})


@study.experiment()
def phases(run: lab.Run) -> xr.Dataset:
    """First move and end for success rates ~ Beta(a, b), not conditioned."""
    random, (draws, n) = np.random.default_rng(run.seed), run(lab.scale((60, 1000), (200, 2000)))
    found = np.array([[theory.rlif_fates(random.beta(a, b, (draws, n))) for a in AXIS] for b in AXIS])
    values = {"rise": (("b", "a", "draw"), found[:, :, 0]), "worst": (("b", "a", "draw"), found[:, :, 1])}
    return lab.dataset(values, {"a": AXIS, "b": AXIS}, patterns=n)


@study.experiment()
def orbits(run: lab.Run) -> xr.Dataset:
    """Accuracy along exact orbits under internal feedback and under RLVR, from both kinds of base policy."""
    random, draws = np.random.default_rng(run.seed), run(lab.scale(500, 1600))
    both = [more_right_than_wrong(random, PATTERNS, draws, uneven=base == "uneven") for base in BASES]
    problems = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *both)

    def follow(problem: Problem) -> list[jax.Array]:
        times, rewards = DECADES * np.log(10), (self_certainty(), verifiable())
        return [orbit.solve(problem, log_ts=times, reward=reward).accuracy for reward in rewards]

    paths = [np.reshape(path, (2, draws, -1)) for path in many(follow, block=32)(problems)]
    values = {name: (("base", "seed", "decade"), path) for name, path in zip(REWARDS, paths, strict=True)}
    start = {"start": (("base", "seed"), np.reshape(problems.accuracy_ref, (2, draws)))}
    return lab.dataset(values | start, {"base": BASES, "decade": DECADES}, patterns=PATTERNS)


def _share(data: lab.Data, fate: str, a: float) -> lab.Estimate:
    words = {"rise": "rises at first", "worst": "ends in the worst pattern"}[fate]
    return lab.share(f"{words}, n = {MANY}", data.fates[fate].sel(a=a, n=MANY))


@study.claim(
    "As n grows, accuracy rises at first with probability → 1 (U[0, 1], ρ_ref > ½): above .99 for n = 10⁴.",
    origin=papers.QRA_4_RISE,
)
def rise(data):
    return _share(data, "rise", 1.0).above(0.99)


@rise.null("success rates that lean to the wrong side, Beta(1, 2)")
def _(data):
    return lab.share("rises at first", data.phases.rise.sel(a=1.0, b=2.0)).above(0.99)


@rise.positive("success rates that lean to the right side, Beta(2, 1)")
def _(data):
    return _share(data, "rise", 2.0).above(0.99)


@study.claim(
    "As n grows, training ends in the worst pattern with probability ½ (U[0, 1], ρ_ref > ½): ± .05 for n = 10⁴.",
    origin=papers.QRA_4_WORST,
)
def worst(data):
    return _share(data, "worst", 1.0).near(0.5, within=NEAR)


@worst.null("success rates ~ Beta(1.05, 1)")
def _(data):
    return _share(data, "worst", 1.05).near(0.5, within=NEAR)


LIMIT = lab.Derived("theory.rlif_rise_probability")


@study.claim(
    "For U[0, 1] and ρ_ref > ½ P(accuracy rises at first) → ½ + arcsin(r)/π: ± .05 for n = 10⁴.",
    origin=LIMIT,
)
def limit(data):
    return _share(data, "rise", 1.0).near(float(data.fates.limit), within=NEAR)


@limit.null("success rates ~ Beta(a, a) without the condition that ρ_ref is above ½")
def _(data):
    return lab.share("rises at first", _lean(data, 0.0, 0.0)).near(float(data.fates.limit), within=NEAR)


def _lean(data: lab.Data, low: float, high: float) -> xr.DataArray:
    """Whether accuracy rises, in all draws with a − b in a range."""
    flags = data.phases.rise.stack(member=("b", "a", "draw"))
    lean = (flags.a - flags.b).values.round(6)
    return xr.DataArray(flags.values[(lean >= low) & (lean <= high)], dims="member")


LEAN = lab.Derived("theory.rlif_initial_slope", (papers.QRA_4_RISE,))


@study.claim(
    "With p ~ Beta(a, b), n ≥ 1000, accuracy rises at first in 99 of 100 draws if a − b ≥ .2, falls if b − a ≥ .2.",
    origin=LEAN,
)
def lean(data):
    right = lab.share("rises at first, a − b ≥ .2", _lean(data, APART, 9.0)).above(0.99)
    return lab.all_of(right, lab.share("rises at first, b − a ≥ .2", _lean(data, -9.0, -APART)).below(0.01))


@lean.null("a = b")
def _(data):
    return lab.share("rises at first, a = b", _lean(data, 0.0, 0.0)).above(0.99)


def _together(rises: xr.DataArray, ends: xr.DataArray) -> lab.Evidence:
    sure = lab.share(f"rises at first, n = {MANY}", rises.sel(n=MANY), "draw")
    even = lab.share(f"ends in the worst pattern, n = {MANY}", ends.sel(n=MANY), "draw")
    return lab.somewhere(lab.all_of(sure.above(0.95), even.near(0.5, within=NEAR)))


BOTH = lab.Asked("Is there a reading under which both halves hold?", (papers.QRA_4_RISE, papers.QRA_4_WORST))


@study.claim(
    "One of Beta(a, 1), a = 1, 1.05, 1.2, 2, has both halves (n = 10⁴): a rise in 95 of 100 draws, an even worst end.",
    origin=BOTH,
)
def together(data):
    return _together(data.fates.rise, data.fates.worst)


@together.null("Beta(2, 1) alone")
def _(data):
    return _together(data.fates.rise.sel(a=[2.0]), data.fates.worst.sel(a=[2.0]))


@together.positive("the rise under Beta(2, 1) beside the end under U[0, 1]")
def _(data):
    ends = data.fates.worst.sel(a=[1.0])
    return _together(data.fates.rise.sel(a=[2.0]).assign_coords(a=ends.a), ends)


def _humps(data: lab.Data, reward: str) -> xr.DataArray:
    """Orbits that rise visibly and end below their start."""
    gain = data.orbits[reward] - data.orbits.start
    top, end = gain.max("decade", skipna=False), gain.isel(decade=-1)
    return lab.where_known((top > VISIBLE) & (end < 0), top)


def _often(data: lab.Data, reward: str) -> lab.Evidence:
    words = "share of all orbits that rise by more than .02 and end below their start"
    return lab.share(words, _humps(data, reward), "seed").above(0.1).per("base")


SHAPE = lab.Asked("That is the shape seen in language models; in how many questions is it?", (papers.NFL_1,))


@study.claim(
    "In over a tenth of random questions with 20 patterns accuracy rises by more than .02, then ends below its start.",
    origin=SHAPE,
)
def humps(data):
    return _often(data, "certainty")


@humps.null("RLVR on the same questions")
def _(data):
    return _often(data, "rlvr")


def _average(data: lab.Data, reward: str, *, chosen: bool = False) -> lab.Evidence:
    """Mean accuracy of all questions, or of those from an uneven base that rise and fall: its peak and its end.

    Every second question tells when the mean is highest, the others how high it is then.
    """
    change = data.orbits[reward] - data.orbits.start
    if chosen:
        change = change.sel(base=["uneven"])[:, _humps(data, reward).sel(base="uneven").values == 1]
    first, others = (change.isel(seed=slice(half, None, 2)) for half in (0, 1))
    peak = others.isel(decade=first.mean("seed").fillna(0.0).argmax("decade"))
    rises = lab.mean("gain of mean accuracy at its peak", peak).above(VISIBLE)
    return lab.all_of(rises, lab.mean("its change at the end", change.isel(decade=-1)).below(0))


@study.claim(
    "Mean accuracy of random questions with 20 patterns rises by more than .02, then falls below that of the base.",
    origin=lab.Asked(
        "Does the mean of independent questions have the shape of language models?", (papers.NFL_1,)
    ),
)
def average(data):
    return _average(data, "certainty")


@average.null("RLVR on the same questions")
def _(data):
    return _average(data, "rlvr")


@average.positive("the questions of an uneven base that rise and fall")
def _(data):
    return _average(data, "certainty", chosen=True)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Rise and fall, its size and time, the two probabilities against n, and the phase diagram."""
    return figures.every(data, _humps(data, "certainty"))
