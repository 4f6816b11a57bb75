"""What the study of arithmetic stands on: the parts of a gain, nearest points of an orbit, what is read of networks."""

import jax
import numpy as np
import xarray as xr

from qra_jax import transformer as tf
from qra_jax.studies.networks import _procedures as procedures

RATES = np.array([0.2, 0.4, 0.9, 0.1])


def labelled(values):
    return xr.DataArray(values, dims=("seed", "step", "question", "procedure"), coords={"step": np.arange(6)})


def test_parts_add_up_to_the_gain():
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(4), (3, 6, 5))
    right, chance = rng.uniform(size=(2, 3, 6, 5, 4))
    made = procedures.parts(labelled(policy), labelled(right), labelled(right * chance))
    parts = made.sel(part=["choice", "answers", "format"]).sum("part")
    np.testing.assert_allclose(parts, made.sel(part="gain"), atol=1e-12)
    paid = (policy * right * chance).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(made.sel(part="gain"), paid - paid[:, :1], atol=1e-12)


def test_a_gain_of_choice_alone_has_no_other_part_and_nan_stays():
    share = np.linspace(0, 1, 6)[:, None]
    policy = np.broadcast_to(((1 - share) * 0.25 + share * np.eye(4)[2])[None, :, None], (2, 6, 3, 4)).copy()
    rates = labelled(np.broadcast_to(RATES, policy.shape))
    made = procedures.parts(labelled(policy), rates, 0.7 * rates).isel(step=-1)
    np.testing.assert_allclose(made.sel(part="choice"), 0.7 * (0.9 - 0.4), atol=1e-12)
    np.testing.assert_allclose(made.sel(part=["answers", "format"]), 0, atol=1e-12)
    policy[0] = np.nan
    lost = procedures.parts(labelled(policy), rates, rates).isel(step=-1)
    assert lost.isel(seed=0).isnull().all()
    assert lost.isel(seed=1).notnull().all()


def test_the_orbit_is_nearest_to_itself_and_keeps_its_first_integral():
    rates = xr.DataArray(RATES[None], dims=("seed", "procedure"))
    start = xr.DataArray(np.array([[procedures.REF]]), dims=("seed", "step", "procedure"))
    ends = xr.DataArray(np.eye(4)[[2]][None], dims=("seed", "step", "procedure"))
    path = xr.concat([start, 0.5 * start + 0.5 * ends, ends], "step")
    made = procedures.compared(path, rates)
    np.testing.assert_allclose(made.away.isel(step=0), 0, atol=1e-12)
    assert (made.away.sel(curve="orbit").isel(step=-1) < 0.01).all()
    assert (made.away.sel(curve="orbit, mirrored rates").isel(step=-1) > 0.5).all()
    np.testing.assert_allclose(made.away.sel(curve="line"), 0, atol=1e-3)
    # Differences of 1/π, less their start, are as differences of p on the orbit.
    w, u = 1 / made.near.sel(curve="orbit").values[0, 1], 1 / np.array(procedures.REF)
    moved = np.exp((np.log(u).sum() - np.log(w).sum()) / 4) * w - u
    np.testing.assert_allclose(
        (moved[0] - moved[1]) / (moved[0] - moved[2]), (0.2 - 0.4) / (0.2 - 0.9), rtol=1e-6
    )


def test_what_a_table_says_of_itself_is_read(monkeypatch):
    monkeypatch.setattr(tf, "Decoder", lambda vocabulary, **options: tf.Lookup(vocabulary))
    size = procedures.Size(2, 3, 8, 1, 1, 1, 2, 1, 3, 2, 4, (2, 3))
    model = tf.Lookup(procedures.task_of(size).vocabulary)
    base = jax.vmap(lambda key: tf.init(key, model))(jax.random.split(jax.random.key(0), 2))
    runs = procedures.trained(size, base, 0)
    dims = ("arm", "seed", "step", "kind", "question", "procedure")
    assert runs.policy.dims == runs.right.dims == dims
    first, later = (runs.policy.isel(step=i).transpose("arm", ...) for i in (0, -1))
    np.testing.assert_allclose(first[0], first[1], rtol=1e-5)  # the same base, then another reward
    assert (abs(later[0] - later[1]) > 1e-6).any()
    np.testing.assert_allclose(runs.policy.sum("procedure"), 1, atol=1e-5)
    assert (runs.paid <= runs.right).all()
    assert (runs.worked <= runs.right).all()
    assert (runs.passed.diff("k") >= 0).all()
    cooled, trained = (runs.entropy.sel(model=name) for name in ("base, cooled", "RL"))
    np.testing.assert_allclose(cooled, trained, rtol=0.2)
