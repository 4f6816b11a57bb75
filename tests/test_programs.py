"""Programs that outlive the process: traced once, read afterwards, and never in the way."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import _programs


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pair:
    left: jax.Array
    right: jax.Array


_programs.kept(Pair)  # registers it; the decorators below are made anew, as a new process would


@pytest.fixture
def cache(tmp_path):
    """JAX's compilation cache in a folder of this test."""
    usual = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", usual)


def process():
    """The function as a new process sees it, and the calls that traced it."""
    traced = []

    @_programs.kept()
    def swap(pair, scale):
        traced.append(1)
        return Pair(pair.right * scale, pair.left)

    return swap, traced


PAIR = Pair(jnp.arange(3.0), jnp.ones(3))


def check(answer, scale=2.0):
    np.testing.assert_array_equal(answer.left, scale * PAIR.right)
    np.testing.assert_array_equal(answer.right, PAIR.left)


def kept(folder):
    return sorted(folder.glob("*.hlo"))


def test_the_second_process_traces_nothing(cache):
    for times in (1, 0):
        swap, traced = process()
        check(swap(PAIR, jnp.array(2.0)))
        check(swap(PAIR, jnp.array(3.0)), 3.0)
        assert len(traced) == times
    assert len(kept(cache)) == 1


def test_other_shapes_and_dtypes_are_other_programs(cache):
    swap, traced = process()
    swap(PAIR, jnp.array(2.0))
    swap(Pair(jnp.ones(4), jnp.ones(4)), jnp.array(2.0))
    single = swap(jax.tree.map(lambda x: x.astype(jnp.float32), PAIR), jnp.array(2.0, jnp.float32))
    assert single.left.dtype == jnp.float32
    assert (len(traced), len(kept(cache))) == (3, 3)


def test_another_source_is_another_program(cache, monkeypatch, tmp_path_factory):
    process()[0](PAIR, jnp.array(2.0))
    other = tmp_path_factory.mktemp("package")
    (other / "part.py").write_text("changed = 1\n")
    monkeypatch.setattr(_programs, "__file__", str(other / "_programs.py"))
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert (len(traced), len(kept(cache))) == (1, 2)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_file_is_traced_and_written_again(cache, content):
    process()[0](PAIR, jnp.array(2.0))
    (file,) = kept(cache)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert len(traced) == 1
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert not traced


def test_what_cannot_be_written_is_computed_all_the_same(cache):
    jax.config.update("jax_compilation_cache_dir", str(cache / "file" / "folder"))
    (cache / "file").write_text("in the way")
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert traced


def test_off_with_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_programs, "_folder", lambda: None)
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert traced
    assert not kept(tmp_path)


def test_transformations_go_through(cache):
    swap, _ = process()
    many = jax.vmap(swap, in_axes=(None, 0))(PAIR, jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(many.left, [PAIR.right, 2 * PAIR.right])
    slope = jax.grad(lambda scale: swap(PAIR, scale).left.sum())(2.0)
    assert slope == 3
    assert not kept(cache)


def test_fields_that_are_no_data_are_refused():
    with pytest.raises(ValueError, match="nodes: a field that is no data"):
        _programs._no_auxdata(("a",))
