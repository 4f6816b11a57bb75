"""Several devices: the numbers of one, with nothing gathered; and what runs need of memory."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import flow, recipe, training, transformer as tf
from qra_jax.orbit import batch
from qra_jax.orbit.api import hit

DEVICES, RUNS, PATTERNS = 8, 32, 4
GATHERS = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")
ROOT = Path(__file__).parent.parent


pytestmark = pytest.mark.usefixtures("compiled_plainly")  # most of the time would go into compiling


def keys(count=RUNS):
    return jax.random.wrap_key_data(jnp.arange(2 * count, dtype=jnp.uint32).reshape(count, 2))


def problems(count=RUNS):
    rng = np.random.default_rng(0)
    ref, success = rng.dirichlet(np.ones(PATTERNS), count), rng.random((count, PATTERNS))
    return qra.Problem(jnp.asarray(np.log(ref)), jnp.asarray(success))


def train(key, problem, steps=8, record_every=4):
    options = {"algorithm": qra.grpo(8), "learning_rate": 0.2}
    return training.train(key, problem, steps=steps, record_every=record_every, **options).log_policy


def network():
    task = tf.controlled(qra.problem.stack([qra.problem.examples.worked()] * 2))
    return task, tf.Decoder(task.vocabulary, width=8, depth=1)


def rl(key):
    task, model = network()
    options = {"algorithm": qra.grpo(4), "steps": 2, "questions": 2, "learning_rate": 1e-3}
    return tf.train(key, model, tf.init(key, model), task, **options).params


PHASE = recipe.interleaved(demonstrations=0.5, time=9.0, beta=0.01)
RUNNERS = {
    "hit": (lambda key, problem: hit(problem, 0.9).log_time, RUNS),
    "flow": (lambda key, problem: flow.solve(problem, ts=[1.0, 30.0]).log_policy, RUNS),
    "train": (train, RUNS),
    "recipe": (lambda key, problem: recipe.Recipe((PHASE,)).run(problem).log_policy, RUNS),
    "network": (lambda key, problem: rl(key), DEVICES),
}


def main(folder):
    """What a process with several devices computes: each runner on one of them, and on all of them."""
    assert jax.device_count() == DEVICES
    jax.config.update("jax_disable_most_optimizations", True)
    mesh = jax.make_mesh((DEVICES,), ("runs",), (jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("runs"))
    arrays, notes = {}, {}
    for name, (one, count) in RUNNERS.items():
        given = keys(count), problems(count)
        run = jax.jit(jax.vmap(one))
        program = run.lower(*jax.device_put(given, spread)).compile()
        found = jax.tree.leaves(program(*jax.device_put(given, spread)))
        text = program.as_text() or ""
        assert "ENTRY" in text
        notes[name] = {
            "gathers": [gather for gather in GATHERS if gather in text],
            "devices": min(len(leaf.sharding.device_set) for leaf in found),
            "rows": max(leaf.addressable_shards[0].data.shape[0] for leaf in found),
        }
        alone = jax.tree.leaves(run(*given))
        for i, (a, b) in enumerate(zip(alone, found, strict=True)):
            arrays |= {f"{name} {i} alone": np.asarray(a), f"{name} {i} spread": np.asarray(b)}
    arrays["many"] = np.asarray(qra.many(train)(keys(), problems()))
    np.savez(Path(folder) / "found.npz", **arrays)
    (Path(folder) / "notes.json").write_text(json.dumps(notes))


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """Numbers and notes of a process with eight devices."""
    folder = tmp_path_factory.mktemp("devices")
    code = (
        "import sys, jax; sys.path.insert(0, sys.argv[1]); jax.config.update('jax_enable_x64', True)\n"
        "from tests import test_sharding; test_sharding.main(sys.argv[2])"
    )
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, str(ROOT), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, **flags}, cwd=ROOT, timeout=500)
    return np.load(folder / "found.npz"), json.loads((folder / "notes.json").read_text())


@pytest.mark.parametrize("name", RUNNERS)
def test_eight_devices_give_the_numbers_of_one(name, devices):
    arrays, _ = devices
    names = [key.removesuffix(" alone") for key in arrays if key.startswith(f"{name} ") and "alone" in key]
    assert names
    for each in names:
        alone, spread = arrays[f"{each} alone"], arrays[f"{each} spread"]
        assert np.isfinite(alone).all()
        # A device's share is another width of the vectors, in which the compiler may round the other way.
        np.testing.assert_allclose(spread, alone, rtol=1e-9, atol=1e-9 if alone.dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("name", RUNNERS)
def test_nothing_of_a_batch_is_gathered(name, devices):
    note = devices[1][name]
    assert note["gathers"] == []
    assert note["devices"] == DEVICES
    assert note["rows"] == RUNNERS[name][1] / DEVICES


def test_many_gives_the_same_numbers_however_many_devices_there_are(devices):
    arrays, _ = devices
    np.testing.assert_array_equal(arrays["many"], np.asarray(qra.many(train)(keys(), problems())))


def bytes_each(function, *given):
    """Bytes a run that a compiled program needs beside its arguments."""
    leaves, tree = jax.tree.flatten(given)

    def program(*leaves):
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves)))

    memory = jax.jit(program).lower(*leaves).compile().memory_analysis()
    assert memory is not None
    return (memory.temp_size_in_bytes + memory.output_size_in_bytes) / len(leaves[0])


def test_memory_of_training_is_its_state_and_what_is_recorded():
    def run(steps, record_every):
        one = partial(train, steps=steps, record_every=record_every)
        return bytes_each(jax.vmap(one), keys(), problems())

    short, long, recorded = run(1000, 1000), run(100_000, 100_000), run(1000, 10)
    assert (long - short) * RUNS <= 99_000 * 8  # the numbers of the steps, for all runs together
    assert recorded - short < 99 * 3 * 8 * PATTERNS


def test_memory_of_hitting_times_grows_with_the_problems_alone():
    def search(problems):
        targets = jnp.full(len(problems.log_ref), 0.9)
        parts = jax.tree.map(
            lambda leaf: jnp.broadcast_to(jnp.asarray(leaf, float), targets.shape),
            (qra.reinforce(), qra.verifiable()),
        )
        return batch.pool(problems, targets, *parts, lanes=16)

    few, more = (bytes_each(search, problems(count)) for count in (128, 1024))
    assert more < few
    assert more < 1500
