"""What the studies of forecasts stand on: simulated regimes, logged noise, files of runs, forecasts without data."""

import numpy as np
import pytest

from qra_jax import fit
from qra_jax.studies.runs import _forecasts as forecasts


@pytest.mark.parametrize("entangled", [False, True])
def test_regimes_are_what_they_say(entangled):
    log_ref, success = forecasts.problems(np.random.default_rng(0), 50, entangled)
    second = np.sort(success, axis=1)[:, 1]
    assert ((second > (np.exp(log_ref) * success).sum(axis=1)) == entangled).all()
    assert len(success) == 50


def test_fresh_questions_add_to_binomial_noise():
    rng = np.random.default_rng(0)
    run = np.broadcast_to(np.linspace(0, 1, forecasts.QUESTIONS), (200, forecasts.QUESTIONS))
    logged = forecasts.log(rng, run)
    assert logged.mean() == pytest.approx(0.5, abs=0.02)
    assert logged.var() > 0.25 / (forecasts.FRESH * forecasts.ROLLOUTS)


def test_runs_are_read_or_skipped_with_the_reason(tmp_path):
    rng, steps = np.random.default_rng(1), np.arange(20)
    for name, speed in (("one", 0.1), ("two", 0.3)):
        y = rng.binomial(64, 1 / (1 + np.exp(2 - speed * steps))) / 64
        rows = "".join(f"{s},{v:.4f},64\n" for s, v in zip(steps, y, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"step,accuracy,n\n{rows}")
    (tmp_path / "unsl_three.csv").write_text("step,reward\n" + "".join(f"{s},{s / 8 - 1}\n" for s in steps))
    (tmp_path / "table.csv").write_text("domain,step,size\nx,1,5\ny,2,7\n")
    (tmp_path / "short.csv").write_text("step,accuracy\n1,.5\n2,.5\n")
    curves, untils, skipped = forecasts.read(tmp_path)
    assert [curve.name for curve in curves] == ["one", "two", "unsl_three"]
    assert untils[0] == pytest.approx(0.3 * 19)
    assert skipped == [
        "short.csv (too few points)",
        "table.csv (read as a table; no column looks like an accuracy)",
    ]
    assert forecasts.read(tmp_path / "nowhere") == ([], [], [])


def test_a_steep_curve_is_forecast_better_with_its_points_than_without():
    steps = np.arange(50.0)
    truth = 1 / (1 + np.exp(3 - 0.15 * steps))
    accuracy = np.random.default_rng(0).binomial(512, truth) / 512
    curves = [fit.Curve(steps, accuracy, np.full(50, 512))] * 2
    scores, ahead = forecasts.forecasts(curves, [30.0, 30.0], draws=32, seed=0)
    assert scores["end"].shape == (2, len(forecasts.METHODS))
    assert (scores["end"][:, 0] < 0.1).all()
    assert (scores["end"][:, -1] > scores["end"][:, 0]).all()
    assert (scores["narrow"] <= scores["covered"]).all()
    np.testing.assert_allclose(scores["weight"].sum(axis=1), 1)
    np.testing.assert_array_equal(ahead[0].steps, steps[31:])
