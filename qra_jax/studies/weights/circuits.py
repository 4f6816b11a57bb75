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

The experiment: reference runs of the same base networks, at the end, and where GRPO with Adam has half of its gain
and the others have gained as much. At equal gain there are only the bases on which both arms that are compared, GRPO
and offline DPO, come within a fifth of the gain. Base and tuned network write with the same random numbers. Bins are
fixed (`circuits.BINS`, two to a factor of ten). The four nulls: the same strings (the base reads what the tuned network
wrote); temperature (the tuned network at the base's token entropy, and at its own); a Gaussian update of the same
norms, which reads what it has written itself, or the base's text where the tuned network does, too; the base, its
unembedding multiplied until it is as sure as the tuned network. Beside them stand the base on text drawn anew, on
random tokens (which it finds unlikely: edges must be stronger), and with nothing written by attention and perceptrons
(edges are nil: less diverse). All is in nats: logarithms of mean size and of kurtosis, and entropy.
"""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _circuit_panels as drawn, _edges as of
from qra_jax.studies.weights._edges import (
    AGAIN,
    COOLED,
    DIVERSITY,
    EVENNESS,
    LOUDER,
    MATTERS,
    MEASURES,
    MUTE,
    NOISE,
    OFFLINE,
    OWN_TWIN,
    SAME_TEXT,
    STRENGTH,
    THEIR_TEXT,
    TUNED,
    TWIN,
)
from qra_jax.studies.weights._twins import GRPO, MATCHED, judged

study = lab.Study(
    __name__, title="Circuits: are edges stronger and more diverse after RL, beyond confidence?"
)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Edges of every base network and of what became of it, and of the nulls."""
    return of.read_all(run)


def _up(data: lab.Data, *what: Any) -> lab.Evidence:
    return of.rise(data, *what).above(MATTERS).per("task", "measure")


def _not_up(data: lab.Data, *what: Any) -> lab.Evidence:
    return of.rise(data, *what).below(MATTERS).per("task", "measure")


def _further(data: lab.Data, *what: Any) -> lab.Evidence:
    return of.further(data, *what).above(MATTERS).per("task", "measure")


WHY = (papers.CIRCUITS,)
FOR_SURE = {"random tokens, all of them unlikely": (GRPO, NOISE, (STRENGTH,))}


def _nulls(*measures: str) -> dict[str, tuple]:
    """The four nulls of networks that are each read on their own text."""
    return {
        "the same strings: the base on the tuned network's text": (GRPO, THEIR_TEXT, measures),
        "the tuned network at its own temperature, against the base's token entropy": (
            GRPO,
            TUNED,
            measures,
            COOLED,
        ),
        "a Gaussian update of the same norms, on its own text": (GRPO, OWN_TWIN, measures),
        "the base, its unembedding multiplied until it is as sure": (GRPO, LOUDER, measures),
    }


judged(
    study,
    "stronger",
    "After GRPO with Adam edges of these small decoders are stronger, by a tenth of a nat in the mean size, each "
    "network on its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (STRENGTH,)),
    null=_nulls(STRENGTH),
    positive=FOR_SURE,
)
judged(
    study,
    "diverse",
    "After GRPO with Adam edges of these small decoders are more diverse, by a tenth of a nat in the entropy of their "
    "sizes in fixed bins, each network on its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (DIVERSITY,)),
    null=_nulls(DIVERSITY),
    positive={"as it is, from mute": (GRPO, "base", (DIVERSITY,), MUTE)},
)
judged(
    study,
    "even",
    "After GRPO with Adam the kurtosis of edges of these small decoders is less, by a tenth of a nat, each network on "
    "its own text.",
    papers.CIRCUITS,
    _up,
    *(GRPO, TUNED, (EVENNESS,)),
    null=_nulls(EVENNESS),
)
judged(
    study,
    "preferred",
    "After offline DPO strength, diversity and evenness of edges of these small decoders are not up by a tenth of a "
    "nat, each network on its own text.",
    papers.CIRCUITS,
    _not_up,
    *(OFFLINE, TUNED),
    null={"random tokens, where edges are stronger": (OFFLINE, NOISE, (STRENGTH,))},
    positive={"the base, on text drawn anew": (OFFLINE, AGAIN)},
)
judged(
    study,
    "half-way",
    "With half of its gain, on the bases where offline DPO gains as much, GRPO with Adam has made edges stronger, more "
    "diverse and more even, by a tenth of a nat each, each network on its own text.",
    lab.Asked("Does it come with the gain, or only after it?", WHY),
    _up,
    *(GRPO, TUNED, MEASURES, "base", MATCHED),
    null={
        "a Gaussian update of the same norms, on its own text": (GRPO, OWN_TWIN, MEASURES, "base", MATCHED)
    },
    positive={"random tokens, all of them unlikely": (GRPO, NOISE, (STRENGTH,), "base", MATCHED)},
)
judged(
    study,
    "unlike-preferred",
    "At equal gain, half of GRPO's, edges are stronger, more diverse and more even after GRPO with Adam than after "
    "offline DPO, by a tenth of a nat each, on the same bases, each network on its own text.",
    lab.Asked("Is it the method, or how much has been learnt?", WHY),
    _further,
    *(TUNED, TUNED),
    null={"Gaussian updates of the same norms as both, on their own text": (OWN_TWIN, OWN_TWIN)},
    positive={"random tokens in the place of GRPO": (NOISE, TUNED, (STRENGTH,))},
)
judged(
    study,
    "matched",
    "At the temperature that gives it the token entropy of the base, the network that GRPO trained has edges that are "
    "up by a tenth of a nat in strength, diversity and evenness, each network on its own text.",
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
        "a Gaussian update of the same norms, on the base's text": (GRPO, TWIN),
        "the base, its unembedding multiplied until it is as sure, on its text": (GRPO, LOUDER),
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
    """Rises of mean size by network and text, and of the other measures, at the end and at equal gain."""
    rows = {
        SAME_TEXT: "base's text",
        COOLED: "own text, at\nbase's entropy",
        THEIR_TEXT: "base, on the\ntuned one's text",
        LOUDER: "base, louder",
        OWN_TWIN: "Gaussian twin",
    }
    shades: dict[str, str] = dict(
        zip(of.ARMS, ("#66CCEE", plot.BEST, "#DDAA33", plot.RIVAL, "#AA3377"), strict=True)
    )
    return drawn.every(data, rows, shades, dict.fromkeys(MEASURES, MATTERS))
