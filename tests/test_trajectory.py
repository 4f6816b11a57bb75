"""How a computation ended: statuses merged, results that say whether they are right and in words why not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import Status
from qra_jax.recipe.design import Sensitivity
from qra_jax.recipe.run import RecipeRun
from qra_jax.trajectory import Outcome

ORDER = ["OK", "ALREADY_MET", "UNREACHABLE", "NOT_CONVERGED", "OUT_OF_PRECISION", "DIVERGED", "INVALID"]


def test_the_more_serious_of_every_pair():
    assert sorted(ORDER) == sorted(status.name for status in Status)
    for i, harmless in enumerate(ORDER):
        for serious in ORDER[i:]:
            for pair in ((harmless, serious), (serious, harmless)):
                assert int(Status.worst(*(Status[name] for name in pair))) == Status[serious]


def test_worst_of_arrays_broadcasts():
    first, second = np.array([[0, 1, 2], [5, 6, 0]]), np.array([3, 0, 1])
    worst = Status.worst(first, second, Status.OK)
    assert worst.dtype == jnp.int32
    assert worst.tolist() == [[3, 1, 2], [5, 6, 1]]
    assert Status.worst(first).tolist() == first.tolist()
    assert Status.worst(first, axis=0).tolist() == [5, 6, 2]
    assert Status.worst(first, second, axis=(0, 1)).tolist() == Status.INVALID
    assert Status.worst(first, axis=None).shape == ()
    with pytest.raises(ValueError, match="statuses: none"):
        Status.worst()


def test_worst_under_jit_and_vmap():
    many = jnp.arange(7)
    alone = [[int(Status.worst(Status(i), Status(j))) for j in range(7)] for i in range(7)]
    mapped = jax.jit(jax.vmap(jax.vmap(Status.worst, (None, 0)), (0, None)))(many, many)
    assert mapped.tolist() == alone


def test_members_are_numbers_with_a_meaning():
    assert [int(status) for status in Status] == list(range(7))
    assert Status(2) is Status.UNREACHABLE
    assert all(status.__doc__ and status.__doc__ != Status.__doc__ for status in Status)
    assert jnp.where(jnp.asarray(True), Status.OK, Status.DIVERGED) == 0


def result(status):
    shape = np.shape(status)
    return qra.orbit.Hit(
        jnp.zeros(shape), jnp.zeros((*shape, 2)), jnp.asarray(status, jnp.int32), jnp.zeros(shape, jnp.int32)
    )


@pytest.mark.parametrize("status", list(Status))
def test_a_result_says_how_it_ended(status):
    one = result(status)
    assert one.ok.shape == ()
    assert bool(one.ok) == (status in (Status.OK, Status.ALREADY_MET))
    assert one.explain() == f"{status.name}: {status.__doc__}"


def test_results_count_their_endings():
    many = result([[0, 2, 0], [1, 0, 2]])
    assert many.ok.tolist() == [[True, False, True], [True, True, False]]
    assert many.explain().split("\n") == [
        "OK (3 of 6): The answer is right to the precision asked for.",
        "ALREADY_MET (1 of 6): The event holds at time zero: time 0, log time −inf.",
        "UNREACHABLE (2 of 6): The event never happens on this orbit: time and log time +inf.",
    ]
    oks = jax.jit(jax.vmap(lambda hit: hit.ok))(many)
    assert oks.tolist() == many.ok.tolist()
    with pytest.raises(ValueError, match="status: traced; must be concrete"):
        jax.jit(lambda hit: hit.explain() and 0)(many)


@pytest.mark.parametrize("kind", [qra.Trajectory, qra.orbit.Hit, RecipeRun, Sensitivity])
def test_every_result_with_a_status_has_both(kind):
    assert issubclass(kind, Outcome)
    assert "status" in kind.__dataclass_fields__


def test_a_path_with_a_plain_number_for_its_status():
    path = qra.Trajectory(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(2), jnp.asarray(Status.DIVERGED.value))
    assert not path.ok
    assert path.explain().startswith("DIVERGED: Training left the numbers")
