r"""Does dividing by the length of a response make wrong answers longer?

A response that stops after each token with probability s = σ(a) has length L ~ Geom(s) and ∂ log P/∂a = 1 − sL. If
the reward is independent of L, weights A_i ν(L_i) have the mean gradient

$$ E[A]\;E[\nu(L)(1-sL)],\qquad E[1-sL]=0,\qquad E\bigl[\tfrac{1-sL}{L}\bigr]
   = s\Bigl(\tfrac{-\ln s}{1-s}-1\Bigr) > 0 $$

(`theory.stop_drift`). A constant ν gives no drift whatever the weights. With ν = 1/L there should be none iff E[A] =
0 (centred weights); uncentred ones drift to shorter responses if E[A] > 0, to longer ones if E[A] < 0, for unit ± if
more than half are wrong. Where the stop may depend on whether the answer is wrong (a parameter for each class), 1/L
makes wrong answers longer for every rule that punishes them, centred or not. Samineni et al. report wrong answers
that grow.

The gradient is measured on groups of eight responses with mean length 20, for accuracies of .2, .5 and .8; sampled
training of the stop (128 groups a step, 200 steps, accuracy ½) shows what it comes to.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import Algorithm, filtered_sft, grpo
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__, title="Answer length: 1/|o| lengthens what is punished, if the stop can tell it from the rest"
)

GROUP, GROUPS, STEPS, STOP, SHARES = 8, 128, 200, 0.05, [0.2, 0.5, 0.8]
RULES = {
    "GRPO": grpo(GROUP),
    "± (unit weights)": filtered_sft("both", group_size=GROUP),
    "positives only": filtered_sft("positive", group_size=GROUP),
    "negatives only": filtered_sft("negative", group_size=GROUP),
}
NORMS = {"1/|o|": "length", "1/Σ|o|": "tokens", "constant": "constant"}
"""Factors of the gradient, and what the theory calls them."""
STOPS = {"own": "each class has its own stop", "shared": "one stop for all"}
DRIFT, GROWN = 0.1, 1.2
"""What matters: a tenth of the drift that weight one has; growth of a length by a fifth."""


def _table(rule: Algorithm) -> np.ndarray:
    """Weights of groups with k = 0 … G right rollouts, right ones first, `[G + 1, G]`."""
    return np.asarray(jax.jit(jax.vmap(rule.weights))(jnp.asarray(np.tri(GROUP + 1, GROUP, -1))))


def _weigh(table: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    k = rewards.sum(axis=-1, keepdims=True).astype(int)
    return np.where(rewards > 0, table[k, 0], table[k, -1])


def _normalised(lengths: np.ndarray, norm: str) -> Any:
    if norm == "1/Σ|o|":
        return GROUP / lengths.sum(axis=-1, keepdims=True)
    return 1.0 if norm == "constant" else 1 / lengths


@study.experiment()
def gradients(run: lab.Run) -> xr.Dataset:
    """Gradient of the stop logit in units of the norm's own drift: mean and error, of all and of wrong answers."""
    random, groups = np.random.default_rng(run.seed), run(lab.scale(60_000, 400_000))
    tables = [_table(rule) for rule in RULES.values()]
    units = {norm: float(theory.stop_drift(STOP, kind, group_size=GROUP)) for norm, kind in NORMS.items()}
    units["constant"] = units["1/|o|"]  # which has none of its own
    found = np.zeros((2, 2, len(SHARES), len(RULES), len(NORMS)))
    for i, accuracy in enumerate(SHARES):
        rewards = (random.random((groups, GROUP)) < accuracy).astype(float)
        lengths = random.geometric(STOP, rewards.shape)
        for (j, table), (m, norm) in ((a, b) for a in enumerate(tables) for b in enumerate(NORMS)):
            gradient = (
                _weigh(table, rewards) * _normalised(lengths, norm) * (1 - STOP * lengths) / units[norm]
            )
            for c, mask in enumerate([1.0, 1 - rewards]):
                each = (gradient * mask).mean(axis=1)
                found[:, c, i, j, m] = each.mean(), each.std(ddof=1) / np.sqrt(groups)
    shape = ("answers", "accuracy", "rule", "norm")
    coords = {"answers": ["all", "wrong"], "accuracy": SHARES, "rule": list(RULES), "norm": list(NORMS)}
    return lab.dataset({"mean": (shape, found[0]), "error": (shape, found[1])}, coords, mean_length=1 / STOP)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Mean lengths of wrong and right answers in sampled training at accuracy ½."""
    random, seeds, norms = np.random.default_rng(run.seed), run(lab.scale(6, 24)), ["1/|o|", "constant"]
    length = np.zeros((len(RULES), len(norms), len(STOPS), seeds, STEPS + 1, 2))
    for (j, rule), (m, norm), (s, stop) in _product(RULES.values(), norms, STOPS):
        table, logit = _table(rule), np.full((seeds, 2), np.log(STOP / (1 - STOP)))
        # The same scale for both norms: a constant is 1/L at the starting length.
        rate = 0.04 / float(theory.stop_drift(STOP, "length")) * (STOP if norm == "constant" else 1.0)
        for step in range(STEPS + 1):
            stops = 1 / (1 + np.exp(-logit))
            length[j, m, s, :, step] = 1 / stops
            rewards = (random.random((seeds, GROUPS, GROUP)) < 0.5).astype(float)
            own = np.where(rewards > 0, stops[:, 1, None, None], stops[:, 0, None, None])
            lengths = random.geometric(own)
            gradient = _weigh(table, rewards) * _normalised(lengths, norm) * (1 - own * lengths)
            both = np.stack([(gradient * part).mean(axis=(1, 2)) for part in (1 - rewards, rewards)], axis=1)
            logit = logit + rate * (both if stop == "own" else both.sum(axis=1, keepdims=True))
    shape = ("rule", "norm", "stop", "seed", "step", "answers")
    coords = {"rule": list(RULES), "norm": norms, "stop": list(STOPS), "answers": ["wrong", "right"]}
    return lab.dataset({"length": (shape, length)}, coords)


def _product(*axes: Any) -> Any:
    """Numbered elements of every combination."""
    return ((a, b, c) for a in enumerate(axes[0]) for b in enumerate(axes[1]) for c in enumerate(axes[2]))


def _drift(data: lab.Data, answers: str, **chosen: Any) -> lab.Estimate:
    found = data.gradients.sel(answers=answers, **chosen, drop=True)
    return lab.measured(
        f"gradient of the stop of {answers} answers over that for weight one", found["mean"], found.error
    )


@study.claim(
    "GRPO's centred weights, independent of length, have no drift in length under any of three norms, nor has any of "
    "four rules over a constant.",
    origin=lab.Derived("theory.stop_drift", (papers.RINO_3,)),
)
def still(data):
    centred = _drift(data, "all", rule="GRPO").near(0, within=DRIFT)
    return lab.all_of(centred, _drift(data, "all", norm="constant").near(0, within=DRIFT))


@still.null("weights that are not centred, divided by length")
def _(data):
    rules, norms = ["positives only", "negatives only"], list(NORMS)[:2]
    return _drift(data, "all", rule=rules, norm=norms).near(0, within=DRIFT)


def _drifts(data: lab.Data, norms: list[str]) -> lab.Evidence:
    up, down = (_drift(data, "all", norm=norms, rule=f"{name} only") for name in ("positives", "negatives"))
    both = {
        accuracy: _drift(data, "all", norm=norms, rule="± (unit weights)", accuracy=accuracy)
        for accuracy in SHARES
    }
    sides = both[0.2].below(-DRIFT), both[0.5].near(0, within=DRIFT), both[0.8].above(DRIFT)
    return lab.all_of(up.above(DRIFT), down.below(-DRIFT), *sides)


@study.claim(
    "Uncentred weights over |o| or Σ|o| drift: shorter for positives, longer for negatives, unit ± by the share of "
    "wrong ones.",
    origin=lab.Derived("theory.stop_drift", (papers.RINO_3,)),
)
def drifts(data):
    return _drifts(data, ["1/|o|", "1/Σ|o|"])


drifts.null("division by a constant")(lambda data: _drifts(data, ["constant"]))


def _grows(data: lab.Data, norm: str) -> lab.Evidence:
    length = data.runs.length.sel(rule="GRPO", norm=norm, answers="wrong", drop=True)
    words = "length of wrong answers in the end over that at the start"
    return lab.ratio(words, length.isel(step=-1), length.isel(step=0)).above(GROWN).per("stop")


@study.claim(
    "Under GRPO with division by |o| wrong answers become longer, by a fifth or more in 200 steps at accuracy ½.",
    origin=papers.RINO_3,
)
def grows(data):
    return _grows(data, "1/|o|")


grows.null("division by a constant")(lambda data: _grows(data, "constant"))


def _punished(data: lab.Data, norm: str) -> lab.Evidence:
    rules = [rule for rule in RULES if rule != "positives only"]
    return _drift(data, "wrong", norm=norm, rule=rules).below(-DRIFT).per("rule")


@study.claim(
    "Each of three rules that punish wrong answers pulls their stop down when divided by |o|.",
    origin=lab.Asked("The paper compares GRPO with filtered SFT.", (papers.RINO_3,)),
)
def punished(data):
    return _punished(data, "1/|o|")


punished.null("division by a constant")(lambda data: _punished(data, "constant"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Drift of the stop by rule and norm; lengths of wrong and right answers in training."""
    figure, (left, right) = plot.new((9.4, 3.8), ncols=2)
    title = "Only uncentred weights over |o| drift"
    panels.frame(title, left, x="accuracy ρ", y="gradient of the stop (below 0: longer)", xticks=SHARES)
    colors = dict(
        zip(
            RULES,
            [plot.color(n) for n in ("GRPO", "filtered SFT±", "filtered SFT⁺", "filtered SFT⁻")],
            strict=True,
        )
    )
    norms = _drift(data, "all", norm=["1/|o|", "constant"])
    panels.dots(norms, left, x="accuracy", by="rule", dash="norm", colors=colors, join=True)
    panels.mark(0.0, left, axis="y", dash="-")
    panels.legend(None, left, loc="lower right", fontsize=7, ncols=2)
    left.set_ylim(-1.25, 1)

    panels.frame("1/|o| lengthens what is punished", right, x="step", y="mean length", log="y", ylim=(1, 900))
    names = {"own": "own stop", "shared": "one stop"}
    for rule, norm, stop, answers, dash in (
        ("GRPO", "1/|o|", "own", "wrong", "-"),
        ("GRPO", "1/|o|", "own", "right", "--"),
        ("GRPO", "1/|o|", "shared", "wrong", ":"),
        ("negatives only", "1/|o|", "shared", "wrong", "-"),
        ("positives only", "1/|o|", "shared", "wrong", "-"),
        ("negatives only", "constant", "shared", "wrong", ":"),
    ):
        line = data.runs.length.sel(rule=rule, norm=norm, stop=stop, answers=answers).mean("seed")
        label = f"{rule}, {norm}, {names[stop]}" + (f": {answers}" if stop == "own" else "")
        right.plot(line, dash, color=colors[rule], label=label)
    panels.legend(None, right, loc="upper left", fontsize=7)
    return figure
