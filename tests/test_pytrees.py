"""Parts as arguments of compiled functions: the same part made twice compiles once, another one compiles again."""

import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import training
from qra_jax._pytrees import LARGEST, Function
from qra_jax.training.api import _train

PROBLEM = qra.problem.examples.worked()
KEY = jax.random.key(0)


def programs(call):
    """How many programs of `train` a call adds."""
    before = _train._cache_size()
    call()
    return _train._cache_size() - before


def step(algorithm=None, optimizer=None, **options):
    rate = {"learning_rate": 0.1} if optimizer is None else {"optimizer": optimizer}
    algorithm = qra.grpo(4) if algorithm is None else algorithm
    training.train(KEY, PROBLEM, steps=1, algorithm=algorithm, **rate, **options)


def scaled(factor, group_size=4):
    """A factory as users write one: its weights are a function made anew at every call."""

    def weigh(params, rewards, where):
        return factor * (rewards - jnp.mean(rewards, where=where))

    return qra.Algorithm("mine", weigh, group_size)


def test_a_factory_with_a_nested_function_compiles_once():
    assert programs(lambda: step(scaled(2.0))) == 1
    assert programs(lambda: step(scaled(2.0))) == 0
    # Control: the number that it closes over is part of the program.
    assert programs(lambda: step(scaled(3.0))) == 1
    assert scaled(2.0).weigh is not scaled(2.0).weigh


def test_programs_of_closures_are_not_mixed_up():
    """The run of each closure is its own, whichever was compiled first."""

    def end(factor):
        options = {"steps": 1, "learning_rate": 0.1, "mode": "mean"}
        return training.train(KEY, PROBLEM, algorithm=scaled(factor), **options).log_policy[-1]

    plain = end(1.0) - PROBLEM.log_ref
    for factor in (2.0, 5.0):
        algorithm = scaled(factor)
        drift = algorithm.clock(PROBLEM.accuracy_ref) / scaled(1.0).clock(PROBLEM.accuracy_ref)
        assert float(drift) == pytest.approx(factor)
        assert float(jnp.abs(end(factor) - PROBLEM.log_ref - plain).max()) > 1e-3


def test_names_are_no_part_of_a_program():
    named = replace(scaled(2.0), name="another name", made=("scaled", {"factor": 2.0}))
    step(scaled(2.0))
    assert programs(lambda: step(named)) == 0
    reward, term = qra.verifiable(), qra.reverse_kl(0.1)
    step(reward=reward, regularizers=[term])
    other = {"reward": replace(reward, name="mine"), "regularizers": [replace(term, name="mine")]}
    assert programs(lambda: step(**other)) == 0
    # Control: what a label is carried along with is compared.
    assert programs(lambda: step(replace(named, group_size=5))) == 1
    _, tree = jax.tree.flatten(named)
    assert jax.tree.unflatten(tree, jax.tree.leaves(named)).name == "another name"


def test_a_ready_made_optimizer_compiles_once():
    assert programs(lambda: step(optimizer=optax.sgd(0.1))) == 1
    assert programs(lambda: step(optimizer=optax.sgd(0.1))) == 0
    assert programs(lambda: step(optimizer=optax.sgd(0.2))) == 1, "its rate is part of the program"
    assert programs(lambda: step(optimizer=optax.sgd(0.1, momentum=0.9))) == 1


def test_numbers_of_factories_compile_nothing():
    step(qra.grpo(4, epsilon=0.1))
    assert programs(lambda: step(qra.grpo(4, epsilon=0.2, ddof=1))) == 0
    assert programs(lambda: step(optimizer=None, regularizers=[qra.k2_loss(0.1)])) == 1
    assert programs(lambda: step(optimizer=None, regularizers=[qra.k2_loss(0.3)])) == 0


def adder(value, *, scale=1.0):
    def inner(x, offset=value):
        return scale * (x + offset)

    return inner


def countdown(last):
    def inner(n):
        return last if n == 0 else inner(n - 1)

    return inner


class Owner:
    def method(self):
        return self


OWNER = Owner()


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: adder(1), lambda: adder(2)),
        (lambda: adder(1), lambda: adder(1, scale=2.0)),
        (lambda: adder(1), lambda: adder(1.0)),
        (lambda: adder(1), lambda: adder(True)),
        (lambda: adder(0.0), lambda: adder(-0.0)),
        (lambda: adder(np.arange(3)), lambda: adder(np.arange(3.0))),
        (lambda: adder(jnp.arange(3)), lambda: adder(jnp.arange(3) + 1)),
        (lambda: adder([1, (2, {"a": 3})]), lambda: adder([1, (2, {"a": 4})])),
        (lambda: partial(adder(1), 2), lambda: partial(adder(1), 3)),
        (lambda: partial(adder(1), x=2), lambda: partial(adder(1), x=3)),
        (lambda: countdown(1), lambda: countdown(2)),
        (lambda: OWNER.method, lambda: Owner().method),
        (lambda: jnp.exp, lambda: jnp.log),
    ],
)
def test_functions_are_equal_where_they_compute_the_same(make, other):
    assert Function(make()) == Function(make())
    assert hash(Function(make())) == hash(Function(make()))
    assert Function(make()) != Function(other())


SCALE = 1.0


def test_globals_that_a_nested_function_reads_are_part_of_it(monkeypatch):
    make = lambda: lambda x: (lambda y: SCALE * y)(x)  # noqa: E731
    first = Function(make())
    assert first == Function(make())
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    assert first != Function(make())


def test_a_function_of_a_module_is_only_itself():
    assert Function(adder) == Function(adder)
    assert Function(adder) != Function(countdown)


def test_a_nan_that_is_closed_over_is_itself():
    assert Function(adder(float("nan"))) == Function(adder(float("nan")))


def test_large_arrays_and_unknown_objects_are_the_same_only_as_one_object():
    large = np.zeros(LARGEST + 1)
    assert Function(adder(large)) == Function(adder(large))
    assert Function(adder(large)) != Function(adder(large.copy()))
    thing = object()
    assert Function(adder(thing)) == Function(adder(thing))
    assert Function(adder(thing)) != Function(adder(object()))


def test_other_code_with_equal_closures_is_another_function():
    value = 2.0
    double, square = (lambda x: value * x), (lambda x: x**value)
    assert Function(double) != Function(square)
    assert Function(double)(3.0) == 6.0


def test_parts_go_through_transformations():
    algorithm = replace(qra.grpo(4), made=("grpo", {"group_size": 4}))
    doubled = jax.tree.map(lambda leaf: 2 * leaf, qra.reverse_kl(0.1))
    assert doubled.params["beta"] == pytest.approx(0.2)
    assert doubled.name == "reverse KL"
    assert jax.tree.map(lambda leaf: leaf, algorithm).made == algorithm.made
    path = jax.tree_util.tree_flatten_with_path(qra.tsallis(0.3))[0]
    assert [jax.tree_util.keystr(where) for where, _ in path] == [".params['q']"]
    many = jax.vmap(lambda q: qra.tsallis(q))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(many.params["q"], [0.1, 0.2])
