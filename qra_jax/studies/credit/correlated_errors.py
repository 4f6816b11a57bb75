r"""A verifier errs in whole groups of rollouts: is a group of 8 then worth 1.7?

One draw decides for a whole group with the chance c; else verdicts are independent. Errors on answers of one kind
(right, or wrong) then have the correlation c, and their mean over G rollouts scatters as if there were
$G/(1+(G-1)c)$ of them: 1.7 of 8 for c = .53. In a group of one draw the verifier accepts all answers (FPR), rejects
all (1 − TPR), or tells right from wrong (J = TPR − FPR). With c_G(ρ), the clock at groups of G, the mean update is

$$ \dot\theta = J\,\bigl[(1-c)\,c_G(Q) + c\,c_G(\rho)\bigr]\;\pi\odot(p-\rho), \qquad Q = {\rm FPR} + J\rho. $$

REINFORCE and RLOO, whose clock is 1, keep their speed at every c. GRPO's changes at the same rate of acceptance Q,
by most for large groups near ρ = 1, where errors in common leave it the clock of a verifier without errors.

All cases drive along one direction, m = π⊙(p − ρ), so that what the draws add to the covariance is noise of the
speed: under REINFORCE $(1-1/G)\,c\,J(1-J)\,mm^\top$ exactly, and nothing across. Most of an update's noise is of
which patterns were drawn, and a baseline silences what a whole group has in common. An update should therefore
count for nearly all 8 rollouts, and with a baseline for more.

The paper is known by its abstract: its effective group size is read as that of the mean error of rollouts of one
kind.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import grpo, reinforce, rloo
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _verdicts
from qra_jax.studies.credit._verdicts import FPR, GROUP, TPR
from qra_jax.studies.lab import panels
from qra_jax.training import train

study = lab.Study(
    __name__, title="Correlated errors: what a verifier does to training that errs in whole groups"
)

COMMON, WEIGHTS = 0.53, [reinforce(group_size=GROUP), rloo(GROUP), grpo(GROUP)]
"""The correlation that is reported."""
THREE = {"ref": [1 / 3, 1 / 3, 1 / 3], "success": [0.95, 0.5, 0.05]}
SIZES, SPEED, ACCURACY = [8, 64, 512], {"RLOO": rloo, "GRPO": grpo}, np.round(np.linspace(0.02, 0.98, 25), 2)
LONG = 400
"""Steps of sampled runs with G = 64."""
LEVER = lab.Asked("Do errors enter through the rate of acceptance alone?", (papers.NOISE_CORRELATED,))
UPDATE = lab.Asked("Is the group that matters that of the mean error?", (papers.NOISE_CORRELATED,))


@study.experiment({"correlation": [0.0, COMMON]}, seeds=lab.scale(128, 512))
def errors(cell, key):
    """Variance of a group's mean verdict on right answers over that of one verdict, from 400 groups a member."""
    right = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 1.0])
    options = {"off_policy": OffPolicy(correlation=cell.correlation), "reward": verifiable(TPR, FPR)}
    path = train(key, right, steps=400, learning_rate=0.0, algorithm=reinforce(group_size=GROUP), **options)
    return {"variance": ((path.stats["reward"] - TPR) ** 2).mean() / (TPR * (1 - TPR))}


@study.experiment({"weights": WEIGHTS, "hard": [0.0, 1.0]}, seeds=lab.scale(512, 4096))
def updates(cell, key):
    """How many rollouts with independent errors an update on a random question counts for."""
    return {"size": _verdicts.counts_for(_verdicts.question(key, cell.hard), cell.weights, COMMON)}


@study.experiment()
def scatter(run: lab.Run) -> xr.Dataset:
    """Variance of sampled updates of three patterns along and across the drift, and as computed."""
    problem, members = Problem.from_probs(**THREE), run(lab.scale(20_000, 100_000))
    sides: Any = np.array([[1, 0, -1], [1, -2, 1]]) / np.sqrt([[2], [6]])
    noise = {"off_policy": OffPolicy(correlation=COMMON), "reward": verifiable(TPR, FPR)}
    options = {"steps": 1, "learning_rate": 1.0, "algorithm": WEIGHTS[0], **noise}
    step = jax.jit(jax.vmap(lambda key: train(key, problem, **options).log_policy))
    moved = np.diff(np.asarray(step(jax.random.split(run.key, members))), axis=1)[:, 0] @ sides.T
    mean, law = map(np.asarray, jax.jit(lambda: _verdicts.moments(problem, WEIGHTS[0], (COMMON, 0.0)))())
    square, law = (
        (moved - np.einsum("si,i->s", sides, mean[0])) ** 2,
        np.einsum("si,cij,sj->cs", sides, law, sides),
    )
    variables = {"square": (("side", "seed"), square.T), "law": (("correlation", "side"), law)}
    return lab.dataset(variables, {"side": ["along", "across"], "correlation": [COMMON, 0.0]})


@study.experiment()
def speeds(run: lab.Run) -> xr.Dataset:
    """Expected speed with errors in common over that with independent ones, of a right and a wrong pattern."""

    def one(accuracy, algorithm):
        problem = Problem(jnp.log(jnp.stack([accuracy, 1 - accuracy])), jnp.array([1.0, 0.0]))
        mean, _ = _verdicts.moments(problem, algorithm, (COMMON, 0.0))
        return mean[0, 0] / mean[1, 0]

    rules = [make(size) for make in SPEED.values() for size in SIZES]
    every = jax.jit(lambda x: [jax.vmap(lambda one_x, a=rule: one(one_x, a))(x) for rule in rules])
    found = np.reshape(every(jnp.asarray(ACCURACY)), (len(SPEED), len(SIZES), -1))
    coords = {"algorithm": list(SPEED), "size": SIZES, "accuracy": ACCURACY}
    return lab.dataset({"ratio": (tuple(coords), found)}, coords)


@study.experiment(
    {"algorithm": [make(64) for make in SPEED.values()], "correlation": [0.0, COMMON]},
    seeds=lab.scale(128, 1024),
)
def tails(cell, key):
    """log(1 − ρ) at the end of sampled runs on a right and a wrong pattern, 64 rollouts a step."""
    surely = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0])
    options = {"off_policy": OffPolicy(correlation=cell.correlation), "reward": verifiable(TPR, FPR)}
    options |= {"steps": LONG, "record_every": LONG, "learning_rate": 0.2}
    return {"rest": train(key, surely, algorithm=cell.algorithm, **options).log_policy[-1, 1]}


def _counts(data: lab.Data, correlation: float) -> lab.Evidence:
    variance = data.errors.variance.sel(correlation=correlation)
    size = lab.statistic("effective group size", lambda x: 1 / x.mean("seed", skipna=False), variance)
    return size.near(1.7, within=0.1)


@study.claim(
    "Errors of correlation .53 lower the effective group size to 1.7 of 8, as far as it is the mean error of "
    "rollouts of one kind that counts.",
    origin=papers.NOISE_CORRELATED,
)
def mean_error(data):
    return _counts(data, COMMON)


mean_error.null("independent errors")(lambda data: _counts(data, 0.0))


def _most(size: xr.DataArray) -> lab.Evidence:
    words = "members that count for 7 of 8 rollouts or more"
    return lab.share(words, lab.where_known(size >= 7, size), "seed").above(0.9)


@study.claim(
    "Errors of correlation .53 leave an update's signal over noise that of 7 or more of 8 rollouts, in 90 of 100 "
    "random questions, under REINFORCE, RLOO and GRPO.",
    origin=UPDATE,
)
def whole_update(data):
    return _most(data.updates["size"]).per("weights")


whole_update.null("the mean error of the same rollouts")(
    lambda data: _most(1 / data.errors.variance.sel(correlation=COMMON, drop=True))
)


def _scatters(data: lab.Data, *variances: xr.DataArray) -> lab.Evidence:
    square, parts = data.scatter.square, []
    for law in variances:
        ratio = square.sel(side=law.side.item(), drop=True) / law.item()
        parts.append(lab.mean(f"variance {law.side.item()} the drift over that computed", ratio))
    return lab.all_of(*(part.near(1.0, within=0.1) for part in parts))


@study.claim(
    "Under REINFORCE errors in common add (1 − 1/G) c J(1 − J) mmᵀ to an update's covariance: noise along the "
    "drift, none across.",
    origin=lab.Derived(cited=(papers.NOISE_CORRELATED,)),
)
def along(data):
    law = data.scatter.law
    return _scatters(data, law.sel(side="along", correlation=COMMON), law.sel(side="across", correlation=0.0))


@along.null("along the drift, the variance that independent errors give")
def _(data):
    return _scatters(data, data.scatter.law.sel(side="along", correlation=0.0))


def _changes(data: lab.Data, algorithm: str) -> lab.Evidence:
    ratio = abs(np.log(data.speeds.ratio.sel(algorithm=algorithm))).max("accuracy", skipna=False)
    return (
        lab.exact("|log(speed, errors in common ÷ independent)|, the largest", ratio).above(0.1).per("size")
    )


@study.claim(
    "At equal rates of acceptance, errors in common change GRPO's expected speed by a tenth or more somewhere between "
    "ρ = .02 and .98.",
    origin=LEVER,
)
def speed(data):
    return _changes(data, "GRPO")


speed.null("RLOO")(lambda data: _changes(data, "RLOO"))


def _ahead(data: lab.Data, algorithm: str) -> lab.Evidence:
    rest = data.tails.rest.sel(algorithm=algorithm)
    first, second = (rest.sel(correlation=c, drop=True) for c in (0.0, COMMON))
    return lab.difference("log of 1 − ρ: independent errors less errors in common", first, second).above(0.2)


@study.claim(
    f"Sampled runs of GRPO with 64 rollouts a step end nearer to ρ = 1 with errors in common, by a fifth of "
    f"1 − ρ or more after {LONG} steps.",
    origin=LEVER,
)
def ahead(data):
    return _ahead(data, "GRPO")


ahead.null("RLOO")(lambda data: _ahead(data, "RLOO"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Effective group sizes; expected speed against accuracy; ends of sampled runs."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1.2, 1.2, 1])
    title, y = "1.7 of 8 is the mean error's group, not the update's", "counts for so many of 8 rollouts"
    panels.frame(title, first, x="", y=y)
    sizes = data.updates["size"].median("seed").mean("hard")
    mean = 1 / data.errors.variance.sel(correlation=COMMON, drop=True).mean("seed")
    labels = ["mean error", *(f"update,\n{name}" for name in sizes.weights.values)]
    bars = xr.DataArray([float(mean), *sizes.values], {"kind": labels}, ["kind"])
    panels.bars(bars, first, x="kind", numbers="{:.1f}")
    panels.mark(GROUP, first, "8 independent", axis="y", at=0.02)
    title, y = "Errors in common change GRPO's speed, not RLOO's", "speed ÷ that of independent errors"
    panels.frame(title, second, x="accuracy ρ", y=y, xlim=(0, 1))
    names = {size: f"GRPO, G = {size}" for size in SIZES}
    panels.curves(data.speeds.ratio.sel(algorithm="GRPO"), second, x="accuracy", by="size", names=names)
    second.axhline(1.0, color=plot.MUTED, label="RLOO, any G")
    panels.legend(None, second, loc="upper center")
    title = "Sampled, G = 64: GRPO gets further"
    panels.frame(title, third, x="", y=f"1 − ρ after {LONG} steps", log="y")
    rest = np.exp(data.tails.rest).assign_coords(correlation=["independent", "in common"])
    panels.dots(rest, third, x="correlation", by="algorithm", over="seed", join=True)
    panels.legend(None, third, loc="center")
    return figure
