r"""Are the circuits of a network stronger and more diverse after reinforcement, and is it more than confidence?

The claim: with an edge from the output O of one part of the network to the input H of a later one taken as
I = −⟨∇_H L, O⟩, L the negative log-likelihood of the network's own text, the mean of |I| and the entropy of its
histogram rise after RL, and its kurtosis falls; after DPO they do not.

What theory says. ∇L starts at the logits as (π − 1_o)/T. On the network's own text 𝔼‖π − 1_o‖² = 1 − ‖π‖²: any
training that makes it sure shrinks all edges. On text that others wrote it grows with confidence: whoever is surer
finds more of it unlikely. Prediction: weaker edges on own text, after RL and after DPO; stronger ones on the base's
text, and the same of a base whose unembedding is merely louder; little at equal token entropy, which a temperature
gives. Bins of the histogram are equal in log |I|, and kurtosis knows no scale: both stay.

What is read: at depth 1 (quick) embedding → attention, → perceptron and → output, attention → perceptron and → output,
and perceptron → output; at depth 2 (full) fifteen such edges. Each part reads through a norm that takes no notice of
scale, so that edges into one reader sum to zero: the first is always zero, and of six only three are free. Kurtosis
and entropy of so few numbers are coarse. They are of one sequence each, averaged over sequences.

The experiment: reference runs of the same base networks, at the end and where they have half of the gain of GRPO with
Adam. Base and tuned network write with the same random numbers. Beside the tuned one stand the base with a Gaussian
update of the same norms (twin), on text drawn anew, on random tokens (which it finds unlikely: edges must be stronger),
and with nothing written by attention and perceptrons (edges are nil: less diverse). All is in nats: logarithms of mean
size and of kurtosis, and entropy.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, transformer as tf
from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _circuit_panels as drawn
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, model_of, pairs, reference, task_of
from qra_jax.studies.weights._twins import END, GRPO, ends, judged
from qra_jax.transformer import circuits
from qra_jax.transformer.model import Params
from qra_jax.transformer.sampling import PAD, Rollouts

study = lab.Study(
    __name__, title="Circuits: are edges stronger and more diverse after RL, beyond confidence?"
)

OFFLINE = "DPO, offline"
ARMS = ("GRPO, SGD", GRPO, "SFT", OFFLINE, "DPO, iterated")
QUESTIONS, GROUP = lab.scale(15, 30), 8
"""Questions, and sequences of each."""
STRENGTH, DIVERSITY, EVENNESS = "strength", "diversity", "evenness"
MEASURES = (STRENGTH, DIVERSITY, EVENNESS)
"""Logarithm of the mean of |I|; entropy of its histogram; minus the logarithm of its kurtosis."""
MATTERS = 0.1
"""The least rise that counts, in nats: of strength, what dividing the logits by 1.1 takes in the factor 1/T alone."""
TUNED, SAME_TEXT, THEIR_TEXT = "tuned", "tuned, base's text", "base, tuned's text"
COOLED, LOUDER, TWIN = "tuned, base's entropy", "base, louder", "twin"
AGAIN, NOISE, MUTE = "base, text drawn anew", "base, random tokens", "base, mute"


def mute(params: Params) -> Params:
    """The same network, whose attention and perceptrons write nothing."""
    nothing = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
    return {
        name: nothing(part)
        if name.startswith("out_")
        else part | ({"out": nothing(part["out"])} if name.startswith("attention_") else {})
        for name, part in params.items()
    }


def stacked(*trees: Any) -> Any:
    """Trees as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _reader(
    name: str, size: Any, number: int, seed: int
) -> Callable[[jax.Array, Params, Params], dict[str, Any]]:
    """Reads `{network: [measure]}` of a base network and of what became of it."""
    task, model = task_of(name), model_of(name, size)
    shape = number, GROUP, task.length
    tokens = np.random.default_rng(seed).integers(1, task.vocabulary, shape).astype(np.int32)

    def read(key: jax.Array, base: Params, tuned: Params) -> dict[str, jax.Array]:
        keys = jax.random.split(key, 5)
        asked = task.draw(keys[0], number)

        def write(writer: Any) -> Rollouts:
            key, params = writer
            return tf.sample(key, model, params, asked, group=GROUP, length=task.length, end=task.end)

        texts = jax.lax.map(write, stacked((keys[1], base), (keys[2], base), (keys[1], tuned)))
        first, anew, second = (jax.tree.map(lambda x, i=i: x[i], texts) for i in range(3))
        noise = replace(first, tokens=jnp.where(first.where, tokens, PAD))

        def compare(side: Any) -> dict[str, circuits.Summary]:
            key, other, texts = side
            return circuits.compared(key, model, base, other, asked, texts)

        sides = (keys[3], tuned, (first, second)), (keys[4], mute(base), (anew, noise))
        both = jax.lax.map(compare, stacked(*sides))  # a single program for all edges
        seen = {
            name: jnp.stack([jnp.log(s.intensity), s.diversity, -jnp.log(s.kurtosis), s.entropy], axis=-1)
            for name, s in both.items()
        }
        beside = {AGAIN: "base", NOISE: THEIR_TEXT, MUTE: TUNED}
        return {name: x[0] for name, x in seen.items()} | {name: seen[x][1] for name, x in beside.items()}

    return read


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Edges of every base network and of what became of it, and of the nulls."""
    size, parts = run(SIZE), {}
    for name in run(TASKS):
        courses = reference(run, name, ARMS, size)
        tuned, apart = ends(courses)
        every = {f"{at}: {arm}": params for at, arms in tuned.items() for arm, params in arms.items()}
        reader = _reader(name, size, run(QUESTIONS), run.seed)
        found = pairs(reader, run.key, bases(run, name, size), every)
        seen = np.stack(list(found.values()))
        seen = seen.reshape(len(found), len(tuned), len(courses), *seen.shape[2:])
        values = {
            "seen": (("network", "at", "arm", "seed", "measure"), seen),
            "apart": (("arm", "seed"), apart),
        }
        axes = {"network": list(found), "at": list(tuned), "arm": list(courses)}
        parts[name] = lab.dataset(values, axes | {"measure": [*MEASURES, "token entropy"]})
    return joined(parts)


def _rise(
    data: lab.Data, arm: str, network: str, measures: Any = MEASURES, against: str = "base"
) -> lab.Estimate:
    seen = data.runs.seen.sel(at=END, arm=arm, measure=list(measures), drop=True)
    both = (seen.sel(network=name, drop=True) for name in (network, against))
    return lab.difference(f"rise from “{against}” to “{network}” ({arm}, in nats)", *both)


def _up(data: lab.Data, *what: Any) -> lab.Evidence:
    return _rise(data, *what).above(MATTERS).per("task", "measure")


def _not_up(data: lab.Data, *what: Any) -> lab.Evidence:
    return _rise(data, *what).below(MATTERS).per("task", "measure")


WHY = (papers.CIRCUITS,)
FOR_SURE = {
    "random tokens, all of them unlikely": (GRPO, NOISE, (STRENGTH,)),
}

judged(
    study,
    "stronger",
    "After GRPO with Adam edges are stronger, by a tenth of a nat in the mean size, each network on its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (STRENGTH,)),
    null={"a Gaussian update of the same norms": (GRPO, TWIN, (STRENGTH,))},
    positive=FOR_SURE,
)
judged(
    study,
    "diverse",
    "After GRPO with Adam edges are more diverse, by a tenth of a nat in entropy, each network on its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (DIVERSITY,)),
    null={"a Gaussian update of the same norms": (GRPO, TWIN, (DIVERSITY,))},
    positive={"as it is, from mute": (GRPO, "base", (DIVERSITY,), MUTE)},
)
judged(
    study,
    "even",
    "After GRPO with Adam the kurtosis of edges is less, by a tenth of a nat, each network on its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (EVENNESS,)),
    null={"a Gaussian update of the same norms": (GRPO, TWIN, (EVENNESS,))},
)
judged(
    study,
    "preferred",
    "After offline DPO strength, diversity and evenness are not up by a tenth of a nat, each network on its own text.",
    papers.CIRCUITS,
    _not_up,
    *(OFFLINE, TUNED),
    null={"random tokens, where edges are stronger": (OFFLINE, NOISE, (STRENGTH,))},
    positive={"the base, on text drawn anew": (OFFLINE, AGAIN)},
)
judged(
    study,
    "matched",
    "At the temperature that gives it the token entropy of the base, the network that GRPO trained has edges that are "
    "up by a tenth of a nat in strength, diversity and evenness.",
    lab.Asked("Edges shrink where a network is sure of its text: what is left without that?", WHY),
    _up,
    *(GRPO, COOLED),
    null={"the base, on text drawn anew": (GRPO, AGAIN)},
    positive=FOR_SURE,
)
judged(
    study,
    "same-text",
    "On the base's text the network that GRPO trained has edges that are up by a tenth of a nat in strength, "
    "diversity and evenness.",
    lab.Asked("Each network is read on its own text: is it the network, or the text?", WHY),
    _up,
    *(GRPO, SAME_TEXT),
    null={
        "a Gaussian update of the same norms": (GRPO, TWIN),
        "the base, louder": (GRPO, LOUDER, (STRENGTH,)),
    },
    positive=FOR_SURE,
)
judged(
    study,
    "louder",
    "On its own text the base has stronger edges, by a tenth of a nat in the mean size, if its unembedding is made "
    "louder until it is as sure as the network that GRPO trained.",
    lab.Asked("Confidence alone changes the size of edges, in the same circuit.", WHY),
    _up,
    *(GRPO, LOUDER, (STRENGTH,)),
    null={"the base as it is, on text drawn anew": (GRPO, AGAIN, (STRENGTH,))},
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Rises after every arm, at the end and at equal accuracy; mean size by network and text."""
    rows = {
        TUNED: "own text",
        SAME_TEXT: "base's text",
        COOLED: "own text, at\nbase's entropy",
        LOUDER: "base, louder",
        TWIN: "Gaussian twin",
    }
    names = {STRENGTH: "mean size", DIVERSITY: "entropy\nof sizes", EVENNESS: "kurtosis\n(fall)"}
    shades: dict[str, str] = dict(
        zip(ARMS, ("#66CCEE", plot.BEST, "#DDAA33", plot.RIVAL, "#AA3377"), strict=True)
    )
    return drawn.every(data, names, rows, shades, (GRPO, OFFLINE), MATTERS)
