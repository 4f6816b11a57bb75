r"""Is accuracy a function of entropy in the course of training?

R = −a e^H + b is said to tie accuracy and entropy in runs without intervention on entropy, so that the end of a run can
be foretold from its entropy. On one question the orbit of this package's theory is a curve (H, R) of another form: the
law could only come about in averages over many questions.

The experiment: expected GRPO, G = 8, on random questions with ten patterns, of four kinds: uniform success rates; right
or wrong; two levels of success; and a base model that is four times as sharp. The law is put beside a straight line in
H, with as many constants; to averages over all questions of a kind, and to single ones; and fitted to the first half of
the gain, to foretell the end.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, random
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.training import measure

study = lab.Study(
    __name__, title="Entropy law: how well e^H follows accuracy, on average and on single questions"
)

KINDS, GOOD = ("uniform success rates", "right or wrong", "two levels", "sharp base model"), 0.9
"""Kinds of questions; R² from which the law ties."""


def _question(kind: str, key: jax.Array) -> Problem:
    base: Problem = random(key, 10)
    if kind == "right or wrong":
        right = (base.success < 0.3).at[0].set(True).at[1].set(False)
        return Problem(base.log_ref, jnp.where(right, 1.0, 0.0))
    if kind == "two levels":
        return Problem(base.log_ref, jnp.where(base.success < 0.5, 0.2, 0.8))
    sharp = kind == "sharp base model"
    return Problem(jax.nn.log_softmax(4 * base.log_ref), base.success) if sharp else base


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Entropy and accuracy of expected training, at a hundred times."""
    count, dims = run(lab.scale(96, 400)), ["record"]
    keys = jax.random.split(run.key, count)
    drawn = [jax.vmap(partial(_question, kind))(keys) for kind in KINDS]
    log_ref, success = (jnp.stack([getattr(each, name) for each in drawn]) for name in ("log_ref", "success"))

    def one(cell):
        problem = Problem(log_ref[cell.kind, cell.question], success[cell.kind, cell.question])
        options = {"steps": 800, "learning_rate": 1.0, "mode": "mean", "record_every": 8}
        return measure(("entropy", "accuracy"), run.key, problem, algorithm=grpo(8), **options).values

    axes = {"kind": range(len(KINDS)), "question": range(count)}
    return lab.cells(one, axes=axes, dims={"entropy": dims, "accuracy": dims}).assign_coords(kind=list(KINDS))


def _r2(x: Any, y: Any) -> Any:
    """R² of a straight line that falls; minus that of one that rises, for the law has R = b − a x with a > 0."""
    x, y = x - x.mean("record", skipna=False), y - y.mean("record", skipna=False)
    both = (x * y).sum("record", skipna=False)
    return -both * abs(both) / ((x**2).sum("record", skipna=False) * (y**2).sum("record", skipna=False))


def _averages(data: lab.Data, accuracy: xr.DataArray, line: bool = False) -> lab.Estimate:
    """Signed R² of the law on averages over questions; or by how much it is above that of a line in H."""

    def law(h: Any, r: Any) -> Any:
        h, r = h.mean("question", skipna=False), r.mean("question", skipna=False)
        return _r2(np.exp(h), r) - (_r2(h, r) if line else 0.0)

    words = "R² of the law (a > 0), averages" + " − that of a line in H" * line
    return lab.statistic(words, law, data.runs.entropy, accuracy, over="question", together=True)


def _next(values: xr.DataArray, dim: str) -> xr.DataArray:
    """The courses of the next kind, or of the next question."""
    return values.roll({dim: 1}, roll_coords=False)


WHY = lab.Asked("A tie of averages need not have this form, nor hold on any question.", (papers.ENTROPY_LAW,))
OTHER = "entropies with the accuracies of another kind of questions"


@study.claim(
    "Averaged over questions of a kind, accuracy and entropy are tied by R = −a e^H + b, a > 0: R² > .9.",
    origin=papers.ENTROPY_LAW,
)
def averages(data):
    return _averages(data, data.runs.accuracy).above(GOOD).per("kind")


@averages.null(OTHER)
def _(data):
    return _averages(data, _next(data.runs.accuracy, "kind")).above(GOOD).per("kind")


@study.claim("The law fits averages better than a straight line in H, by .01 in R² or more.", origin=WHY)
def form(data):
    return _averages(data, data.runs.accuracy, line=True).above(0.01).per("kind")


@form.null("accuracies that are straight in H")
def _(data):
    return _averages(data, 1 - data.runs.entropy / 10, line=True).above(0.01).per("kind")


def _single(entropy: xr.DataArray, accuracy: xr.DataArray) -> lab.Evidence:
    spread: Any = accuracy.std("record", skipna=False) * entropy.std("record", skipna=False)
    good = (_r2(np.exp(entropy), accuracy) > GOOD).where(spread.notnull())

    def one(kind: str) -> lab.Estimate:
        moves = ~(spread.sel(kind=kind).values < 1e-9)
        return lab.share("questions with R² > .9 and a > 0", good.sel(kind=kind)[moves])

    rows = {kind: one(kind) for kind in KINDS}
    return lab.stacked("kind", rows).above(GOOD).per("kind")


@study.claim("The law holds on nine of ten single questions, too.", origin=WHY)
def single(data):
    return _single(data.runs.entropy, data.runs.accuracy)


@single.null("entropies with the accuracies of another question of the kind")
def _(data):
    return _single(data.runs.entropy, _next(data.runs.accuracy, "question"))


@single.positive("accuracies that obey the law")
def _(data):
    return _single(data.runs.entropy, 1 - np.exp(data.runs.entropy) / 10)


def _ends(h: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Error of the end, as a share of the gain, of a line through the first half of the gain."""
    first, last, places = r[..., :1], r[..., -1:], np.arange(r.shape[-1])
    late = r.shape[-1] - 1 - np.argmax((r <= (first + last) / 2)[..., ::-1], axis=-1)
    weight = 1.0 * (places <= np.maximum(late, 2)[..., None])
    h0, r0 = ((weight * x).sum(axis=-1, keepdims=True) / weight.sum(axis=-1, keepdims=True) for x in (h, r))
    slope = (weight * (h - h0) * (r - r0)).sum(axis=-1) / (weight * (h - h0) ** 2).sum(axis=-1)
    return ((r0 - last)[..., 0] + slope * (h[..., -1] - h0[..., 0])) / (last - first)[..., 0]


def _foretold(data: lab.Data, of: Callable[[Any], Any], exact: bool = False) -> lab.Estimate:
    def error(h: Any, r: Any) -> xr.DataArray:
        h, r = of(h.mean("question", skipna=False)), r.mean("question", skipna=False)
        return xr.apply_ufunc(_ends, h, r, input_core_dims=[["record"]] * 2)

    h, r = data.runs.entropy, data.runs.accuracy
    if exact:
        h = h.mean("question").broadcast_like(h)
        r = 1 - np.exp(h) / 10
    return lab.statistic("error of the end ÷ gain", error, h, r, over="question", together=True)


@study.claim(
    "The law, fitted to the first half of the gain, foretells the end within a tenth of it.",
    origin=papers.ENTROPY_CEILING,
)
def ceiling(data):
    return _foretold(data, np.exp).near(0.0, within=0.1).per("kind")


@ceiling.null("a straight line in H")
def _(data):
    return _foretold(data, lambda h: h).near(0.0, within=0.1).per("kind")


@ceiling.positive("accuracies that obey the law")
def _(data):
    return _foretold(data, np.exp, exact=True).near(0.0, within=0.1).per("kind")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy against e^H, averages; R² of single questions; the end as foretold."""
    figure, (first, second, third) = plot.new((10.6, 3.7), ncols=3)
    h, r = data.runs.entropy.mean("question"), data.runs.accuracy.mean("question")
    tie, colors = _averages(data, data.runs.accuracy).value, dict(zip(KINDS, plot.CYCLE, strict=False))
    unlike = _averages(data, _next(data.runs.accuracy, "kind")).value
    ends = [f"{float(x.min()):.2f} … {float(x.max()):.2f}" for x in (tie, unlike)]
    title = f"Averages in e^H: R² {ends[0]}; entropy and accuracy of unlike kinds: {ends[1]}"
    panels.frame(title, first, x="exp(mean entropy)", y="mean accuracy", ylim=(0.3, 1.3))
    for kind, color in colors.items():
        x, y = np.exp(h.sel(kind=kind).values), r.sel(kind=kind).values
        slope, height = np.polyfit(x, y, 1)
        first.plot(
            x, y, "o", color=color, markersize=3.5, label=f"{kind}, R² = {float(tie.sel(kind=kind)):.3f}"
        )
        first.plot(x[[0, -1]], height + slope * x[[0, -1]], color=color, linewidth=0.9)
    panels.legend(None, first, loc="upper right")
    own = _r2(np.exp(data.runs.entropy), data.runs.accuracy)
    shares = (own > GOOD).mean("question")
    title = f"Single questions: {float(shares.min()):.0%} to {float(shares.max()):.0%} with R² > .9"
    panels.frame(title, second, x="R² of the law", y="share of questions with less", xlim=(0, 1), ylim=(0, 1))
    panels.survival(own, second, of="question", rising=True, until=1.0, by="kind", colors=colors)
    errors = {
        "law": _foretold(data, np.exp),
        "line in H": _foretold(data, lambda h: h),
    }
    title = f"From the first half the end is missed by up to {float(abs(errors['law'].value).max()):.0%}"
    panels.frame(title, third, x="error of the end ÷ gain", y="")
    shades = {"law": plot.BEST, "line in H": plot.MUTED}
    panels.forest(lab.stacked("fit", errors), third, by="fit", colors=shades, region=(-0.1, 0.1))
    panels.legend(None, third)
    return figure
