r"""RL in name only, on tokens: where do GRPO and weighted supervised steps part?

With the reward spread evenly over tokens GRPO's update of a group is a supervised step on its rollouts, the right ones
with weight √((1 − ρ̂)/ρ̂) and the wrong ones with −√(ρ̂/(1 − ρ̂)): an identity, whatever the network. With other weights
(± 1, positives, negatives) a group's update is another one, but its mean is GRPO's times a number c(ρ) for each
question, over steps and shared parameters alike. So the expected paths should be one as long as all questions have one
accuracy, and part with clipped ratios over several epochs, with a KL term, where questions of different accuracy share
parameters, and under Adam on sampled groups, which divides by each rule's own noise.

The paper reports, for models of 1.5B parameters, GRPO 71.4, ± 65.9 and + 53.6 on Countdown, and a collapse of
negatives alone.

Trees of two steps (three choices each) are trained in expectation, and sampled under Adam. A decoder that has learnt
two combs of three steps (two approaches, eight answers, three questions) is trained by the same rules on its own
samples and read exactly. Paths are compared whatever their speed: the largest difference in the share of any answer
between the first half of a rule's path and the nearest point of GRPO's; in networks less that of GRPO with other
rollouts.
"""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.clocks._rules import RULES
from qra_jax.studies.credit import (
    _name_only_evidence as reading,
    _name_only_networks,
    _name_only_panels,
    _name_only_tokens,
    _one_group,
)
from qra_jax.studies.credit._name_only_networks import COMPARED, SETTINGS
from qra_jax.studies.credit._name_only_tokens import CONDITIONS, MEMBERS, OTHER

study = lab.Study(
    __name__,
    title="RL in name only, on tokens: a step is supervised learning, paths part once anything else keeps time",
)

SYSTEMS, UNCENTRED = ["tree", "network"], list(RULES)[2:]
APART, SAMPLED, MATCH = 0.01, 0.02, 0.055
"""Differences in a share that matter, of exact means and of samples; the difference in accuracy that the paper calls
comparable (71.4 − 65.9 per cent)."""
DERIVED = lab.Derived("this study's text", (papers.RINO_1,))


@study.experiment()
def gradients(run: lab.Run) -> xr.Dataset:
    """Cosines of supervised steps with GRPO's step on the same group."""
    groups, keys = run(lab.scale(32, 400)), jax.random.split(run.key, 2)
    functions = (_one_group.tree_cosines, _one_group.network_cosines)
    found = [
        jax.jit(lambda k, f=f: jax.lax.map(f, k))(jax.random.split(key, groups))
        for f, key in zip(functions, keys, strict=True)
    ]
    coords = {"system": SYSTEMS, "rule": _one_group.SUPERVISED}
    return lab.dataset({"cosine": (("system", "group", "rule"), np.stack(found))}, coords)


@study.experiment()
def trees(run: lab.Run) -> xr.Dataset:
    """Largest distance of every rule's expected path from GRPO's on three trees."""
    table = [_name_only_tokens.tree_distances(name, run.seed) for name in CONDITIONS]
    coords = {"condition": list(CONDITIONS), "rule": list(RULES)}
    return lab.dataset({"apart": (("condition", "rule"), table)}, coords)


@study.experiment(
    {"which": np.arange(len(MEMBERS))},
    seeds=lab.scale(16, 96),
    dims={"path": ["question", "record", "leaf"]},
)
def adam(cell, key):
    """Sampled paths of trees under Adam with small steps."""
    return _name_only_tokens.tree_under_adam(cell, key)


@study.experiment()
def networks(run: lab.Run) -> xr.Dataset:
    """Paths and accuracies of networks, one epoch."""
    return _name_only_networks.trained(run, _name_only_networks.of_paths())


@study.experiment()
def epochs(run: lab.Run) -> xr.Dataset:
    """Paths of networks that use each group four times, with ratios clipped at .2."""
    return _name_only_networks.trained(run, _name_only_networks.of_epochs(), epochs=True)


def _identity(data: lab.Data, rules: Sequence[str]) -> lab.Evidence:
    cosine = data.gradients.cosine.sel(rule=list(rules))
    worst = (1 - cosine).max("group").where(cosine.notnull().any("group"))
    return lab.exact("largest 1 − cosine with GRPO's step on the same group", worst).below(1e-9).per("system")


@study.claim(
    "On policy GRPO's gradient of a group of token sequences is that of a supervised step with weights, on a tree and "
    "in a decoder.",
    origin=papers.RINO_1,
)
def identity(data):
    return _identity(data, _one_group.SUPERVISED[:1])


identity.null("other weights, and permuted rewards")(lambda data: _identity(data, _one_group.SUPERVISED[1:]))


def _parts(data: lab.Data, conditions: Sequence[str]) -> lab.Evidence:
    apart = data.trees.apart.sel(condition=list(conditions)).max("rule", skipna=False)
    return lab.exact("largest distance of a rule's expected path from GRPO's", apart).above(APART)


@study.claim(
    "On trees a KL term, four clipped epochs and shared features each part the expected path of some rule from GRPO's.",
    origin=DERIVED,
)
def parts(data):
    return _parts(data, CONDITIONS[1:])


parts.null("on policy, questions apart")(lambda data: _parts(data, CONDITIONS[:1]))


def _adam_parts(data: lab.Data, rules: Sequence[int]) -> lab.Evidence:
    words, apart = (
        "distance of a rule's mean path from GRPO's, sampled, Adam",
        partial(reading.apart, rules=rules),
    )
    return lab.somewhere(lab.statistic(words, apart, data.adam.path, draws=200).above(SAMPLED))


@study.claim(
    "On trees Adam on sampled groups parts the average path of some rule from GRPO's, by .02 of a share or more.",
    origin=DERIVED,
)
def adam_parts(data):
    return _adam_parts(data, range(2, len(RULES)))


adam_parts.null("GRPO, other rollouts")(lambda data: _adam_parts(data, [len(RULES)]))


def _network_parts(data: lab.Data, conditions: Sequence[str]) -> lab.Evidence:
    far = reading.network_apart(data).sel(condition=list(conditions))
    first, second = far.sel(rule=COMPARED[1:3]).mean("rule", skipna=False), far.sel(rule=OTHER, drop=True)
    words = "mean distance of the paths of ± and + from GRPO's, less that of GRPO with other rollouts"
    return lab.difference(words, first, second).above(SAMPLED).per("condition")


@study.claim(
    "In networks a KL term, questions of different accuracy, Adam and four clipped epochs each part the paths of unit "
    "± and of positives from GRPO's, by .02 of a share or more.",
    origin=DERIVED,
)
def network_parts(data):
    return _network_parts(data, [*list(SETTINGS)[1:], "epochs, clipped"])


network_parts.null("on policy, gradient descent, questions of one accuracy")(
    lambda data: _network_parts(data, ["on policy"])
)


def _matches(data: lab.Data, other: xr.DataArray) -> lab.Evidence:
    words = "accuracy, less that of GRPO, each at the better rate"
    return lab.difference(words, other, reading.last_accuracy(data, "GRPO")).near(0, within=MATCH)


@study.claim(
    "In networks supervised steps with unit weights on right and wrong rollouts match GRPO under Adam at equal "
    "samples, within .055.",
    origin=papers.RINO_2,
)
def matches(data):
    return _matches(data, reading.last_accuracy(data, UNCENTRED[0]))


matches.null("the base policy")(lambda data: _matches(data, reading.first_accuracy(data)))


def _collapses(last: xr.DataArray, first: xr.DataArray) -> lab.Evidence:
    return lab.difference("accuracy, less that of the base", last, first).below(0.0)


@study.claim(
    "In networks negatives alone collapse: below the base policy at the better of two rates of Adam.",
    origin=papers.RINO_2_NEGATIVES,
)
def collapse(data):
    return _collapses(reading.last_accuracy(data, "negatives only"), reading.first_accuracy(data))


collapse.null("GRPO")(
    lambda data: _collapses(reading.last_accuracy(data, "GRPO"), reading.first_accuracy(data))
)
collapse.positive("the base, with networks trained by GRPO for a base")(
    lambda data: _collapses(reading.first_accuracy(data), reading.last_accuracy(data, "GRPO"))
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Cosines of one group; where paths part, on trees and in networks; accuracies."""
    under_adam = reading.apart(data.adam.path, range(len(RULES))).expand_dims(condition=["Adam"])
    trees: xr.DataArray = xr.concat([data.trees.apart, under_adam], "condition")
    last = {rule: reading.last_accuracy(data, rule) for rule in ("GRPO", UNCENTRED[0], UNCENTRED[2])}
    accuracies = last | {"base": reading.first_accuracy(data)}
    return _name_only_panels.paths(data.gradients.cosine, trees, reading.network_apart(data), accuracies)
