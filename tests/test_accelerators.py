"""Programs for accelerators, made on a CPU: every runner lowers for CUDA and TPU, in float32, without the host."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

import qra_jax as qra
from qra_jax import flow, orbit, recipe, sweep, training, transformer as tf, tree
from qra_jax.orbit import batch
from qra_jax.sweep.engine import on_device
from qra_jax.trajectory import Status
from qra_jax.transformer import learning

GRPO, KEY = qra.grpo(4), (0, 1)
FACTORS = {"cuda": {"cusolver_getrf_ffi", "cu_lu_pivots_to_permutation"}, "tpu": {"LuDecomposition"}}
"""Calls of libraries: the factors of a matrix in stiff flows, which both platforms have."""
OLD = qra.OffPolicy(staleness=2, epochs=2, clip=(0.2, 0.2))


def single(numbers):
    """The same in float32."""

    def narrow(leaf):
        leaf = jnp.asarray(leaf)
        return leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(narrow, numbers)


def question():
    return single(qra.problem.examples.worked())


def many_questions():
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), question())


def key():
    return jax.random.wrap_key_data(jnp.array(KEY, jnp.uint32))


def train(**options):
    options = {"algorithm": GRPO, "learning_rate": 0.1, "steps": 4, "record_every": 2, **options}
    return lambda problem: training.train(key(), problem, **options)


def phases(*parts, **options):
    return lambda problem: recipe.Recipe(parts).run(problem, **options)


def pooled(problems):
    """The batched form of hitting times, as `qra.many` runs it."""
    targets = jnp.full(len(problems.log_ref), 0.99, problems.log_ref.dtype)
    algorithm, reward = (
        jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf, targets.dtype)] * len(targets)), part)
        for part in (qra.grpo(8), qra.verifiable())
    )
    return batch.pool(problems, targets, algorithm, reward, lanes=4)


def blocks(one):
    """As `qra.many` maps a function of one problem."""
    return lambda problems: jax.lax.map(one, problems, batch_size=4)


def swept(table):
    """The program of a device in a sweep, which gets 8 points along one axis, in blocks of 4."""
    spec = sweep.from_table(
        {"axis": [{"name": "x", "path": "problem.ref[0]", "values": [0.1, 0.2]}], **table}
    )

    def program(problems):
        index, values = jnp.arange(8, dtype=jnp.uint32), {"x": jnp.exp(problems.log_ref[:, 0])}
        words = jnp.array(KEY, jnp.uint32)
        return on_device(spec.function, {}, 4, words, index, jnp.array([2], jnp.int32), values)

    return program


PROBLEM = {"ref": [0.05, 0.7, 0.25], "success": [0.9, 0.6, 0.1]}
SFT = recipe.sft(demonstrations=0.5, time=3.0)
ON_ONE = {
    "orbit.hit": lambda problem: orbit.hit(problem, 0.99, algorithm=GRPO),
    "orbit.solve": lambda problem: orbit.solve(problem, [1.0, 2.0]),
    "orbit, derivative": jax.grad(orbit.log_hitting_time),
    "flow.solve": lambda problem: flow.solve(problem, ts=[1.0, 2.0], regularizers=[qra.reverse_kl(0.01)]),
    "flow.solve, event": lambda problem: flow.solve(problem, ts=[1.0, 2.0], event="best"),
    "flow.solve, answers": lambda problem: flow.solve(problem, ts=[1.0, 2.0], train_answers=True),
    "flow.solve, stiff": lambda problem: flow.solve(problem, ts=[1.0, 2.0], stiff=True),
    "flow, derivative": jax.grad(lambda problem: flow.solve(problem, ts=[1.0, 2.0]).accuracy[-1]),
    "train": train(),
    "train, Adam and KL": train(optimizer=optax.adam, regularizers=[qra.reverse_kl(0.1)]),
    "train, old rollouts": train(off_policy=OLD),
    "train, mean": train(mode="mean"),
    "train, SDE": train(mode="sde"),
    "train, derivative": jax.grad(lambda problem: train(mode="mean")(problem).accuracy[-1]),
    "recipe, orbit": phases(SFT, recipe.rlvr(until=0.99, algorithm=GRPO)),
    "recipe, flow": phases(SFT, recipe.rlvr(time=5.0, beta=0.01, until=0.9), saves=2),
    "recipe, mean": phases(recipe.rlvr(steps=4, algorithm=GRPO, beta=0.1, until=0.9)),
    "recipe, derivative": jax.grad(
        lambda problem: phases(SFT, recipe.rlvr(time=5.0, beta=0.01))(problem).accuracy
    ),
}
ON_MANY = {
    "qra.many(orbit.hit)": pooled,
    "qra.many(flow.solve)": blocks(ON_ONE["flow.solve, event"]),
    "qra.many(train)": blocks(train()),
    "sweep of hitting times": swept({"kind": "hit", "problem": PROBLEM}),
    "sweep of training": swept(
        {
            "kind": "train",
            "problem": PROBLEM,
            "task": {"algorithm": {"name": "grpo", "group_size": 4}, "learning_rate": 0.1, "steps": 4},
        }
    ),
}


def sampled_recipe(problem):
    teach = recipe.sft(demonstrations=0.5, steps=3, runner="sampled")
    return phases(teach, recipe.rlvr(steps=4, algorithm=GRPO, runner="sampled", beta=0.1), key=key())(problem)


TREES = {
    "tree.solve": lambda branches: tree.solve(branches, ts=[1.0, 2.0], event="best"),
    "tree.train": lambda branches: tree.train(
        key(), branches, steps=4, learning_rate=0.1, algorithm=GRPO, credit=tree.credit.monte_carlo(3)
    ),
    "tree.train, mean": lambda branches: tree.train(
        key(), branches, steps=4, learning_rate=0.1, algorithm=GRPO, mode="mean"
    ),
}


def network():
    task = single(tf.controlled(qra.problem.stack([question()] * 4)))
    return task, tf.Decoder(task.vocabulary, width=16, depth=1)


def parameters():
    return tf.init(key(), network()[1])


def rl(params, **options):
    task, model = network()
    options = {"algorithm": GRPO, "steps": 2, "questions": 2, "learning_rate": 1e-3, **options}
    return tf.train(key(), model, params, task, **options)


def learnt(params):
    """As on an accelerator, all networks as one batch, and without a name for a file, which needs numbers."""
    task, model = network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "side_by_side", jax.vmap)
        patch.setattr(learning._identity, "content", lambda value: None)
        start = jax.tree.map(lambda leaf: leaf[None], params)
        options = {"steps": 2, "questions": 2, "params": start}
        return tf.learn(key()[None], model, task.demonstrations, **options).params


NETWORKS = {
    "transformer.train": rl,
    "transformer.train, old rollouts and KL": partial(rl, off_policy=OLD, regularizers=[qra.reverse_kl(0.1)]),
    "transformer.learn": learnt,
}
INPUTS = [
    (question, {**ON_ONE, "recipe, sampled": sampled_recipe}),
    (many_questions, ON_MANY),
    (lambda: single(tree.instances.chain([0.5, 0.5])), TREES),
    (parameters, NETWORKS),
]
RUNNERS = {name: (run, given) for given, runs in INPUTS for name, run in runs.items()}


def flat(name):
    """A runner as a function from arrays to arrays, and arrays for it."""
    run, given = RUNNERS[name]
    leaves, tree = jax.tree.flatten(given())
    return lambda *leaves: jax.tree.leaves(run(jax.tree.unflatten(tree, leaves))), leaves


@pytest.fixture(scope="module")
def single_precision():
    """JAX as it starts by default, without float64."""
    jax.clear_caches()
    with jax.enable_x64(False):
        yield
    jax.clear_caches()


@pytest.mark.parametrize("name", RUNNERS)
def test_runners_lower_for_accelerators(name, single_precision):
    run, numbers = flat(name)
    program = jax.jit(run)
    for platform, known in FACTORS.items():
        text = jax.export.export(program, platforms=[platform])(*numbers).mlir_module()
        assert not re.search(r"[<x]f64>", text)
        assert set(re.findall(r"custom_call @([\w.]+)", text)) <= (known if "stiff" in name else set())


def test_a_host_callback_would_be_seen(single_precision):
    def program(x):
        return jax.pure_callback(lambda x: x, x, x)

    with pytest.raises(ValueError, match="platform"):
        jax.export.export(jax.jit(program), platforms=["cuda"])(jnp.ones(3))


@pytest.mark.xfail(strict=True, reason="lineax checks a linear solve on the host, and optimistix lets it")
def test_the_derivative_of_an_event_lowers(single_precision):
    def slope(log_ref):
        problem = qra.Problem(log_ref, question().success)
        return flow.solve(problem, ts=[1.0, 2.0], event="best").stats["event_time"]

    jax.export.export(jax.jit(jax.grad(slope)), platforms=["cuda"])(question().log_ref)


def wide(jaxpr, inside=False):
    """Where a program of float32 numbers has float64 ones: what loops carry, and arrays made inside of loops."""
    for equation in jaxpr.eqns:
        loops = equation.primitive.name in ("while", "scan")
        for kind in [variable.aval for variable in equation.outvars]:
            strong = getattr(kind, "dtype", None) == jnp.float64 and not kind.weak_type
            if strong and (loops or (inside and kind.shape)):
                yield equation.primitive.name, kind.shape
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from wide(inner, inside or loops)


@pytest.mark.parametrize("name", [name for name in RUNNERS if "derivative" not in name])
def test_float32_stays_float32_where_float64_is_on(name):
    run, numbers = flat(name)
    program, shapes = jax.make_jaxpr(run, return_shape=True)(*numbers)
    assert not [leaf for leaf in shapes if leaf.dtype == jnp.float64]
    found = list(wide(program.jaxpr))
    if name.startswith("transformer"):  # angles of positions and uniform numbers, cast where they are used
        found = [at for at in found if at[0] in ("while", "scan")]
    if "event" in name:  # diffrax locates events in JAX's default precision
        found = [at for at in found if at[1] == ()]
    assert not found


def test_traced_times_out_of_order_are_invalid():
    solve = jax.jit(lambda ts: flow.solve(question(), ts=ts))
    for ts in ([2.0, 1.0], [-1.0, 1.0], [1.0, jnp.nan]):
        found = solve(jnp.array(ts))
        assert found.status == Status.INVALID
        assert jnp.isnan(found.log_policy).all()
    assert solve(jnp.array([1.0, 1.0])).status == Status.OK


def test_events_in_float32_are_those_of_float64():
    times = [
        flow.solve(problem, ts=[1.0, 500.0], event="best", target=0.5).stats["event_time"]
        for problem in (question(), qra.problem.examples.worked())
    ]
    assert times[0].dtype == jnp.float32
    assert float(times[0]) == pytest.approx(float(times[1]), rel=1e-4)


def test_diffrax_of_others_still_checks_its_times():
    import diffrax

    def solve(ts):
        term = diffrax.ODETerm(lambda t, y, args: -y)
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 0.1, 1.0, saveat=diffrax.SaveAt(ts=ts)).ys

    flow.solve(question(), ts=[0.5, 1.0])
    with pytest.raises(Exception, match="must be increasing"):
        jax.block_until_ready(jax.jit(solve)(jnp.array([1.0, 0.5])))
