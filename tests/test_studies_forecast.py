"""The studies of forecasts: what they compute on small sizes, and verdicts that can go either way."""

import numpy as np
import pytest

from qra_jax import plot
from qra_jax.studies import forecast, real_forecast
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

RUNS, METHODS = 40, len(forecast.METHODS)


@pytest.fixture(scope="module")
def scores():
    """Made-up scores in the shape that `compute` returns, as the predictions would have them."""
    rng = np.random.default_rng(0)
    shape = (len(forecast.REGIMES), RUNS)
    base = np.array([0.05, 0.10, 0.09, 0.09, 0.08])
    end = rng.uniform(0.8, 1.2, (*shape, 1)) * base + rng.uniform(-0.01, 0.01, (*shape, METHODS))
    end[1] += 0.02
    covered = np.zeros((*shape, METHODS))
    covered[:, : round(0.8 * RUNS)] = 1
    paths = np.sort(rng.uniform(size=(*shape, 3, forecast.POINTS)), axis=2)[:, :, [1, 0, 2]]
    eye = np.broadcast_to(np.eye(5)[:, None], (5, RUNS, 5))
    return {
        "accuracy": np.broadcast_to(np.linspace(0.2, 0.8, forecast.POINTS), (*shape, forecast.POINTS)),
        "logged": rng.uniform(size=(*shape, forecast.POINTS)),
        "paths": paths[..., np.arange(forecast.POINTS) / (forecast.POINTS - 1) > forecast.PART],
        "end": end,
        "covered": covered,
        "rich": eye,
        "poor": eye[:, ::-1] * 0 + 0.2,
    }


def test_forecasts_are_judged(scores):
    rows = [row.verdict for row in forecast.judge(scores)]
    assert rows[0] == rows[1] == rows[3] == HOLDS
    assert rows[2].startswith(ONLY_IF + "the whole rise")
    worse = scores["end"].copy()
    worse[..., 4] = worse[..., 0] - 0.01
    assert forecast.judge(scores | {"end": worse})[0].verdict == ONLY_IF + (
        "the baseline is the last value or the exponential or the power law"
    )
    worse = scores["end"] + np.array([0.2, 0, 0, 0, 0])
    all_same = scores["end"].copy()
    all_same[1] = all_same[0]
    assert forecast.judge(scores | {"end": worse})[0].verdict == FAILS
    assert forecast.judge(scores | {"end": all_same})[3].verdict == FAILS
    assert forecast.judge(scores | {"covered": 0 * scores["covered"]})[1].verdict == FAILS
    assert forecast.judge(scores | {"rich": scores["poor"]})[2].verdict == FAILS
    assert forecast.judge(scores | {"poor": scores["rich"]})[2].verdict == HOLDS


def test_forecasts_are_drawn(scores):
    with plot.style():
        assert len(forecast.draw(scores).axes) == 6


def test_regimes_are_what_they_say():
    rng = np.random.default_rng(0)
    for entangled in (False, True):
        log_ref, success = forecast._problems(rng, 50, entangled)
        second = np.sort(success, axis=1)[:, 1]
        assert ((second > (np.exp(log_ref) * success).sum(axis=1)) == entangled).all()
        assert len(success) == 50
    run = np.broadcast_to(np.linspace(0, 1, forecast.QUESTIONS), (200, forecast.QUESTIONS))
    logged = forecast._log(rng, run)
    assert logged.mean() == pytest.approx(0.5, abs=0.02)
    assert logged.var() > 0.25 / (forecast.FRESH * forecast.ROLLOUTS)  # fresh questions add to binomial noise


# real runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Made-up runs, and files that are none."""
    folder, rng, steps = tmp_path_factory.mktemp("runs"), np.random.default_rng(1), np.arange(20)
    for name, speed in (("one", 0.1), ("two", 0.3)):
        y = rng.binomial(64, 1 / (1 + np.exp(2 - speed * steps))) / 64
        rows = "".join(f"{s},{v:.4f},64\n" for s, v in zip(steps, y, strict=True))
        (folder / f"{name}.csv").write_text(f"step,accuracy,n\n{rows}")
    (folder / "unsl_three.csv").write_text("step,reward\n" + "".join(f"{s},{s / 8 - 1}\n" for s in steps))
    (folder / "table.csv").write_text("domain,step,mean8\nx,1,.5\ny,2,.5\n")
    (folder / "short.csv").write_text("step,accuracy\n1,.5\n2,.5\n")
    return folder


@pytest.fixture(scope="module")
def real(folder):
    return real_forecast.compute(quick=True, folder=folder)


def test_runs_are_read_or_skipped_with_the_reason(folder):
    curves, untils, skipped = real_forecast.runs(folder)
    assert [curve.name for curve in curves] == ["one", "two", "unsl_three"]
    assert untils[0] == pytest.approx(0.3 * 19)
    assert skipped == ["short.csv (too few points)", "table.csv (no column 'accuracy')"]
    with pytest.raises(ValueError, match="needs --data DIR"):
        real_forecast.compute(quick=True)
    with pytest.raises(ValueError, match="holds no run that can be scored"):
        real_forecast.compute(quick=True, folder=folder / "nowhere")


def test_real_runs_are_scored_and_drawn(real):
    assert real["names"].tolist() == ["one"]
    assert np.isfinite(real["end"]).all()
    assert real["end"].shape == (1, METHODS)
    assert real["weights"].sum() == pytest.approx(1)
    with plot.style():
        assert len(real_forecast.draw(real).axes) == 2
    assert [row.verdict for row in real_forecast.judge(real)[:3]] == [FAILS] * 3  # one run tells nothing


def test_real_forecasts_are_judged(real):
    end = np.random.default_rng(0).uniform(0.04, 0.06, (RUNS, METHODS))
    end[:, 1:] += 0.1
    covered = np.repeat(np.arange(RUNS) < 0.8 * RUNS, METHODS).reshape(RUNS, METHODS).astype(float)
    certain = np.tile([0.9, 0.1, 0, 0, 0], (RUNS, 1))
    good = {"names": np.arange(RUNS).astype(str), "skipped": real["skipped"], "weights": certain}
    good |= {"end": end, "error": end, "crps": end, "covered": covered, "end_covered": covered}
    assert [row.verdict for row in real_forecast.judge(good)] == [HOLDS] * 5
    bad = good | {"end": end[:, ::-1], "end_covered": 0 * covered, "weights": np.full((RUNS, 5), 0.2)}
    verdicts = [row.verdict for row in real_forecast.judge(bad)]
    assert [verdicts[0], *verdicts[3:]] == [FAILS] * 3
