"""The study of a network's selection: whole at toy size, and judged on made-up networks that obey the theory or not."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from qra_jax.studies import transformer_selection as selection
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

SPEED, SEEDS = 0.35, 3


def obedient(sgd_metric="softmax", speed=SPEED, adam_speeds=(0.2, 0.5), rise=0.0, elsewhere=0.0):
    """Networks that run along an orbit at constant speed; success rates rise by `rise`."""
    step = np.arange(0, selection.STEPS + 1, 8)
    jitter = np.array([0.99, 1.0, 1.012])
    data = {"step": step}
    for name in ("SGD", "Adam"):
        rows = [c for c in selection.CONDITIONS if name == "SGD" or c[1]]
        fields = {key: [] for key in ("policy", "success", "policy elsewhere", "success elsewhere")}
        paths = {"softmax": [], "natural": []}
        for start, fixed in rows:
            problem = selection.STARTS[start]()
            success = np.asarray(problem.success)
            for metric, kept in paths.items():
                orbit = selection._orbits(np.asarray(problem.ref)[None], success[None], metric)[0]
                kept.append(np.repeat(orbit[None], SEEDS, axis=0))
            pace = speed if name == "SGD" else adam_speeds[list(selection.STARTS).index(start)]
            curve = paths[sgd_metric if name == "SGD" else "softmax"][-1][0]
            times = pace * jitter[:, None] * step
            policy = np.stack(
                [[np.interp(t, selection.TIMES, curve[:, r]) for r in range(3)] for t in times]
            ).transpose(0, 2, 1)
            grown = np.minimum(1, success + (0 if fixed else rise) * np.linspace(0, 1, len(step))[:, None])
            other = np.minimum(
                1, success + (0 if fixed else elsewhere) * np.linspace(0, 1, len(step))[:, None]
            )
            fields["policy"].append(policy)
            fields["policy elsewhere"].append(policy + 1e-3 * jitter[:, None, None])
            fields["success"].append(np.stack([grown] * SEEDS) * jitter[:, None, None])
            fields["success elsewhere"].append(np.stack([other] * SEEDS))
        for key, value in {**fields, **paths}.items():
            data[f"{name}/{key}"] = np.stack(value)
    return data


def verdicts(data):
    return {v.claim: v.verdict for v in selection.judge(data)}


def test_a_network_that_runs_along_the_orbit_confirms_the_theory():
    found = list(verdicts(obedient()).values())
    assert found == [HOLDS] * 10


@pytest.mark.parametrize(
    ("change", "claim", "verdict"),
    [
        ({"sgd_metric": "natural", "speed": 0.05}, "Where success rates cannot change", FAILS),
        ({"sgd_metric": "natural"}, "It is nearer", FAILS),
        ({"sgd_metric": "natural"}, "The first integral", FAILS),
        ({"sgd_metric": "natural"}, "The entangled start takes longer", FAILS),
        ({"adam_speeds": (0.3, 0.3)}, "Adam keeps the path", FAILS),
        ({"rise": 0.4}, "Success rates stay", FAILS),
        ({"elsewhere": 0.2}, "Answers do not", FAILS),
    ],
)
def test_another_network_refutes_it(change, claim, verdict):
    found = [v for c, v in verdicts(obedient(**change)).items() if c.startswith(claim)]
    assert found == [verdict]


def test_a_condition_is_named_where_one_start_alone_obeys():
    data = obedient()
    data["SGD/policy"][selection.CONDITIONS.index(("Regime 2", False)), :, :, 0] = 0.01
    found = verdicts(data)["The best pattern of the base model wins, where answers can be learnt."]
    assert found == f"{ONLY_IF}it starts in Regime 1"


def test_first_integrals_are_constant_on_their_own_orbit_alone():
    problem = selection.examples.worked()
    ref, success = np.asarray(problem.ref)[None], np.asarray(problem.success)[None]
    paths = {metric: selection._orbits(ref, success, metric) for metric in ("softmax", "natural")}
    for metric, path in paths.items():
        own = selection.integral(path, metric)
        np.testing.assert_allclose(own[np.isfinite(own)], 0.375, rtol=1e-6)
        other = selection.integral(paths["natural" if metric == "softmax" else "softmax"], metric)
        assert np.nanmax(np.abs(other - 0.375)) > 0.1


def test_gains_add_up_to_the_change_of_accuracy():
    rng = np.random.default_rng(0)
    policy, success = rng.dirichlet(np.ones(3), 7), rng.random((7, 3))
    both = sum(selection.gains(policy, success))
    np.testing.assert_allclose(both, policy[-1] @ success[-1] - policy[0] @ success[0], rtol=1e-12)


def test_the_time_of_a_hit_is_interpolated():
    assert selection.hit(np.array([0, 10, 20]), np.array([0.5, 0.8, 1.0])) == pytest.approx(15.0)
    assert selection.hit(np.array([0, 10]), np.array([0.95, 1.0])) == 0
    assert np.isinf(selection.hit(np.array([0, 10]), np.array([0.1, 0.2])))


def test_whole_study_at_toy_size(monkeypatch, tmp_path):
    monkeypatch.setenv("QRA_CACHE", str(tmp_path))
    for name, value in {
        "SEEDS": {True: 2},
        "MODEL": {True: {"width": 8, "depth": 1, "heads": 1}},
        "STEPS": 4,
        "RECORDS": 2,
        "PRETRAINING": 4,
        "QUESTIONS": 4,
        "HELD_OUT": 1,
    }.items():
        monkeypatch.setattr(selection, name, value)
    data = selection.compute(quick=True)
    assert data["SGD/policy"].shape == (4, 2, 3, 3)
    assert data["Adam/policy"].shape == (2, 2, 3, 3)
    np.testing.assert_allclose(data["SGD/policy"].sum(axis=-1), 1, rtol=1e-5)
    assert len(selection.judge(data)) == 10
    selection.draw(data).canvas.draw()
