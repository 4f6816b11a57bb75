"""The study of a network's selection: whole at toy size, and judged on made-up networks that obey the theory or not."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from qra_jax import orbit
from qra_jax.studies import transformer_selection as selection
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, decided

pytestmark = pytest.mark.usefixtures("compiled_plainly")

SPEED, SEEDS = 0.35, 3
OPEN = decided(False, False)


def obedient(sgd_metric="softmax", speed=SPEED, adam_speeds=(0.2, 0.5), rise=0.0, elsewhere=0.0, timing=None):
    """Networks that run along an orbit at constant speed; success rates rise by `rise`, by `elsewhere` if held out."""
    step, questions = np.arange(0, selection.STEPS[False] + 1, selection.EVERY), selection.QUESTIONS
    jitter = np.array([0.99, 1.0, 1.012])
    data = {"step": step}
    for name in ("SGD", "Adam"):
        fields = {key: [] for key in ("policy", "success", "softmax", "natural")}
        for start, fixed in [c for c in selection.CONDITIONS if name == "SGD" or c[1]]:
            problem = selection.STARTS[start]()
            success = np.asarray(problem.success)
            for geometry in ("softmax", "natural"):
                orbit = selection._orbits(np.asarray(problem.ref)[None], success[None], geometry)[0]
                fields[geometry].append(np.repeat(orbit[None], SEEDS, axis=0))
            pace = speed if name == "SGD" else adam_speeds[list(selection.STARTS).index(start)]
            curve = fields[sgd_metric if name == "SGD" else "softmax"][-1][0]
            clock = selection.TIMES if timing is None else timing(curve, success)
            times = pace * jitter[:, None] * step
            path = np.stack([[np.interp(t, clock, curve[:, r]) for r in range(3)] for t in times])
            fields["policy"].append(np.repeat(path.transpose(0, 2, 1)[:, :, None], questions, axis=2))
            up = np.where(np.arange(questions) < questions - selection.HELD_OUT, rise, elsewhere)
            up = (0 if fixed else 1) * up[:, None] * np.linspace(0, 1, len(step))[:, None, None]
            fields["success"].append(np.repeat(np.minimum(1, success + up)[None], SEEDS, axis=0))
        for key, value in fields.items():
            data[f"{name}/{key}"] = np.stack(value)
        shape = data[f"{name}/policy"].shape
        data |= {f"{name}/status": np.zeros(shape[:2], int), f"{name}/leak": np.zeros(shape[:3])}
    return data


def verdicts(data):
    return {v.claim: v.verdict for v in selection.judge(data)}


def test_a_network_that_runs_along_the_orbit_confirms_the_theory():
    assert set(verdicts(obedient()).values()) == {HOLDS}


@pytest.mark.parametrize(
    ("change", "claim", "verdict"),
    [
        ({"sgd_metric": "natural", "speed": 0.05}, "Where success rates cannot change, SGD", FAILS),
        ({"speed": 0.0}, "Where success rates cannot change, SGD", OPEN),
        ({"speed": 0.0}, "The entangled start takes longer", FAILS),
        ({"timing": lambda curve, success: selection.TIMES**2}, "With SGD one rescaling", FAILS),
        ({"sgd_metric": "natural"}, "It is nearer", FAILS),
        ({"sgd_metric": "natural"}, "The first integral", FAILS),
        ({"sgd_metric": "natural"}, "The entangled start takes longer", FAILS),
        ({"adam_speeds": (0.3, 0.3)}, "Adam has no one rescaling", FAILS),
        ({"rise": 0.4}, "Success rates stay", FAILS),
        ({"elsewhere": 0.2}, "Answers do not", FAILS),
    ],
)
def test_another_network_refutes_it(change, claim, verdict):
    found = [v for c, v in verdicts(obedient(**change)).items() if c.startswith(claim)]
    assert found == [verdict]


def test_a_condition_is_named_where_one_start_alone_obeys():
    data = obedient()
    c = selection.CONDITIONS.index(("Regime 2", False))
    data["SGD/policy"][c] = [0.01, 0.98, 0.01]
    data["SGD/success"][c, :, -1, :, 1] = 0.99
    found = verdicts(data)["The best pattern of the base model wins, where answers can be learnt."]
    assert found == f"{ONLY_IF}it starts in Regime 1"


def test_first_integrals_are_constant_on_their_own_orbit_alone():
    problem = selection.examples.worked()
    ref, success = np.asarray(problem.ref)[None], np.asarray(problem.success)[None]
    paths = {geometry: selection._orbits(ref, success, geometry) for geometry in ("softmax", "natural")}
    for geometry, path in paths.items():
        own = selection.integral(path, geometry)
        np.testing.assert_allclose(own[np.isfinite(own)], 0.375, rtol=1e-6)
        other = selection.integral(paths["natural" if geometry == "softmax" else "softmax"], geometry)
        assert np.nanmax(np.abs(other - 0.375)) > 0.1


def test_gains_add_up_to_the_change_of_accuracy():
    rng = np.random.default_rng(0)
    policy, success = rng.dirichlet(np.ones(3), (7, 4)), rng.random((7, 4, 3))
    accuracy = (policy * success).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(sum(selection.gains(policy, success)), accuracy[-1] - accuracy[0], rtol=1e-12)


def test_the_clock_of_reinforce_is_that_of_the_exact_orbit():
    problem = selection.examples.worked()
    ref, success = np.asarray(problem.ref)[None], np.asarray(problem.success)
    path = selection._orbits(ref, success[None], "softmax")[0]
    time = selection.reinforce_time(path, success)
    i = np.argmax(path[:, 0] >= 0.9)
    share = path[i, 0]
    exact = np.exp(orbit.log_hitting_time(problem, float(share)))
    np.testing.assert_allclose(time[i], exact, rtol=1e-3)


def test_seeds_that_diverged_are_left_out():
    data = obedient()
    data["SGD/status"][0, 1] = 6
    assert "(2 seeds" in selection.judge(data)[0].measured
    data["SGD/status"][:] = 6
    with pytest.raises(ValueError, match="every seed diverged"):
        selection.judge(data)


def test_the_time_of_a_hit_is_interpolated():
    assert selection.hit(np.array([0, 10, 20]), np.array([0.5, 0.8, 1.0])) == pytest.approx(15.0)
    assert selection.hit(np.array([0, 10]), np.array([0.95, 1.0])) == 0
    assert np.isinf(selection.hit(np.array([0, 10]), np.array([0.1, 0.2])))


def test_whole_study_at_toy_size(monkeypatch, tmp_path):
    monkeypatch.setenv("QRA_CACHE", str(tmp_path))
    for name, value in {
        "SEEDS": {True: 2},
        "MODEL": {True: {"width": 8, "depth": 1, "heads": 1}},
        "STEPS": {True: 4},
        "EVERY": 2,
        "PRETRAINING": 4,
        "QUESTIONS": 4,
        "HELD_OUT": 1,
    }.items():
        monkeypatch.setattr(selection, name, value)
    data = selection.compute(quick=True)
    assert data["SGD/policy"].shape == (4, 2, 3, 4, 3)
    assert data["Adam/policy"].shape == (2, 2, 3, 4, 3)
    np.testing.assert_allclose(data["SGD/policy"].sum(axis=-1), 1, rtol=1e-5)
    assert len(selection.judge(data)) == 11
    selection.draw(data).canvas.draw()
