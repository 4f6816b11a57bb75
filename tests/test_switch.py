"""An algorithm chosen by a traced number is each of its members, compiled once."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import training
from qra_jax.algorithm import (
    Algorithm,
    by_clock,
    dr_grpo,
    filtered_sft,
    grpo,
    pass_at_k,
    reinforce,
    rloo,
    switch,
    tsallis,
)
from qra_jax.problem import examples

SIZED = [
    replace(reinforce(0.3), group_size=4),
    rloo(4),
    grpo(4),
    dr_grpo(4),
    tsallis(0.5, 4),
    pass_at_k(2, 4),
]
ENDLESS = [reinforce(), grpo(), filtered_sft("both"), tsallis(0.5)]
RHO = jnp.array([1e-6, 0.3, 0.5, 0.999])
REWARDS = jnp.array([[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]])


def test_weights_are_the_members_and_compiled_once():
    where = jnp.array([True, True, True, False])

    @jax.jit
    @chex.assert_max_traces(n=1)
    def weights(index):
        family = switch(index, SIZED)
        return jax.vmap(family.weights)(REWARDS), family.weights(REWARDS[0], where)

    for index, member in enumerate(SIZED):
        whole, padded = weights(jnp.asarray(index))
        np.testing.assert_allclose(whole, jax.vmap(member.weights)(REWARDS), rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(padded, member.weights(REWARDS[0], where), rtol=1e-14, atol=1e-14)


def test_the_switch_vmaps_over_the_index():
    found = jax.jit(jax.vmap(lambda i: switch(i, SIZED).clock(RHO)))(jnp.arange(float(len(SIZED))))
    for row, member in zip(found, SIZED, strict=True):
        np.testing.assert_allclose(row, member.clock(RHO), rtol=1e-12)


@pytest.mark.parametrize("members", [SIZED, ENDLESS], ids=["finite", "limit"])
def test_clocks_are_the_members(members):
    for index, member in enumerate(members):
        family = switch(index, members)
        assert family.group_size == member.group_size
        np.testing.assert_allclose(family.clock(RHO), member.clock(RHO), rtol=1e-12)
        logs = family.log_clock_function()(RHO, 1 - RHO)
        np.testing.assert_allclose(logs, member.log_clock_function()(RHO, 1 - RHO), rtol=1e-12, atol=1e-12)


def test_a_clock_below_the_range_of_floats_keeps_its_logarithm():
    members = [reinforce(), pass_at_k(1000)]
    logs = switch(1, members).log_clock_function()(jnp.asarray(0.9), jnp.asarray(0.1))
    np.testing.assert_allclose(logs, np.log(1000) + 999 * np.log(0.1), rtol=1e-12)
    assert switch(0, members).log_clock_function()(jnp.asarray(0.9), jnp.asarray(0.1)) == 0


def test_real_clocks_only_where_all_have_one():
    members = [reinforce(), grpo()]
    for index, expected in enumerate([1.0, 4.0]):
        family = switch(index, members)
        assert family.real_clock is None  # GRPO's is exact in the limit alone
        assert family.limit_real_clock is not None
        speed = family.limit_real_clock(family.params, jnp.asarray(0.25), jnp.inf)
        np.testing.assert_allclose(speed, expected)
    exact = switch(1, [reinforce(), dr_grpo()])
    assert exact.real_clock is not None
    np.testing.assert_allclose(exact.real_clock(exact.params, jnp.asarray(0.25), 4.0), 0.75)
    mixed = switch(0, [reinforce(), tsallis(0.5)])
    assert mixed.real_clock is None
    assert mixed.limit_real_clock is None
    sizeless = Algorithm("none", lambda params, rewards, where: rewards)
    assert switch(0, [sizeless, sizeless]).limit_clock is None


def test_the_functions_of_two_switches_are_the_same():
    """So that a program compiled for one serves the other."""
    first, second = switch(0, SIZED), switch(1, list(SIZED))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert jax.tree.structure(by_clock(grpo(8))) == jax.tree.structure(by_clock(grpo(8)))


def test_members_parameters_have_derivatives():
    def speed(q):
        return switch(1, [reinforce(), tsallis(q)]).clock(jnp.asarray(0.3))

    np.testing.assert_allclose(jax.grad(speed)(0.5), -np.log(0.3) * 0.3**-0.5, rtol=1e-12)


def test_training_by_the_switch_is_training_by_the_member():
    problem = examples.worked()
    members = [replace(reinforce(), group_size=4), grpo(4)]

    def run(algorithm):
        return training.train(jax.random.key(1), problem, steps=5, algorithm=algorithm, learning_rate=0.2)

    found = jax.jit(jax.vmap(lambda i: run(switch(i, members)).log_policy))(jnp.arange(2))
    for row, member in zip(found, members, strict=True):
        np.testing.assert_allclose(row, run(member).log_policy, rtol=1e-12, atol=1e-12)


def test_single_precision_stays():
    members = [replace(reinforce(), group_size=4), grpo(4)]
    assert switch(1, members).weights(REWARDS[0].astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize(
    "member",
    [reinforce(), grpo(), grpo(8), rloo(8), pass_at_k(4, 8), replace(grpo(4), resamples_silent=True)],
)
def test_by_clock_keeps_the_clock(member):
    found = by_clock(member)
    assert found.group_size is None
    np.testing.assert_allclose(found.clock(RHO), member.clock(RHO), rtol=1e-12)
    logs = found.log_clock_function()(RHO, 1 - RHO)
    np.testing.assert_allclose(logs, member.log_clock_function()(RHO, 1 - RHO), rtol=1e-12, atol=1e-12)


def test_by_clock_mixes_group_sizes_and_has_no_weights():
    members = [reinforce(), grpo(8), replace(grpo(4), resamples_silent=True)]
    family = jax.jit(jax.vmap(lambda i: switch(i, [by_clock(m) for m in members]).clock(RHO)))
    for row, member in zip(family(jnp.arange(3)), members, strict=True):
        np.testing.assert_allclose(row, member.clock(RHO), rtol=1e-12)
    with pytest.raises(ValueError, match="has no weights"):
        by_clock(grpo(8)).weights(REWARDS[0])


def test_what_a_switch_refuses():
    with pytest.raises(ValueError, match="members: none"):
        switch(0, [])
    with pytest.raises(ValueError, match=r"members\[1\]: group size 8; must be 4"):
        switch(0, [grpo(4), grpo(8)])
    with pytest.raises(ValueError, match=r"members\[1\]: resamples_silent"):
        switch(0, [grpo(4), replace(grpo(4), resamples_silent=True)])
    with pytest.raises(ValueError, match=r"index: 2; must be in \[0, 1\]"):
        switch(2, [reinforce(), grpo()])
    with pytest.raises(ValueError, match=r"index: 0\.5; must be a whole number"):
        switch(0.5, [reinforce(), grpo()])
