r"""Who is paid does not change the mean, only the noise: what is left of "nine times fewer steps"?

VinePPO pays a step A = V̂(s′) − V̂(s) with values from K fresh rollouts in each state, and reports up to nine times
fewer steps than PPO, RLOO and GRPO, which pay all steps of an answer alike. In a tree of steps the mean update of every
credit by values without bias is that of uniform credit, $\dot\theta_c = c(\rho)\,d(s)\,\pi(c\mid s)\,[V(c)-V(s)]$
(to 1e-12, a test and no claim). So at a small common learning rate it cannot need fewer steps. A reported gain can come
from whitening, which divides by the standard deviation of the advantages and is a faster clock; from the bias of a
critic that lags; or from a larger step that less noise allows.

How much less noise: scores of steps in different states are orthogonal, so that E|g|² sums what single steps are paid,
$\sum_c d(c)\,s_c^2E[A^2\mid c]$. Uniform credit pays about ρ(1 − ρ) at each of T steps; squared exact advantages sum to
ρ(1 − ρ) over the whole answer. The ratio therefore grows with depth, up to about T where scores are of one size, less
in chains, whose rollouts end at the first wrong step. Values from K rollouts add V(1 − V)/K twice a step, some 2T/K
times ρ(1 − ρ): one rollout has to be noisier than uniform credit, nine should keep most of the gain; and a group shares
its estimates, whose part of the noise does not fall with G. At matched step norm a gain of the root of E|g|² can be
left. In tokens K rollouts from each visited state are dear: a larger group buys the same noise.

Experiments: exact traces of covariances for chains, combs and random trees by depth, and along expected training, where
a critic has the values of the base policy; sampled races of groups of 8 to .9 of the best accuracy on two trees of four
steps in every state and depth three, on which all steps have to be good, or add up, for rates on a grid (the best is
chosen on one half of the runs and judged on the other, and has to lie inside); and small decoders that have learnt a
tree, 64 … 256 sampled updates each.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, tree
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import (
    _credit,
    _credit_evidence as judge,
    _credit_network as networks,
    _credit_noise,
    _credit_panels as drawing,
)
from qra_jax.studies.credit._credit import ARMS, GROUP, KINDS
from qra_jax.tree.credit import monte_carlo

study = lab.Study(
    __name__, title="Credit: who is paid changes the noise of an update, and through it the stable step"
)

SEEDS = lab.scale(56, 400)
RIVALS, WHITENED, ONES = ["uniform", "critic"], ["whitened", "whitened MC-9"], ["MC-1", "MC-9"]
KEEPS = lab.Derived(cited=(papers.VINE,))
WHAT_IS_LEFT = lab.Asked("What of nine times fewer steps is left?", (papers.VINE,))


@study.experiment()
def depth(run: lab.Run) -> xr.Dataset:
    """Trace of the covariance of one group's update, for trees at their base policy: the seeds of random ones."""
    return _credit_noise.by_depth(np.random.default_rng(run.seed), run(lab.scale(24, 100)), GROUP)


@study.experiment()
def along(run: lab.Run) -> xr.Dataset:
    """Noise over signal along expected training, and the cosine of the mean under a critic from the base policy."""
    return _credit_noise.along(_credit.trees(), KINDS, GROUP)


@study.experiment()
def races(run: lab.Run) -> xr.Dataset:
    """Groups of 8: steps to the goal and tokens, the first update of all runs, and how long it is."""
    found, every = _credit.raced(run.key, run(SEEDS), list(ARMS)), {}
    every["first"] = (("arm", "kind", "run"), found.along.values.reshape(len(ARMS), len(KINDS), -1))
    ratios = [[_credit_noise.norm_ratio(one, way, GROUP) for one in _credit.trees()] for way in ONES]
    every["norm"] = (("values", "kind"), ratios)
    return found[["steps", "tokens"]].assign(every).assign_coords(values=ONES)


@study.experiment()
def larger(run: lab.Run) -> xr.Dataset:
    """Uniform credit with groups that cost what those with nine value rollouts cost at the start."""
    one = _credit.trees()[0]
    group = round(float(tree.tokens(one, group_size=GROUP, credit=monte_carlo(9))) / _credit.DEPTH)
    found = _credit.raced(run.key, run(SEEDS), ["uniform"], group).isel(arm=0, drop=True)
    return found[["steps", "tokens"]].assign(group=group)


@study.experiment()
def network(run: lab.Run) -> xr.Dataset:
    """One update of networks: noise, that of the tabular policy with their probabilities, and distances of means."""
    size = {"seeds": run(lab.scale(8, 16)), "steps": run(lab.scale(60, 160))}
    params = run.bank.get(networks.learnt, seed=run.shared_seed, **size)
    return networks.compared(run.key, params, run(lab.scale(64, 256)))


@study.claim(
    "Exact values take the more noise away from uniform credit the deeper the tree: the ratio rises from each of the "
    "depths 2, 3, 4, 6 to the next in chains and combs, and on average from 2 to 6 by a tenth or more in random trees.",
    origin=KEEPS,
)
def deeper(data):
    return judge.less_noise(data, "exact")


deeper.null("credit of the whole answer by the value of the question")(
    lambda data: judge.less_noise(data, "whole answer")
)


@study.claim(
    "Values from nine rollouts keep half or more of what exact values take away from the noise of uniform credit, on "
    "average over the trees of a family and depth.",
    origin=KEEPS,
)
def nine(data):
    return judge.keeps_half(data, "MC-9").per("family", "depth")


nine.null("one rollout")(lambda data: judge.keeps_half(data, "MC-1"))


@study.claim(
    "On sampled groups the mean update of uniform credit, of exact values and of values from nine rollouts is the "
    "exact one along its direction, within a fifth.",
    origin=KEEPS,
)
def same_mean(data):
    return judge.one_mean(data, ["uniform", *judge.VALUES])


same_mean.null("whitened advantages")(lambda data: judge.one_mean(data, WHITENED))


@study.claim(
    "At one small learning rate neither exact values nor those of nine rollouts need fewer steps than uniform credit, "
    "by a tenth or more.",
    origin=KEEPS,
)
def equal_rate(data):
    return judge.at_small_rate(data, judge.VALUES)


equal_rate.null("whitened advantages")(lambda data: judge.at_small_rate(data, WHITENED))


@study.claim(
    "With the best learning rate of each, values from nine rollouts need fewer steps than uniform credit and than a "
    "learnt critic, by a tenth or more.",
    origin=papers.VINE,
)
def fewer(data):
    return judge.at_best_rates(data, RIVALS, "MC-9").above(judge.LITTLE).per("arm")


fewer.null("uniform credit with larger groups, of as many tokens, for a rival")(
    lambda data: judge.at_tokens(data, data.larger.steps).above(judge.LITTLE)
)


@study.claim(
    "With the best learning rate of each, uniform credit needs less than three times the steps of values from nine "
    "rollouts: less than a third of the reported factor is left.",
    origin=WHAT_IS_LEFT,
)
def third(data):
    return judge.at_best_rates(data, "uniform", "MC-9").below(judge.LEFT)


third.null("uniform credit at a learning rate of ½")(judge.untuned)


@study.claim(
    "Where first steps are as long as those of uniform credit at its best rate, values from nine rollouts need fewer "
    "steps, by a tenth or more.",
    origin=WHAT_IS_LEFT,
)
def step_norm(data):
    return judge.at_step_norm(data, "MC-9")


step_norm.null("one rollout")(lambda data: judge.at_step_norm(data, "MC-1"))


@study.claim(
    "Uniform credit with larger groups, whose steps cost the tokens of those with nine value rollouts, needs no more "
    "steps than these, within a tenth, with the best rate of each.",
    origin=WHAT_IS_LEFT,
)
def tokens(data):
    return judge.at_tokens(data, data.larger.steps).below(judge.LITTLE)


tokens.null("uniform credit with groups of 8")(
    lambda data: judge.at_tokens(data, judge.uniform_steps(data)).below(judge.LITTLE)
)


@study.claim(
    "A critic that has stayed at the base policy has turned the mean update, to a cosine below .95, once accuracy is "
    "half of the best: with λ = 0 its error is a bias.",
    origin=lab.Derived("Schulman et al., arXiv 1506.02438, §3"),
)
def stale(data):
    return judge.turned(data, slice(2, None)).per("kind")


stale.null("at the start, before it lags")(lambda data: judge.turned(data, slice(0, 1)))


@study.claim(
    "On networks the noise of exact values, and of those of nine rollouts, is below .8 of that of uniform credit.",
    origin=KEEPS,
)
def on_networks(data):
    return judge.network_noise(data.network.noise.mean("half", skipna=False))


@study.claim(
    "These ratios are those of the tabular policy with the same step probabilities, within a fifth.",
    origin=KEEPS,
)
def as_in_trees(data):
    return judge.network_theory(data, data.network.noise.mean("half", skipna=False))


on_networks.null("uniform credit on other groups in the place of values")(
    lambda data: judge.network_noise(judge.again(data))
)
as_in_trees.null("uniform credit on other groups in the place of values")(
    lambda data: judge.network_theory(data, judge.again(data))
)


@study.claim(
    "On networks exact values and those of nine rollouts have the mean update of uniform credit: squared distances are "
    "below a fifth of its squared length.",
    origin=KEEPS,
)
def network_mean(data):
    return judge.apart("the mean update by values", data.network.apart)


network_mean.null("the mean update of another network")(
    lambda data: judge.apart("another's", data.network.another)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Mean updates; noise by depth, on the tree and on networks; what is left of nine times."""
    figure, (first, second, third) = plot.new((12.6, 4.0), ncols=3, width_ratios=[1, 1.1, 1.3])
    drawing.means(data.races.first, first)
    drawing.noises(data.depth.noise, data.network.noise.mean("half"), second)
    drawing.left(data.races, data.larger, third)
    return figure
