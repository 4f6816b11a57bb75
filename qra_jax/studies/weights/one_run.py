r"""One run seen by all measures of its weights, each beside its null.

"Rank one", "nearly full rank", "sparse", "off the principals", "on small weights" and "linear in the step" are said of
the weights of one kind of run, and sound as if they contradicted each other. They are statements of different
measures, and each has a value that has nothing to do with learning: that of a Gaussian update with the norm of every
matrix kept and rounded the same way, or of weights that walk at random.

What the nulls predict: a Gaussian update has full numerical rank, leaves the singular subspaces nearly as they are if
it is short, and changes mostly small weights in bfloat16, as it takes less to change these; of a random walk four
fifths of the energy over steps lie on one direction (8/π²), and about a quarter of the weights is straight. Only what
exceeds that is due to what was learnt. Some of these numbers are small, some near one: a measure is compared with its
null by their *ratio*.

The experiment: reference runs of GRPO with Adam and of SFT, at their ends and along all of their checkpoints; means
over the matrices of attention and perceptrons. In these small decoders updates are a tenth of the weights, so that all
weights change in any format, and singular subspaces turn far: where length matters, updates and their nulls are
brought to .0015 of the weights, as is usual of language models.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _twins
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, pairs, reference
from qra_jax.transformer import weights
from qra_jax.transformer.weights import angles, linearity, masks, spectra

study = lab.Study(__name__, title="One run, all measures of its weights, each beside its null")

GRPO, SFT = "GRPO, Adam", "SFT"
ARMS, SAME = (GRPO, SFT), 0.1
"""Difference that does not matter, as a share of the null."""
DRAWN = 24
"""Gaussian updates of which a null is the mean: of small numbers a few say little."""
HALF, QUARTER = 0.5, 0.25
"""Density of the masks; share of the singular directions that count as principal."""
RANK = "numerical rank ÷ full rank"
OF_UPDATE = (
    "norm on the first direction",
    RANK,
    "weights that change in bfloat16",
    "changed weights that are small",
    "changed weights that are principal",
    "energy in principal directions",
    "turn of principal directions",
    "drift of singular values",
)
OF_PATH = ("weights straight in the step", "energy over steps on one direction")
MEASURES = (*OF_UPDATE, *OF_PATH)
JUDGED = tuple(name for name in MEASURES if name != RANK)
"""Those that can be as in noise or not: the rank is full for every base and its null, without any scatter."""
CHANGED = (
    "weights that change in bfloat16",
    "changed weights that are small",
    "changed weights that are principal",
)
BEYOND = ("norm on the first direction", *OF_PATH)
"""Measures that are as in noise and those above it, by a first look at some runs. The others scatter too much from
base to base in quick: they are drawn, and no claim is made of them."""


def _of_update(delta: jax.Array, before: jax.Array) -> jax.Array:
    """`[measure]`, of one matrix."""
    side, moved = min(before.shape), _twins.moved(before, delta)
    near = before + delta * (_twins.SHORT * _twins.norms(before) / _twins.norms(delta))
    turned = jnp.stack(angles.principal_angles(before, near, side // 4))
    return jnp.stack(
        [
            spectra.top_share(delta),
            spectra.numerical_rank(delta) / side,
            masks.density(moved),
            masks.overlap(moved, masks.low_magnitude(before, HALF)).value,
            masks.overlap(moved, masks.principal(before, QUARTER, HALF)).value,
            angles.principal_energy(before, delta, side // 4).both,
            jnp.sqrt(jnp.mean(jnp.sin(turned) ** 2)),
            angles.spectral_drift(before, near),
        ]
    )


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Measures of the run, of its null, a mean of many updates, and of its null drawn again."""
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses = reference(run, task, ARMS, size)
        step = jnp.asarray(courses[GRPO].step, jnp.float32)

        def read(key: jax.Array, base: Any, path: Any, step: Any = step) -> dict[str, jax.Array]:
            tuned = jax.tree.map(lambda leaf: leaf[-1], path)
            before, keys = weights.parts.select(base), jax.random.split(key, 2 * DRAWN)
            noise = jax.vmap(lambda own: weights.twin.gaussian(own, base, tuned))(keys)
            ends = jax.tree.map(lambda now, drawn: jnp.concatenate([now[None], drawn]), tuned, noise)
            found = [
                _twins.singly(_of_update, moved - before[name][None], before[name])
                for name, moved in weights.parts.select(ends).items()
            ]
            every = _twins.averaged(found)
            means = [every[0], *(jnp.mean(every[i : i + DRAWN], axis=0) for i in (1, 1 + DRAWN))]
            seen = [linearity.measures(path, step, step)]
            for i in (2, 3):
                seen.append(linearity.nulls(jax.random.fold_in(key, i), path, step, step)["random walk"])
            rows = [
                jnp.append(of, jnp.stack([way.share, way.energy]))
                for of, way in zip(means, seen, strict=True)
            ]
            return dict(zip(("run", "null", "again"), rows, strict=True))

        found = pairs(read, run.key, bases(run, task, size), {a: c.params for a, c in courses.items()})
        values = {name: (("arm", "seed", "measure"), x) for name, x in found.items()}
        parts[task] = lab.dataset(values, {"arm": list(courses), "measure": list(MEASURES)})
    return joined(parts)


def _over_null(runs: xr.Dataset, name: str = "run") -> lab.Estimate:
    return lab.ratio("measure ÷ that of its null", runs[name], runs.null)


def _same(data: lab.Data, names: tuple[str, ...], name: str = "run") -> lab.Evidence:
    over = _over_null(data.runs.sel(measure=list(names)), name)
    return over.near(1.0, within=SAME).per("task", "arm", "measure")


def _more(data: lab.Data, name: str = "run") -> lab.Evidence:
    over = _over_null(data.runs.sel(measure=list(BEYOND)), name)
    return over.above(1 + SAME).per("task", "arm", "measure")


@study.claim(
    "In these small decoders the shares of weights that change in bfloat16 by GRPO with Adam and by SFT, and of small "
    "and principal ones (the first quarter of the singular directions) among them, are those of a Gaussian update, "
    "within a tenth.",
    origin=lab.Asked(
        "A number that noise of that size has, too, says nothing of learning.", (papers.GEO_1, papers.GEO_2)
    ),
)
def as_noise(data):
    return _same(data, CHANGED)


@as_noise.null("norm on the first direction, straight weights, energy over steps")
def _(data):
    return _same(data, BEYOND)


@as_noise.positive("the null drawn again")
def _(data):
    return _same(data, CHANGED, "again")


@study.claim(
    "In these small decoders the share of the norm on the first direction exceeds that of a Gaussian update, and the "
    "shares of straight weights and of energy over steps on one direction those of random walks, by a tenth, with "
    "GRPO and Adam and with SFT.",
    origin=lab.Asked("Only what exceeds noise may come from learning.", (papers.A_1_SHARE, papers.LINEAR)),
)
def beyond_noise(data):
    return _more(data)


@beyond_noise.null("the null drawn again")
def _(data):
    return _more(data, "again")


def _apart(data: lab.Data, name: str = "run") -> lab.Evidence:
    seen = data.runs[name].sel(measure=[*CHANGED, *BEYOND])
    first, second = (seen.sel(arm=arm, drop=True) for arm in ARMS)
    words = "measure of GRPO ÷ that of SFT"
    return lab.ratio(words, first, second).near(1.0, within=SAME).per("task", "measure")


@study.claim(
    "In these small decoders GRPO and SFT with Adam, each at its best rate, have the same measures, within a tenth: of "
    "weights that change, of the norm on the first direction, and of paths.",
    origin=lab.Asked(
        "The measures are said to tell RL from supervised training.",
        (papers.A_1_SHARE, papers.GEO_1, papers.GEO_2, papers.LINEAR),
    ),
    needs_no_control="a difference that is absent is what it claims; the null of both is the positive control",
)
def alike(data):
    return _apart(data)


@alike.positive("the nulls of both")
def _(data):
    return _apart(data, "null")


@study.figure
def draw(data: lab.Data) -> Figure:
    """All measures of GRPO's and of SFT's weights over those of noise of the same size."""
    tasks = data.runs.task.values
    figure, axes = plot.new((5.2 * len(tasks) + 3.4, 4.6), ncols=len(tasks), squeeze=False)
    shades = {"GRPO": plot.BEST, "SFT": plot.RIVAL}
    for task, ax in zip(tasks, np.ravel(axes), strict=True):
        runs = data.runs.sel(task=task, drop=True)
        rows = {
            name: _over_null(runs.sel(arm=arm, drop=True)) for name, arm in zip(shades, ARMS, strict=True)
        }
        inside = rows["GRPO"].near(1.0, within=SAME).outcome(0.05).sel(measure=list(JUDGED))
        title = f"GRPO: {int((inside > 0).sum())} of {len(JUDGED)} measures as in noise ({task})"
        words = "measure ÷ that of noise of the same size; shaded: within .1\n"
        words += f"rank not counted; principal: first {panels.plain(QUARTER)} of the singular directions"
        panels.frame(title, ax, x=words, y="", log="x", xticks=[0.3, 0.5, 0.75, 1, 1.5, 2, 3])
        means = runs[["run", "null"]].sel(arm=GRPO).mean("seed")
        told = {
            name: [f"{float(means[x].sel(measure=name)):.2g}" for x in ("run", "null")] for name in MEASURES
        }
        names = {name: f"{name}: {own}, noise {null}" for name, (own, null) in told.items()}
        region = 1 - SAME, 1 + SAME
        panels.forest(
            lab.stacked("of", rows), ax, by="of", expected=1, region=region, colors=shades, names=names
        )
    panels.legend(None, np.ravel(axes)[-1], place="below", ncols=2)
    return figure
