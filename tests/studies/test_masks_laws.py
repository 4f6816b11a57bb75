"""Masks of reruns are those of `weights.masks`; ends at equal gain; pairs of arms that differ in one factor."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from qra_jax.studies.weights import _counts as counts, _masks as masks, _places as places, _twins as own
from qra_jax.studies.weights._reference import Course
from qra_jax.transformer import weights

RANDOM = np.random.default_rng(0)
W0 = RANDOM.standard_normal((12, 20)).astype(np.float32)
DELTA = RANDOM.standard_normal(W0.shape).astype(np.float32)


def test_masks_of_places_are_those_of_the_library():
    made = places.chosen(RANDOM, "attention_0/qkv", W0, DELTA)
    assert (made[places.SMALL] == weights.masks.low_magnitude(jnp.asarray(W0), masks.DENSITY)).all()
    assert (
        made[places.PRINCIPAL] == weights.masks.principal(jnp.asarray(W0), places.RANK, masks.DENSITY)
    ).all()
    assert not places.chosen(RANDOM, "embedding", W0, DELTA)[places.SMALL].any()


def test_masks_of_subnetworks_are_those_of_the_library():
    made = counts.subnetworks(RANDOM, "in_0", W0, DELTA)
    assert (made[counts.LARGEST] == weights.masks.largest(jnp.asarray(DELTA), masks.DENSITY)).all()
    assert (made[counts.CHANGED] == weights.masks.largest(jnp.asarray(DELTA / W0), masks.DENSITY)).all()


@pytest.mark.parametrize("rank", counts.RANKS)
def test_random_masks_have_as_many_weights_as_a_matrix_of_that_rank_has_free_numbers(rank):
    held, *alike = counts.AS_RANK[rank]
    made = counts.subnetworks(RANDOM, "in_0", W0, DELTA)
    assert made[held].all()
    assert [made[name].sum() for name in alike] == [rank * (sum(W0.shape) - rank)] * len(alike)
    assert not counts.subnetworks(RANDOM, "unembedding", W0, DELTA)[held].any()


def test_each_mask_has_the_rate_at_which_other_networks_gain_most():
    gain = np.array([[[[1.0, 1.0, 0.0], [0.0, 2.5, 0.5]]]])
    reruns = xr.Dataset({"gain": (("task", "mask", "rate", "seed"), gain)}, {"rate": [1, 3]})
    reruns["apart"] = 10 * reruns.gain
    assert masks.at_best(reruns).values.tolist() == [[[0.0, 1.0, 0.5]]]
    assert masks.at_best(reruns, "apart").values.tolist() == [[[0.0, 10.0, 5.0]]]


def course(*accuracy):
    paths = np.array(accuracy)
    params = {"w": np.arange(paths.size, dtype=float).reshape(paths.shape)}
    return Course(params, paths, paths, np.arange(paths.shape[1]), 0.1, np.zeros((0, 2)))


def test_ends_are_at_half_of_the_gain_of_grpo():
    rise, none = (0.2, 0.4, 0.6, 1.0), (0.2, 0.2, 0.2, 0.2)
    found, apart = own.ends({own.GRPO: course(rise, none), "other": course((0.2, 0.6, 0.7, 0.7), rise)})
    assert found[own.END]["other"]["w"].tolist() == [3, 7]
    assert found[own.MATCHED][own.GRPO]["w"][0] == 2
    assert found[own.MATCHED]["other"]["w"][0] == 1
    assert apart[:, 0].tolist() == pytest.approx([0, 0])
    assert np.isinf(apart[:, 1]).all()


def test_pairs_are_compared_on_the_same_networks():
    pairs = own.SIDES["policy"]
    arms = [arm for pair in pairs.values() for arm in pair]
    dims, seeds = ("task", "at", "seed", "arm"), 5
    values = RANDOM.standard_normal((1, 2, seeds, len(arms)))
    axes = {"task": ["t"], "at": [own.END, own.MATCHED], "arm": arms}
    seen = xr.DataArray(values, dims=dims, coords=axes)
    apart = xr.zeros_like(seen.isel(at=0, drop=True))
    apart[0, 3, 1] = 1.0  # one arm of the first pair
    found = own.beside("x", seen, seen, apart, "policy")
    kept = [0, 1, 2, 4]
    for level, (one, other) in pairs.items():
        less = seen.sel(arm=one) - seen.sel(arm=other)
        expected = float(less.sel(at=own.MATCHED)[0, kept].mean())
        assert float(found.value.sel(run=f"{level}, {own.MATCHED} (t)")) == pytest.approx(expected)
        assert float(found.value.sel(run=f"{level}, {own.END} (t)")) == pytest.approx(
            float(less.sel(at=own.END)[0].mean())
        )
    assert "4 of 5 (t)" in found.quantity
    apart[0, 0, 0] = np.nan
    unknown = own.beside("x", seen, seen, apart, "policy").value
    assert unknown.isnull().values.tolist() == [own.MATCHED in name for name in unknown.run.values]
