"""Programs that outlive the process: compiled once, read afterwards, and never in the way."""

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import _programs
from qra_jax.consult import diagnosis
from qra_jax.problem import examples


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pair:
    left: jax.Array
    right: jax.Array


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

    @_programs.kept
    def swap(pair, scale):
        traced.append(1)
        return {"left": pair.right * scale, "right": pair.left}

    return swap, traced


PAIR = Pair(jnp.arange(3.0), jnp.ones(3))


def check(answer, scale=2.0):
    np.testing.assert_array_equal(answer["left"], scale * PAIR.right)
    np.testing.assert_array_equal(answer["right"], PAIR.left)


def kept(folder):
    return sorted(folder.glob("*.program"))


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
    assert single["left"].dtype == jnp.float32
    assert (len(traced), len(kept(cache))) == (3, 3)


def another_source(patch):
    patch.setattr(_programs, "_SOURCE", "edited")


def another_machine(patch):
    told = _programs._machine()
    patch.setattr(_programs, "_machine", lambda: (*told[:-1], "of another kind"))


def another_backend(patch):
    patch.setattr(jax, "default_backend", lambda: "of another kind")


@pytest.mark.parametrize("change", [another_source, another_machine, another_backend])
def test_another_source_or_machine_or_backend_is_another_program(cache, monkeypatch, change):
    process()[0](PAIR, jnp.array(2.0))
    change(monkeypatch)
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert traced, "traced again"


def test_what_machine_code_depends_on_is_told(monkeypatch):
    told = "\n".join(_programs._machine())
    assert jax.__version__ in told
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    assert "fast_math" in "\n".join(_programs._machine.__wrapped__())


def test_numbers_of_python_and_numpy_are_taken(cache):
    for scale in (2.0, np.float64(2.0), np.asarray(2.0)):
        swap, _ = process()
        check(swap(PAIR, scale))
    assert len(kept(cache)) == 1


def test_what_is_in_the_cache_of_jax_can_be_kept_again(cache):
    """A program that was read from there, and written once more, would lack functions."""

    def solve():
        return _programs.kept(diagnosis._solve.__wrapped__)(examples.worked(), jnp.asarray(0.99))

    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        first = jax.device_get(solve())
        for file in kept(cache):
            file.unlink()
        jax.clear_caches()
        solve()
        assert kept(cache)
        again = jax.device_get(solve())
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)


def test_precision_is_part_of_a_program(cache):
    swap, traced = process()
    single = jax.tree.map(lambda x: x.astype(jnp.float32), PAIR)
    for wide in (True, False):
        jax.config.update("jax_enable_x64", wide)
        try:
            swap(single, jnp.array(2.0, jnp.float32))
        finally:
            jax.config.update("jax_enable_x64", True)
    assert len(traced) == len(kept(cache)) == 2


def test_source_edited_in_the_meantime_is_not_kept(cache, monkeypatch):
    """What is traced now is the source as it was loaded, which is no longer the one on disk."""
    monkeypatch.setattr(_programs, "_source", lambda: "edited")
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert traced
    assert not kept(cache)


def test_the_oldest_programs_go(cache, monkeypatch):
    monkeypatch.setattr(_programs, "MOST", 2)
    swap, _ = process()
    found = []
    for n in (1, 2, 3):
        swap(Pair(jnp.ones(n), jnp.ones(n)), 2.0)
        found += [file for file in kept(cache) if file not in found]
        os.utime(found[-1], (n, n))
    assert len(found) == 3
    assert kept(cache) == sorted(found[1:])


def test_a_cache_that_was_moved_serves(cache, monkeypatch):
    process()[0](PAIR, jnp.array(2.0))
    (cache / "elsewhere").mkdir()
    (file,) = kept(cache)
    file.rename(cache / "elsewhere" / file.name)
    jax.config.update("jax_compilation_cache_dir", str(cache / "elsewhere"))
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert not traced


def test_threads_that_begin_together_compile_once_and_leave_settings_alone(cache):
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    swap, traced = process()
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: swap(PAIR, jnp.array(2.0)), range(4)):
            check(answer)
    assert len(traced) == 1
    assert jax.config.values["jax_persistent_cache_min_compile_time_secs"] == least


def test_what_cannot_be_serialised_is_computed_all_the_same(cache):
    @_programs.kept
    def calling(x):
        return {"x": jax.pure_callback(lambda x: np.asarray(x) + 1, x, x)}

    assert calling(jnp.array(2.0))["x"] == 3.0
    assert not kept(cache)


def test_a_program_of_another_build_is_compiled_again(cache):
    process()[0](PAIR, jnp.array(2.0))
    (file,) = kept(cache)
    content = pickle.dumps((b"not a program", None, None))
    file.write_bytes(hashlib.sha256(content).digest() + content)
    swap, traced = process()
    check(swap(PAIR, jnp.array(2.0)))
    assert traced


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


@pytest.mark.parametrize(
    "setting", [("jax_enable_compilation_cache", False), ("jax_compilation_cache_dir", None)]
)
def test_off_with_the_cache(cache, setting):
    name, value = setting
    usual = jax.config.values[name]
    jax.config.update(name, value)
    try:
        swap, traced = process()
        check(swap(PAIR, jnp.array(2.0)))
    finally:
        jax.config.update(name, usual)
    assert traced
    assert not kept(cache)


def test_caches_on_other_machines_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    usual = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/programs")
    assert _programs._folder() is None
    jax.config.update("jax_compilation_cache_dir", usual)


def test_other_devices_are_left_to_jax(cache):
    with jax.default_device(jax.devices("cpu")[0]):
        swap, traced = process()
        check(swap(PAIR, jnp.array(2.0)))
    assert traced
    assert not kept(cache)


def test_transformations_go_through(cache):
    swap, _ = process()
    many = jax.vmap(swap, in_axes=(None, 0))(PAIR, jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(many["left"], [PAIR.right, 2 * PAIR.right])
    slope = jax.grad(lambda scale: swap(PAIR, scale)["left"].sum())(2.0)
    assert slope == 3
    assert not kept(cache)


def test_a_diagnosis_is_the_same_from_the_file(cache):
    found = []
    for _ in range(2):
        fresh = _programs.kept(diagnosis._solve.__wrapped__)
        solve = fresh(examples.worked(), jnp.asarray(0.99))
        found.append(jax.device_get(solve))
    plain = jax.device_get(jax.jit(diagnosis._solve.__wrapped__)(examples.worked(), jnp.asarray(0.99)))
    assert len(kept(cache)) == 1
    for name, value in plain.items():
        np.testing.assert_array_equal(found[0][name], value)
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize(
    "around",
    [
        lambda f: jax.jit(f)(1.0),
        lambda f: jax.vmap(f)(jnp.ones(2))[0],
        lambda f: jax.value_and_grad(f)(1.0)[0],
        lambda f: jax.lax.scan(lambda carry, x: (carry, f(x)), 0.0, jnp.ones(2))[1][0],
        lambda f: f(1.0),
    ],
    ids=["jit", "vmap", "grad", "scan", "alone"],
)
def test_a_brief_program_may_be_part_of_another(around):
    """Also where all of its own arguments are known."""
    square = _programs.brief("power")(lambda x, *, power: x**power)
    assert around(lambda x: x + square(jnp.asarray(3.0), power=2)) == 10.0


@pytest.mark.parametrize("of", ["grad", "jit of grad", "hessian", "vmap"])
def test_a_brief_program_may_enclose_what_is_transformed(of):
    """As weights and rewards of one's own may, which are arguments that show nothing of it."""

    def through(scale):
        problem = examples.worked()
        reward = qra.Reward("mine", lambda params, problem, log_policy: scale * problem.success, True, True)
        algorithm = qra.Algorithm("mine", lambda params, rewards, where: rewards * scale, 4)
        drift = qra.flow.drift(problem, problem.log_ref, algorithm=algorithm, reward=reward)
        return algorithm.clock(jnp.asarray(0.3)) * drift[0]

    transformed = {
        "grad": jax.grad(through),
        "jit of grad": jax.jit(jax.grad(through)),
        "hessian": jax.hessian(through),
        "vmap": lambda scale: jax.vmap(through)(scale[None])[0],
    }[of]
    power = {"vmap": 1.0, "hessian": 6.0}.get(of, 3.0)  # of the cube of scale
    order = {"vmap": 3, "hessian": 1}.get(of, 2)
    found = transformed(jnp.asarray(0.5))
    np.testing.assert_allclose(found, power * 0.5**order * through(jnp.asarray(1.0)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_arrays_are_copies(dtype):
    """JAX may take memory that happens to be aligned as it is."""
    for _ in range(16):
        numbers = np.zeros(64, dtype)
        array = _programs.array(numbers)
        numbers[:] = 1.0
        assert not np.asarray(array).any()


@pytest.mark.parametrize("wrong", [{"algorithm": qra.grpo}, {"reward": "x"}, {"geometry": ["softmax"]}])
def test_a_brief_program_refuses_in_words(wrong, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    problem = examples.worked()
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: "):
        qra.flow.drift(problem, problem.log_ref, **wrong)


def test_a_brief_program_compiles_with_little_effort(monkeypatch):
    seen = []
    plain = jax.jit
    monkeypatch.setattr(jax, "jit", lambda *args, **kwargs: seen.append(kwargs) or plain(*args, **kwargs))
    _programs.brief()(lambda x: x)
    assert [one.get("compiler_options") for one in seen] == [None, _programs.LITTLE]
