"""Rounding to the formats of storage, and the weights that it leaves unchanged, compiled with all passes."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from qra_jax.transformer.weights import masks, twin


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_rounding_is_that_of_storage_compiled_or_not(dtype):
    kind = {"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=20000) * 10 ** rng.uniform(-9, 4, 20000)).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = x.astype(kind).astype(np.float32)
    for function in (twin.rounded, jax.jit(twin.rounded, static_argnums=1)):
        np.testing.assert_array_equal(function(jnp.asarray(x), dtype), expected)
    np.testing.assert_array_equal(twin.stored(jnp.asarray(x), dtype).astype(jnp.float32), expected)


def test_changes_of_bits_are_those_of_the_format():
    rng = np.random.default_rng(0)
    w0 = rng.normal(size=20000) * 0.02
    w1 = w0 * (1 + rng.normal(size=20000) * 10 ** rng.uniform(-5, -1, 20000))
    for name, kind in {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}.items():
        for source in ("float32", "float64"):
            a, b = (jnp.asarray(w, source) for w in (w0, w1))
            expected = np.asarray(a).astype(kind) != np.asarray(b).astype(kind)
            found = jax.jit(masks.changed, static_argnums=2)(a, b, name)
            # From float64 numpy rounds to bfloat16 by way of float32: twice, next to a tie.
            assert np.sum(np.asarray(found) != expected) <= 2
    zeros = jnp.array([0.0, -0.0])
    assert masks.changed(zeros[:1], zeros[1:]).tolist() == [True]
    assert masks.changed(zeros[:1], zeros[1:], ("relative", 1e-3)).tolist() == [False]


def test_the_relative_probe_sees_the_bits_of_bfloat16():
    """Neighbours differ by 2⁻⁸ or more, so that tolerance 1e-3 asks for equal bits: arXiv 2511.08567."""
    rng = np.random.default_rng(1)
    w0 = jnp.asarray(0.02 * rng.normal(size=50000), jnp.float32)
    w1 = w0 * jnp.asarray(1 + 10 ** rng.uniform(-5, -1, 50000), jnp.float32)
    bits = masks.changed(w0, w1)
    assert 0.1 < jnp.mean(bits) < 0.9
    assert jnp.all(bits == masks.changed(w0, w1, ("relative", 1e-3), stored="bfloat16"))
    assert jnp.any(bits != masks.changed(w0, w1, ("relative", 1e-3)))
    low = twin.stored(w0, "bfloat16"), twin.stored(w1, "bfloat16")
    assert jnp.all(bits == masks.changed(*low, ("relative", 1e-3)))


@pytest.mark.parametrize("sd", [1e-5, 5e-5])
def test_the_twin_of_a_twin_is_like_it(sd):
    """Where rounding decides which weights change, norm and changed share of twins agree: of Gaussian updates."""
    rng = np.random.default_rng(2)
    base = twin.stored(jnp.asarray(0.02 * rng.normal(size=(300, 400)), jnp.float32), "bfloat16")
    far = base.astype(jnp.float32) + sd * jnp.asarray(rng.normal(size=base.shape), jnp.float32)
    tuned = twin.stored(far, "bfloat16")
    other = twin.gaussian(jax.random.key(0), base, tuned)
    norms, shares = (
        [float(f(x)) for x in (tuned, other)]
        for f in (
            lambda x: jnp.linalg.norm(x.astype(jnp.float32) - base.astype(jnp.float32)),
            lambda x: jnp.mean(masks.changed(base, x)),
        )
    )
    assert norms[1] == pytest.approx(norms[0], rel=3e-3)
    error = 5 * np.sqrt(2 * shares[0] * (1 - shares[0]) / base.size)
    assert abs(shares[1] - shares[0]) < error


def test_tolerances_are_strict():
    a, b = jnp.array([1.0, 1.0, 0.0, -1.0]), jnp.array([1.5, 1.25, 1e-9, 1.0])
    assert masks.changed(a, b, ("absolute", 0.25)).tolist() == [True, False, False, True]
    assert masks.changed(a, b, ("relative", 0.25)).tolist() == [True, False, True, True]
