"""Claims of `small-subnetwork` on overlaps of what several runs change."""

from __future__ import annotations

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _counts as counts, _twins as own
from qra_jax.studies.weights._counts import AS_MANY, COMPARED, IN_BFLOAT16
from qra_jax.studies.weights._twins import ELSEWHERE, END, GAUSSIAN, OWN

MATTERS = 0.03
"""Difference of Jaccard's index that counts."""
RUNS = "with other seeds, data, optimiser or algorithm"


def claims(study: lab.Study) -> None:
    """Overlaps against chance, and against Gaussian updates.

    Args:
      study: has an experiment `runs` as of `counts.all_arms`.
    """
    own.judged(
        study,
        "overlap",
        "Brought to .0015 of the weights, updates of GRPO change weights in bfloat16 that overlap with those changed "
        f"by runs {RUNS}, and by SFT, more than independent masks do, by .03 of Jaccard's index or more.",
        papers.GEO_1,
        _by_chance,
        *(IN_BFLOAT16, OWN),
        null={"Gaussian updates as long, rounded alike": (IN_BFLOAT16, GAUSSIAN)},
    )
    own.judged(
        study,
        "overlap_beyond_noise",
        "These overlaps are above those of Gaussian updates as long, rounded alike, by .03 of Jaccard's index or more.",
        lab.Asked("Small weights change first in all of them.", (papers.GEO_1, papers.GEO_2)),
        _beyond,
        OWN,
        null={
            "Gaussian updates in the place of all runs": (GAUSSIAN,),
            "GRPO on two bases": (OWN, (ELSEWHERE,)),
        },
    )
    own.judged(
        study,
        "overlap_exactly",
        "Masks of the largest updates in float32, as many as change in bfloat16, overlap with those of runs "
        f"{RUNS}, and of SFT, more than independent masks do, by .03 of Jaccard's index or more.",
        lab.Asked("And without rounding?", (papers.GEO_1, papers.GEO_2)),
        _by_chance,
        *(AS_MANY, OWN),
        null={
            "Gaussian updates in the place of all runs": (AS_MANY, GAUSSIAN),
            "GRPO on two bases": (AS_MANY, OWN, (ELSEWHERE,)),
        },
    )


def _by_chance(
    data: lab.Data, mask: str, update: str, others: tuple[str, ...] = tuple(COMPARED)
) -> lab.Evidence:
    here = {"at": END, "mask": mask, "update": update, "other": list(others), "drop": True}
    both = data.runs.jaccard.sel(**here), data.runs.chance.sel(**here)
    words = "Jaccard's index less that of independent masks"
    return lab.difference(words, *both).above(MATTERS).per("task", "other")


def _beyond(data: lab.Data, update: str, others: tuple[str, ...] = tuple(COMPARED)) -> lab.Evidence:
    values = data.runs.jaccard.sel(at=END, mask=counts.IN_BFLOAT16, other=list(others), drop=True)
    words = "Jaccard's index beyond that of Gaussian updates"
    return lab.mean(words, own.excess(values, update)).above(MATTERS).per("task", "other")
