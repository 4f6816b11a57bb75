r"""One run seen by all measures of its weights, each beside its null.

"Rank one", "nearly full rank", "sparse", "off the principals", "on small weights" and "linear in the step" are said of
the weights of one kind of run, and sound as if they contradicted each other. They are statements of different
measures, and each has a value that has nothing to do with learning: that of a Gaussian update with the norm of every
matrix kept and rounded the same way, or of weights that walk at random.

What the nulls predict: a Gaussian update has full numerical rank, leaves the singular subspaces nearly as they are if
it is short, and changes mostly small weights in bfloat16, as it takes less to change these; of a random walk four
fifths of the energy over steps lie on one direction (8/π²), and about a quarter of the weights is straight. Only what
exceeds that is due to what was learnt.

The experiment: reference runs of GRPO with Adam and of SFT, at their ends and along all of their checkpoints; means
over the matrices of attention and perceptrons. In these small networks updates are a tenth of the weights, so that all
weights change in any format: for what is said of bfloat16 updates and their nulls are brought to .0015 of the weights.
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

ARMS, SAME = ("GRPO, Adam", "SFT"), 0.1
HALF, QUARTER = 0.5, 0.25
"""Density of the masks; share of the singular directions that count as principal."""
OF_UPDATE = (
    "norm on the first direction",
    "numerical rank ÷ full rank",
    "weights the same in bfloat16",
    "changed weights that are small",
    "changed weights that are principal",
    "energy in principal directions",
    "principal directions kept",
)
OF_PATH = ("weights straight in the step", "energy over steps on one direction")
MEASURES = (*OF_UPDATE, *OF_PATH)
JUDGED = tuple(name for name in MEASURES if not name.startswith("numerical rank"))
"""The numerical rank is full for every base and its null, without any scatter: it is drawn and not judged."""


def _of_update(base: Any, tuned: Any) -> jax.Array:
    """`[measure]`, means over matrices."""

    def one(before: jax.Array, now: jax.Array) -> jax.Array:
        delta, side = now - before, min(before.shape)
        moved, k = _twins.moved(before, delta), side // 4
        return jnp.stack(
            [
                spectra.top_share(delta),
                spectra.numerical_rank(delta) / side,
                1 - masks.density(moved),
                masks.overlap(moved, masks.low_magnitude(before, HALF)).value,
                masks.overlap(moved, masks.principal(before, QUARTER, HALF)).value,
                angles.principal_energy(before, delta, k).both,
                angles.rotation(angles.principal_angles(before, now, k), *before.shape).both,
            ]
        )

    both = zip(*(weights.parts.select(params).values() for params in (base, tuned)), strict=True)
    return jnp.mean(jnp.stack([one(*pair) for pair in both]), axis=0)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Measures of the run, of its null, and of its null drawn again."""
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses = reference(run, task, ARMS, size)
        step = jnp.asarray(courses[ARMS[0]].step, jnp.float32)

        def read(key: jax.Array, base: Any, path: Any, step: Any = step) -> dict[str, jax.Array]:
            tuned = jax.tree.map(lambda leaf: leaf[-1], path)
            twins = [weights.twin.gaussian(jax.random.fold_in(key, i), base, tuned) for i in range(2)]
            seen = {"run": linearity.measures(path, step, step)}
            for i, name in enumerate(("null", "again")):
                seen[name] = linearity.nulls(jax.random.fold_in(key, 2 + i), path, step, step)["random walk"]
            ends = zip(seen, (tuned, *twins), strict=True)
            return {
                name: jnp.concatenate(
                    [_of_update(base, end), jnp.stack([seen[name].share, seen[name].energy])]
                )
                for name, end in ends
            }

        found = pairs(read, run.key, bases(run, task, size), {a: c.params for a, c in courses.items()})
        values = {name: (("arm", "seed", "measure"), x) for name, x in found.items()}
        parts[task] = lab.dataset(values, {"arm": list(courses), "measure": list(MEASURES)})
    return joined(parts)


def _as_null(data: lab.Data, arm: str, name: str = "run") -> lab.Evidence:
    runs = data.runs.sel(arm=arm, measure=list(JUDGED))
    words = "measure less that of its null"
    return lab.difference(words, runs[name], runs.null).near(0.0, within=SAME).per("task", "measure")


WHY = (papers.A_1_SHARE, papers.GEO_1, papers.GEO_2, papers.LINEAR)


@study.claim(
    "What is measured of the weights that GRPO with Adam trains is what their null gives, within a tenth.",
    origin=lab.Asked("A number that noise of that size has, too, says nothing of learning.", WHY),
    needs_no_control="it is itself the comparison with the null",
)
def reinforced(data):
    return _as_null(data, "GRPO, Adam")


@reinforced.positive("the null drawn again")
def _(data):
    return _as_null(data, "GRPO, Adam", "again")


@study.claim(
    "What is measured of the weights that SFT trains is what their null gives, within a tenth.",
    origin=lab.Asked("The same of supervised training.", WHY),
    needs_no_control="it is itself the comparison with the null",
)
def supervised(data):
    return _as_null(data, "SFT")


@supervised.positive("the null drawn again")
def _(data):
    return _as_null(data, "SFT", "again")


def _apart(data: lab.Data, name: str = "run") -> lab.Evidence:
    seen = data.runs[name].sel(measure=list(JUDGED))
    first, second = (seen.sel(arm=arm, drop=True) for arm in ARMS)
    return (
        lab.difference("measure of GRPO less that of SFT", first, second)
        .near(0.0, within=SAME)
        .per("task", "measure")
    )


@study.claim(
    "GRPO with Adam and SFT with Adam, each at its best rate, have the same measures, within a tenth.",
    origin=lab.Asked("The measures are said to tell RL from supervised training.", WHY),
    needs_no_control="a difference that is absent is what it claims; the null of both is the positive control",
)
def alike(data):
    return _apart(data)


@alike.positive("the nulls of both")
def _(data):
    return _apart(data, "null")


@study.figure
def draw(data: lab.Data) -> Figure:
    """All measures of the run, and of its null, on one scale."""
    tasks = data.runs.task.values
    figure, axes = plot.new((5.6 * len(tasks) + 2.0, 4.2), ncols=len(tasks), squeeze=False)
    look = {("run", "GRPO, Adam"): plot.BEST, ("run", "SFT"): plot.RIVAL, ("null", "GRPO, Adam"): plot.MUTED}
    names = ("GRPO", "SFT", "null of GRPO's update")
    for task, ax in zip(tasks, np.ravel(axes), strict=True):
        runs = data.runs.sel(task=task)
        rows = xr.concat([runs[kind].sel(arm=arm, drop=True) for kind, arm in look], "of")
        rows = rows.assign_coords(of=list(names)).transpose("measure", "of", "seed")
        far = abs(runs.run - runs.null).sel(arm="GRPO, Adam").mean("seed") > SAME
        title = f"{task}: {int(far.sum())} of {len(MEASURES)} measures are more than a tenth from their null"
        panels.frame(title, ax, x="", y="", xlim=(-0.03, 1.03))
        shades = dict(zip(names, look.values(), strict=True))
        panels.forest(rows, ax, by="of", over="seed", expected=None, colors=shades)
    panels.legend(None, np.ravel(axes)[-1], place="below", ncols=3)
    return figure
