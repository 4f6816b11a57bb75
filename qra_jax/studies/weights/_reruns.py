"""Claims of `small-subnetwork` on what training gains in bfloat16, on a part of the weights, and at low rank."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _masks as masks, _sides as sides, _twins as own
from qra_jax.studies.weights._counts import AS_RANK, CHANGED, MATRICES_ALONE, RANKS

NEARLY_ALL, LESS, APART = 0.9, 0.9, 0.1
"""Shares of a gain that count as nearly all and as less; differences of a gain, or of a way, that count."""
NEARLY = "95 per cent of the weights, at random"
ANY = lab.Asked("Any weights, as many, might do.", (papers.GEO_2_SUBNETWORK,))
FULL_RANK = lab.Asked("Updates have full rank; do they need it?", (papers.GEO_2, papers.A_1))


def claims(study: lab.Study) -> None:
    """What is gained in other storage, on masks, and at low rank.

    Args:
      study: has experiments `storage` and `reruns` as of `counts`.
    """
    own.judged(
        study,
        "cost",
        "Stored in bfloat16, the network gains less than nine tenths of what it gains in float32, at the same rate and "
        "with the same random numbers, by GRPO and by SFT.",
        lab.Asked("What changes less could learn less.", (papers.GEO_2,)),
        _stored,
        "bfloat16",
        null={"float32, with other random numbers": ("again",)},
    ).positive("two per cent of the weights, at random, in float32")(
        lambda data: _share(data, masks.RANDOM_FEW).below(LESS).per("task")
    )
    mine = "Trained alone, the three tenths of the weights that change most in a run, relative to their size,"
    for name, words, origin, judge, null in (
        ("subnetwork", "have nine tenths of its gain", papers.GEO_2_SUBNETWORK, _alone, masks.RANDOM_FEW),
        (
            "better_than_random",
            "gain a tenth of its gain more than as many random ones",
            ANY,
            _better,
            masks.RANDOM_AGAIN,
        ),
        (
            "nearer_than_random",
            "end nearer to it, by a tenth of its way, than random ones do",
            ANY,
            _nearer,
            masks.RANDOM_AGAIN,
        ),
    ):
        controls = {"null": {f"of the weights, {null}": (null,)}, "positive": {NEARLY: (masks.RANDOM_MOST,)}}
        statement = f"{mine} {words}, {sides.RATES_OF_MASKS}."
        own.judged(study, name, statement, origin, judge, CHANGED, **controls)
    own.judged(
        study,
        "low_rank",
        f"With the change of every matrix held to rank {' or '.join(map(str, RANKS))}, GRPO on matrices alone has nine "
        f"tenths of its gain without that bound, {sides.RATES_OF_MASKS}.",
        FULL_RANK,
        _held,
        0,
        null={"of the weights, random 2 %": (masks.RANDOM_FEW,)},
        positive={"95 per cent of all weights, at random": (masks.RANDOM_MOST,)},
    )
    own.judged(
        study,
        "low_rank_beats_few",
        "Held to such a rank, GRPO gains a tenth of that gain more than on random weights of these matrices, as many "
        f"as a change of that rank has free numbers, {sides.RATES_OF_MASKS}.",
        FULL_RANK,
        _held_better,
        0,
        null={"random weights less other random ones": (2,)},
        positive={"all weights of these matrices": (MATRICES_ALONE,)},
    )


def _stored(data: lab.Data, storage: str) -> lab.Evidence:
    gain = data.storage.gain
    both = gain.sel(storage=storage, drop=True), gain.sel(storage="float32", drop=True)
    return lab.pooled_share(f"gain, {storage}, of that in float32", *both).below(LESS).per("task", "arm")


def _share(data: lab.Data, mask: str, less: str | None = None) -> lab.Estimate:
    words = f"share of the gain: {mask}" + (f" less {less}" if less else "")
    return masks.of_gain(words, masks.at_best(data.reruns), mask, less)


def _alone(data: lab.Data, mask: str) -> lab.Evidence:
    return _share(data, mask).above(NEARLY_ALL).per("task")


def _better(data: lab.Data, mask: str) -> lab.Evidence:
    test = _share(data, mask, masks.RANDOM).above(APART)
    return _guarded(data, test, masks.RANDOM, mask == CHANGED).per("task")


def _guarded(data: lab.Data, test: lab.Evidence, lower: str | xr.DataArray, claimed: bool) -> lab.Evidence:
    """What is claimed, in contrast to its controls, has to be so at a best rate that is not the highest."""
    return sides.unless_at_top(test, data.reruns.gain, lower) if claimed else test


def _nearer(data: lab.Data, mask: str) -> lab.Evidence:
    apart = masks.at_best(data.reruns, "apart")
    both = apart.sel(mask=mask, drop=True), apart.sel(mask=masks.RANDOM, drop=True)
    words = f"distance of the ends / length of the whole update: {mask} less random"
    test = lab.difference(words, *both).below(-APART)
    return _guarded(data, test, masks.RANDOM, mask == CHANGED).per("task")


def _named(which: int | str) -> xr.DataArray:
    """Masks by rank: held to it, random ones as many, or others; or one mask for all ranks."""
    names = [which if isinstance(which, str) else AS_RANK[rank][which] for rank in RANKS]
    return xr.DataArray(names, dims="rank", coords={"rank": list(RANKS)})


def _held(data: lab.Data, which: int | str) -> lab.Evidence:
    gained = masks.at_best(data.reruns)
    share = masks.of_gain("share of the gain of matrices alone", gained, _named(which), of=MATRICES_ALONE)
    return share.above(NEARLY_ALL).per("task", "rank")


def _held_better(data: lab.Data, which: int | str) -> lab.Evidence:
    gained, words = (
        masks.at_best(data.reruns),
        "share of the gain of matrices alone, less random weights as many",
    )
    share = masks.of_gain(words, gained, _named(which), _named(1), of=MATRICES_ALONE)
    return _guarded(data, share.above(APART), _named(1), which == 0).per("task", "rank")
