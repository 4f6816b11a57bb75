"""What a comparison says in words."""

from __future__ import annotations

from qra_jax.checkpoints.comparison import Comparison, overlap
from qra_jax.checkpoints.measures import Masks

ALIKE = 0.1
"""Shares of changed entries that differ by less than this part are called alike."""
DENSE = 0.99
"""Share of changed entries above which nothing is sparse."""


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
        return ["No weight differs: the two checkpoints are the same model."]
    share, norm = counted.bits / counted.count, f"‖ΔW‖/‖W₀‖ = {counted.ratio:.2g}"
    said = []
    if not found.null:
        said.append(
            f"{share:.1%} of the weights differ in bfloat16 at {norm}. How many differ, the rank of ΔW and where the "
            "changes lie follow in part from the norm and from rounding: --null puts an update without structure "
            "of the same norm beside them."
        )
    else:
        other = found.summary(gaussian=True).entries
        chance = other.bits / other.count
        words = f"{share:.1%} of the weights differ in bfloat16, a Gaussian update of the same norm changes"
        words = f"{words} {chance:.1%}"
        if share > DENSE:
            said.append(f"{words}: at this norm ({norm}) nothing is sparse about the update.")
        elif share >= chance * (1 - ALIKE):
            said.append(f"{words}: sparsity at this norm ({norm}) is what rounding alone gives.")
        else:
            said.append(
                f"{words} at this norm ({norm}): the update is sparser than rounding makes a Gaussian one, "
                "be it that fewer weights were moved or that a few moved further."
            )
        said += _places(total.masks, found.summary(gaussian=True).masks)
    if found.skipped:
        said.append(
            f"Spectra and masks: {total.matrices} matrices, evenly spread; {found.skipped} were left out."
        )
    said.append(
        "This is one run: whether another seed would give the same takes several runs, and what the changes do to the "
        "model's answers takes the model."
    )
    return said


def _places(masks: Masks, other: Masks) -> list[str]:
    """Where the changed weights of the matrices are."""
    if not masks.changed:
        return []
    words = []
    for which, called in (("principal", "principal"), ("low", "of low magnitude")):
        (share, chance), (null, _) = overlap(masks, which), overlap(other, which)
        words.append(f"{share:.0%} are {called} (Gaussian {null:.0%}, chance {chance:.0%})")
    return [
        f"Of the changed weights in the matrices {' and '.join(words)}; only what the Gaussian lacks is training's."
    ]
