"""What a comparison says in words."""

from __future__ import annotations

import math

from qra_jax.checkpoints import gaussian
from qra_jax.checkpoints.comparison import Comparison, overlap
from qra_jax.checkpoints.measures import Entries, Masks

ALIKE = 0.1
"""Shares of changed entries that differ by less than this part are called alike."""
DENSE = 0.99
"""Share of changed entries above which nothing is sparse."""
_HALVES = (("principal", "principal"), ("low", "of low magnitude"))


def sentences(found: Comparison) -> list[str]:
    """What the numbers say, and what they cannot say.

    Args:
      found: the comparison.

    Returns:
      Sentences.
    """
    total = found.summary()
    counted = total.entries
    if not counted.delta:
        return [f"No weight among the {total.tensors} tensors read differs."]
    share, norm = counted.bits / counted.count, f"‖ΔW‖/‖W₀‖ = {counted.ratio:.2g}"
    said = []
    if not found.null:
        said.append(
            f"{share:.1%} of the weights differ in bfloat16 at {norm}. How many differ, the rank of ΔW and where the "
            "changes lie follow in part from the norm and from rounding: --null puts an update without structure "
            "of the same norm beside them."
        )
    else:
        other = found.summary(gaussian=True)
        said += [_verdict(counted, other.entries, norm), *_norms(found)]
        if other.unmoved:
            said.append(
                f"In {other.unmoved} of the {_moved(found)} matrices that training changed the Gaussian changed "
                "nothing: its medians count them with rank 0, those of α and σ₁² leave them out."
            )
        said += _places(total.masks, other.masks)
    if found.skipped:
        said.append(
            f"Spectra and masks: {total.matrices} matrices, evenly spread; {found.skipped} were left out."
        )
    said.append(
        "This is one run: whether another seed would give the same takes several runs, and what the changes do to the "
        "model's answers takes the model."
    )
    return said


def _verdict(tuned: Entries, other: Entries, norm: str) -> str:
    """How many weights changed, and whether that is more or less than by chance."""
    share, chance = tuned.bits / tuned.count, other.bits / other.count
    length = math.sqrt(other.delta / tuned.delta)
    words = f"{share:.1%} of the weights differ in bfloat16"
    if not other.delta:
        return f"{words} at {norm}. The Gaussian update changed nothing: beside it nothing can be said of sparsity."
    if not other.bits:
        return (
            f"{words} at {norm}. The Gaussian update changed nothing in bfloat16: beside it nothing can be said of "
            "sparsity."
        )
    if abs(length - 1) > ALIKE:
        return (
            f"{words} at {norm}. Rounding leaves a Gaussian update of no nearer norm than {length:.2g} times that, "
            f"which changes {chance:.1%}: beside it nothing can be said of sparsity."
        )
    words = f"{words}, a Gaussian update of the same norm changes {chance:.1%}"
    if share < chance * (1 - ALIKE):
        return (
            f"{words} at this norm ({norm}): the update is sparser than rounding makes a Gaussian one, "
            "be it that fewer weights were moved or that a few moved further."
        )
    if chance < share * (1 - ALIKE):
        return (
            f"{words} at this norm ({norm}): the update is denser than a Gaussian one, "
            "be it that more weights were moved or that they moved by more equal steps."
        )
    if share > DENSE:
        return f"{words}: at this norm ({norm}) nothing is sparse about the update."
    return f"{words}: sparsity at this norm ({norm}) is what rounding alone gives."


def _norms(found: Comparison) -> list[str]:
    """How near the norms of the Gaussian updates are to those of the tuned ones."""
    rows = [row for row in found.rows if row.tuned.entries.delta]
    near = sum(abs(row.realised - 1) <= gaussian.NEAR for row in rows)
    words = f"After rounding the Gaussian update is as long as the tuned one within {gaussian.NEAR:.1%}"
    if near == len(rows):
        return [f"{words} in each of the {near} tensors that changed."]
    worst = max(rows, key=lambda row: abs(row.realised - 1))
    return [
        f"{words} in {near} of the {len(rows)} tensors that changed, elsewhere as nearly as the grid allows: "
        f"at worst {worst.realised:.3g} times as long ({worst.name})."
    ]


def _moved(found: Comparison) -> int:
    return sum(row.tuned.spectrum is not None and row.tuned.entries.delta > 0 for row in found.rows)


def _places(masks: Masks, other: Masks) -> list[str]:
    """Where the changed weights of the matrices are."""
    if not masks.changed:
        return []
    if not other.changed:
        words = [
            f"{overlap(masks, which)[0]:.0%} are {called} (chance {overlap(masks, which)[1]:.0%})"
            for which, called in _HALVES
        ]
        return [
            f"Of the changed weights in the matrices {' and '.join(words)}; the Gaussian changed none in them."
        ]
    words = []
    for which, called in _HALVES:
        (share, chance), (null, _) = overlap(masks, which), overlap(other, which)
        words.append(f"{share:.0%} are {called} (Gaussian {null:.0%}, chance {chance:.0%})")
    return [
        f"Of the changed weights in the matrices {' and '.join(words)}; only what the Gaussian lacks is training's."
    ]
