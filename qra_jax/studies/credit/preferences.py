r"""What do preferences teach: when is DPO the policy gradient, what does the pairing prefer, and who is displaced?

*Random pairs.* Right rollouts have patterns πp/ρ, wrong ones π(1 − p)/(1 − ρ); they differ by π⊙(p − ρ)/(ρ(1 − ρ)). So
DPO on pairs of the current policy must run along the policy gradient's orbit while β times the log-ratios is small, and
leave it where that is large, or at once where pairs come from the reference, whose direction is fixed. It ends
elsewhere: pulls of a pair and of its reverse balance at π_ref (p/(1 − p))^{1/β}, for either source of pairs.
*The longest right one* (the released rule) is another reward: where all use a short pattern a longer one counts its
odds times E[k | 0 < k < G], the mean number of right rollouts; groups of two and equal lengths must show nothing.
*Displacement.* With a parameter for each answer a single pair can only raise its chosen answer and lower its rejected
one, whatever the step. With features h the chosen one first changes by minus the CHES score of h − Σ_x π_x h_x, so that
it can fall; the plain score, ⟨h⁺, h⁻⟩ − ‖h⁺‖², changes where a common vector is added to all features, which changes no
policy. Offline DPO on all pairs of a question ends near one right pattern: the mean over all chosen ones rises, then
falls, without any sharing.
*Networks.* A small decoder, whose answers are right by lot with the rate of their pattern, is trained on equal rollouts
by GRPO and by DPO (iterated, offline, longest), each at its best learning rate; all sequences of the corpus are read by
teacher forcing, so that the mass in no pair is what is left. Single pairs are trained by themselves, from the base on.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.credit import (
    _preference_evidence as tests,
    _preference_networks as networks,
    _preference_panels as drawn,
    _preference_paths as exact,
)

study = lab.Study(__name__, title="Preferences: what DPO follows, what its pairs reward, whom they displace")

BETAS, SOURCES = [0.001, 0.01, 0.1, 1.0, 3.0], {"policy": "iterated", "reference": "offline"}
SHORT, LONG = [0.5, 0.8], [0.1, 0.17, 0.23, 0.3, 0.4, 0.45, 0.55, 0.65, 0.75, 0.85]
ALIKE, FEATURES = [-0.5, 0.0, 0.5, 0.8, 0.95], 6
QUESTIONS, MEMBERS = lab.scale(4, 12), lab.scale(400, 4000)
SEEDS, ASKED, PUSHED = lab.scale(6, 8), lab.scale(6, 8), lab.scale(2, 8)
STEPS, LEARNT, RATES = lab.scale(48, 128), lab.scale(200, 300), lab.scale([1e-3, 3e-3], [3e-4, 1e-3, 3e-3])


@study.experiment()
def paths(run: lab.Run) -> xr.Dataset:
    """Expected DPO on random questions, and on the same with a single right pattern."""
    axes = {"pairs": list(SOURCES), "beta": BETAS, "single": [0.0, 1.0]}
    axes |= {"question": [run.seed % 2**20 + i for i in range(run(QUESTIONS))]}
    dims = {name: ["record"] for name in ("time", "angle", "gain", "chosen", "rejected")}
    dims |= {name: ["pattern"] for name in ("end", "optimum", "regularised")}
    found = lab.cells(exact.path, axes=axes, dims=dims, say=run.say)
    return found.assign_coords(pairs=list(SOURCES.values()), question=range(run(QUESTIONS)))


@study.experiment({"short": SHORT, "long": LONG, "group": [2.0, 4.0, 8.0, 16.0], "length": [1.0, 2.0]})
def takeovers(cell: Any) -> dict[str, jax.Array]:
    """A rare long pattern against a short one, the longest right answer chosen, in the limit of small β."""
    return exact.takeover(cell)


@study.experiment()
def singles(run: lab.Run) -> xr.Dataset:
    """One pair each on many policies: with shared features, and with a parameter for each answer."""
    random, members = np.random.default_rng(run.seed), run(MEMBERS)
    shared = [exact.single_pairs(random, alike, members, features=FEATURES) for alike in ALIKE]
    tabular = exact.single_pairs(random, 0.0, members, features=0)
    variables = {name: (("alike", "seed"), [one[name] for one in shared]) for name in tabular}
    variables |= {f"tabular_{name}": ("seed", tabular[name]) for name in ("chosen", "rejected", "bystanders")}
    return lab.dataset(variables, {"alike": ALIKE})


def _bases(run: lab.Run) -> tuple[Any, Any]:
    """The task, and networks that have learnt its corpus."""
    task = networks.task_of(run(ASKED))
    made = run.bank.get(networks.bases, task, seed=run.shared_seed, seeds=run(SEEDS), steps=run(LEARNT))
    return task, jax.tree.map(jnp.asarray, made)


@study.experiment()
def pushed(run: lab.Run) -> xr.Dataset:
    """Changes of both sides of pairs by DPO on each by itself, in networks, and their CHES scores."""
    task, bases = _bases(run)

    def one(cell: Any) -> dict[str, jax.Array]:
        return networks.pushed(jax.tree.map(lambda leaf: leaf[cell.seed], bases), task, run(PUSHED))

    dims = {name: ["pair"] for name in ("ches", "chosen", "rejected")}
    return lab.cells(one, axes={"seed": range(run(SEEDS))}, dims=dims, block=1, say=run.say)


@study.experiment()
def trained(run: lab.Run) -> xr.Dataset:
    """Both sides, mass outside, accuracy and length along training of networks by GRPO and DPO."""
    task, bases = _bases(run)
    settings, found = jnp.array(list(networks.DPO.values())), list[xr.Dataset]()
    dims = {name: ["step"] for name in ("accuracy", "chosen", "rejected", "outside")} | {"length": ["window"]}
    coords = {"step": np.arange(0, run(STEPS) + 1, networks.EVERY)}
    for arms in (["GRPO"], list(networks.DPO)):

        def one(cell: Any, arms: list[str] = arms) -> dict[str, jax.Array]:
            params = jax.tree.map(lambda leaf: leaf[cell.seed], bases)
            dpo = None if arms == ["GRPO"] else tuple(settings[cell.arm])
            key = jax.random.fold_in(run.key, cell.seed)
            return networks.trained(key, params, task, rate=cell.rate, steps=run(STEPS), dpo=dpo)

        axes = {"arm": range(len(arms)), "rate": run(RATES), "seed": range(run(SEEDS))}
        part = lab.cells(one, axes=axes, dims=dims, coords=coords, block=1, say=run.say)
        found.append(part.where(part.status == 0).assign_coords(arm=arms))
    return xr.concat(found, "arm")


@study.claim(
    "Iterated DPO on random pairs goes the way of the policy gradient, within 5 degrees, for nine tenths of its gain, "
    "on random questions.",
    origin=lab.Derived("this study: to first order in β times log-ratios", (papers.ITERATED_DPO,)),
)
def direction(data):
    return tests.goes_along(data, "iterated")


direction.null("pairs from the reference, β ≥ .01")(lambda data: tests.goes_along(data, "offline", 0.01))


@study.claim(
    "Iterated and offline DPO on random pairs end at one policy, π_ref (p/(1 − p))^{1/β}, on random questions, for β "
    "from .1 to 3.",
    origin=lab.Derived("this study: pulls of a pair and of the same pair reversed balance"),
)
def ends(data):
    return tests.ends_at(data, "optimum", 0.1)


ends.null("the optimum of reward and KL, π_ref exp(p/β)")(
    lambda data: tests.ends_at(data, "regularised", 0.1)
)


@study.claim(
    "Where the longest right answer is chosen, a longer pattern of lower success rate can take over.",
    origin=lab.Asked("The released pairs choose the longest right answer.", (papers.ITERATED_DPO,)),
)
def longest(data):
    return tests.takes_over(data.takeovers.share.sel(length=2.0))


longest.null("equal lengths")(lambda data: tests.takes_over(data.takeovers.share.sel(length=1.0)))
longest.null("groups of two")(
    lambda data: tests.takes_over(data.takeovers.share.sel(length=2.0, group=[2.0]))
)


@study.claim(
    "A rare longer pattern gains exactly where its odds of success times the mean number of right rollouts, "
    "E[k | 0 < k < G], exceed those of the shorter one, on a grid of success rates and groups of 4 to 16.",
    origin=lab.Derived("this study, where nearly all use the shorter pattern"),
)
def criterion(data):
    return tests.foretold(data.takeovers, counted=True)


criterion.null("success rates alone")(lambda data: tests.foretold(data.takeovers, counted=False))


@study.claim(
    "DPO on a single pair lowers its chosen answer in more than one of twenty random policies whose answers share "
    "features (cosine of the pair about .95).",
    origin=lab.Derived("this study: the first slope is minus the centred CHES score"),
)
def displaced(data):
    return tests.falls(data.singles.chosen.sel(alike=0.95, drop=True))


displaced.null("a parameter for each answer")(lambda data: tests.falls(data.singles.tabular_chosen))


@study.claim(
    "Over random policies with features CHES scores rank how far DPO on a pair lowers its chosen answer, at a rank "
    "correlation of .5 or more: plain, with centred features, and after a common vector was added to all features.",
    origin=lab.Asked("Adding a vector to all features changes no policy: does the score still rank?"),
)
def ches(data):
    return tests.ranks(data.singles, ["ches", "centred", "shifted"])


ches.null("the score of another pair of the same policy")(lambda data: tests.ranks(data.singles, ["other"]))


@study.claim(
    "Without shared features, too, offline DPO on all pairs of a question (β = .1) ends with the mean log-likelihood "
    "of the chosen side half a nat or more below its start, on random questions.",
    origin=lab.Derived("this study: one right pattern crowds out the others"),
)
def crowded(data):
    return tests.crowded(data, 0.0)


crowded.null("questions with a single right pattern")(lambda data: tests.crowded(data, 1.0))


@study.claim(
    "Over pairs of a network's sequences the CHES score in the base ranks how little DPO on the pair raises its chosen "
    "side, or lowers it (rank correlation .3 or more).",
    origin=lab.Asked("Does the score of hidden states rank pairs where all parameters learn?"),
)
def network_ches(data):
    return tests.sorts(data.pushed, own=True)


network_ches.null("the score of another pair, by lot")(lambda data: tests.sorts(data.pushed, own=False))


@study.claim(
    "Iterated DPO reaches the accuracy of GRPO, or less than .05 below, at equal rollouts, in a small network, each at "
    "the best of some learning rates.",
    origin=papers.ITERATED_DPO,
)
def reaches(data):
    return tests.reaches(data.trained, -1)


reaches.null("the base network")(lambda data: tests.reaches(data.trained, 0))


@study.claim(
    "In the network, too, pairs with the longest right answer make answers longer, by .3 tokens of 6 or more.",
    origin=lab.Asked("Does the tabular effect carry over?", (papers.ITERATED_DPO,)),
)
def lengthens(data):
    return tests.longer(data.trained, "DPO, longest")


lengthens.null("GRPO")(lambda data: tests.longer(data.trained, "GRPO"))


@study.claim(
    "In the network offline DPO moves a twentieth of all mass, or more, to sequences that are in no pair.",
    origin=lab.Asked("Where does the mass go that both sides lose?"),
)
def outside(data):
    return tests.leaks(data.trained, "DPO, offline")


outside.null("pairs from the current policy")(lambda data: tests.leaks(data.trained, "DPO, iterated"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Directions, takeovers and displacement; both sides and the rest in networks."""
    return drawn.figure(data)
