"""What objects say they are, in a line and in a notebook."""

import jax
import pytest

import qra_jax as qra
from qra_jax.problem import stack

PROBLEM = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])
MANY = stack([PROBLEM] * 3)


@pytest.fixture(scope="module")
def path():
    return qra.orbit.solve(PROBLEM, ts=[0.0, 1.0, 100.0])


def test_problems():
    assert repr(PROBLEM) == "Problem(π_ref = [0.05 0.7 0.25], p = [0.9 0.6 0.1], accuracy 0.49)"
    assert repr(MANY) == "Problem(3 questions of 3 patterns, float64)"
    long = qra.problem.random(jax.random.key(0), patterns=100)
    assert "…" in repr(long)
    assert len(repr(long)) < 200
    assert "<td>0 (best)</td><td>0.05</td><td>0.9</td>" in PROBLEM._repr_html_()
    assert MANY._repr_html_() is None


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (qra.grpo(8), "Algorithm(GRPO, G = 8)"),
        (qra.grpo(), "Algorithm(GRPO, any G)"),
        (qra.reinforce(0.1), "Algorithm(REINFORCE, any G, baseline = 0.1)"),
        (qra.pass_at_k(4, 8), "Algorithm(pass@4, G = 8, k = 4)"),
    ],
    ids=str,
)
def test_algorithms(algorithm, expected):
    assert repr(algorithm) == expected


def test_trajectories(path):
    assert repr(path) == "Trajectory(3 times, 3 patterns, t = 0 … 100, accuracy 0.49 → 0.813, OK)"
    runs = jax.vmap(lambda problem: qra.orbit.solve(problem, ts=[1.0, 100.0]))(MANY)
    assert repr(runs).endswith("runs, 2 times, 3 patterns, t = 1 … 100, mean accuracy 0.504 → 0.813, OK 3)")
    assert f"<td>100</td><td>{path.accuracy[-1]:.4f}</td>" in path._repr_html_()
    assert runs._repr_html_() is None


def test_what_has_no_numbers_shows_its_shape(path):
    seen = []
    jax.jit(lambda problem, path: seen.append((repr(problem), repr(path))) or problem.success)(PROBLEM, path)
    assert seen == [
        (
            "Problem(log_ref=float64[3], success=float64[3])",
            "Trajectory(time=float64[3], log_policy=float64[3,3])",
        )
    ]
