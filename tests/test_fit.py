"""Fitting measured curves: reading, closed forms against other solvers, posteriors, words, bad input."""

import dataclasses
import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from qra_jax import cli, fit, flow, theory
from qra_jax.algorithm import grpo
from qra_jax.fit import curve, dynamics, forecast, noise, questions, report as words, runs, shape, smc
from qra_jax.fit.runs import scales
from qra_jax.problem import Problem

DRAWS = 64
INDEX = {name: i for i, name in enumerate(dynamics.PARAMETERS)}


def u_of(**values):
    u = np.zeros(len(INDEX))
    for name, value in values.items():
        u[INDEX[name]] = value
    return jnp.asarray(u)


@functools.cache
def compiled():
    table = dynamics.clocks(8)
    return jax.jit(lambda u, kind, ts: dynamics.accuracy(u, kind, ts, table))


def level(u, name, patterns, ts):
    kind = jnp.array([dynamics.DYNAMICS.index(name), patterns])
    grid = jnp.linspace(0, 1, 40) * float(ts[-1])  # one shape: one compilation
    return np.interp(ts, grid, np.asarray(compiled()(u, kind, grid)))


# models

ONE = {"spread": -9.0, "rest": -9.0}
"""One question, no rest."""


@pytest.mark.parametrize(
    ("name", "clock", "speed"),
    [("reinforce", "reinforce", 2), ("grpo mean field", "grpo", 1), ("common shift", "natural", 1)],
)
def test_one_question_has_its_closed_form(name, clock, speed):
    ts, rate = np.linspace(0, 3, 40), np.exp(1.5 * 0.8)
    got = level(u_of(start=-1, rate=0.8, **ONE), name, 1, ts)
    exact = jax.nn.sigmoid(theory.two_pattern_logit(-2.0, speed * rate * jnp.asarray(ts), clock))
    np.testing.assert_allclose(got, exact, atol=1e-3)
    half = level(u_of(start=-1, rate=0.8, top=stats.norm.ppf(0.25), **ONE), name, 2, ts)  # a = √¼
    np.testing.assert_allclose(half, got / 2, rtol=1e-12)


def test_finite_groups_move_at_their_clock():
    ts, algorithm = np.linspace(0, 3, 40), grpo(8)
    right = level(u_of(start=-1, rate=0.8, **ONE), "grpo", 1, ts)
    clock = np.asarray(algorithm.clock(jnp.asarray(right))) / float(algorithm.clock(jnp.asarray(0.5)))
    speed = np.exp(1.5 * 0.8) * 4 * right * (1 - right) * clock
    logit = np.log(right / (1 - right))
    moved = np.append(0.0, np.cumsum((speed[1:] + speed[:-1]) / 2)) * ts[1]
    np.testing.assert_allclose(logit - logit[0], moved, atol=0.02)


def test_three_patterns_follow_the_flow():
    u = u_of(start=-1, rate=1.2, rest=-9, top=0.5, middle=0.3, share=0.4)
    values = {key: float(value) for key, value in dynamics.physical(u, 3).items()}
    others = 1 - values["start"]
    ref = np.array([values["start"], others * values["share"], others * (1 - values["share"])])
    success, ts = np.array([values["top"], values["middle"], 0.0]), np.linspace(0, 3, 40)
    exact = flow.solve(Problem.from_probs(ref=ref, success=success), ts=2 * values["rate"] * ts).accuracy
    np.testing.assert_allclose(level(u, "reinforce", 3, ts), exact, atol=5e-3)
    natural = ref * np.exp(values["rate"] * ts[:, None] * success)
    exact = natural @ success / natural.sum(axis=1)
    np.testing.assert_allclose(level(u, "common shift", 3, ts), exact, atol=5e-3)


def test_shared_features_move_all_questions_alike():
    u, ts = u_of(start=-1, rate=1.0, rest=-9), np.linspace(0, 2, 200)
    clock = jax.jit(grpo(8).clock_function())
    scale, start = 2 / float(clock(jnp.asarray(0.5), jnp.asarray(0.5))), -2 + dynamics._xi
    shift, path = 0.0, []
    for _ in ts:
        right = 1 / (1 + np.exp(-start - shift))
        path.append(dynamics._weight @ right)
        signal = (
            2 * scale * right * (1 - right) * np.asarray(clock(jnp.asarray(right), jnp.asarray(1 - right)))
        )
        shift += (ts[1] - ts[0]) * np.exp(1.5) * (dynamics._weight @ signal)
    np.testing.assert_allclose(level(u, "shared features", 1, ts), path, atol=5e-3)


@pytest.fixture(scope="module")
def path_and_slope():
    """Accuracy along the columns of u, and its derivative along `tangent`."""
    table, ts = dynamics.clocks(8), jnp.linspace(0, 4, 9)

    @jax.jit
    def run(us, tangents, kind):
        path = lambda u: dynamics.accuracy(u, kind, ts, table)  # noqa: E731
        return jax.vmap(lambda u, tangent: jax.jvp(path, (u,), (tangent,)))(us, tangents)

    return run


@pytest.mark.parametrize("model", dynamics.MODELS, ids=lambda m: f"{m.dynamics}-{m.patterns}")
def test_accuracy_keeps_its_bounds_and_has_gradients(model, path_and_slope):
    kind = jnp.array([dynamics.DYNAMICS.index(model.dynamics), model.patterns])
    us, tangents = jax.random.normal(jax.random.key(1), (2, 50, len(INDEX)))
    paths, slope = path_and_slope(us, tangents, kind)
    assert ((paths > 0) & (paths < 1)).all()
    assert (np.diff(paths, axis=1) > -1e-9).all()  # accuracy never falls along an RLVR flow
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0
    other, _ = path_and_slope(jnp.where(model.free, us, tangents), tangents, kind)
    np.testing.assert_array_equal(paths, other)  # what a model does not have does not matter
    _, slope = path_and_slope(us, jnp.where(model.free, 0.0, tangents), kind)
    assert not np.abs(slope).any()


# likelihood and sampler


def test_filter_is_the_exact_gaussian_where_accuracy_is_nearly_linear():
    ts, m, wander = np.linspace(0, 1, 8), 2000.0, 0.01
    run = fit.Curve(ts, 0.5 + 0.01 * np.sin(9 * ts), np.full(8, m))
    data = noise.binned(run, run, bins=8)
    values = {"wander": jnp.asarray(wander), "excess": jnp.asarray(0.5)}
    got, _, _ = noise.filtered(jnp.full(8, 0.5), values, data)
    walk = wander**2 * np.minimum(ts[:, None], ts) / 16  # slope of the logistic curve at ½ is ¼
    cov = walk + np.diag(0.25 * 1.5 / m + np.full(8, 0.25 / m**2))
    exact = stats.multivariate_normal(np.full(8, 0.5), cov).logpdf(run.accuracy)
    assert float(got) == pytest.approx(exact, abs=0.05)


def test_binning_keeps_samples_and_means():
    rng = np.random.default_rng(0)
    run = fit.Curve(np.arange(100.0), rng.uniform(size=100), rng.integers(10, 90, 100))
    data = noise.binned(run, run)
    assert data.used.sum() == noise.BINS
    assert (1 / data.inverse).sum() == pytest.approx(run.samples.sum())
    assert (data.accuracy / data.inverse).sum() == pytest.approx(run.accuracy @ run.samples)


def test_sampler_matches_a_normal_posterior():
    y, sd = jnp.array([1.0, -0.5]), jnp.array([0.1, 2.0])

    def likelihood(u):
        return jnp.sum(-0.5 * ((y - u[:2]) / sd) ** 2 - jnp.log(sd)), u[:1]

    sample = jax.jit(lambda key: smc.sample(key, likelihood, jnp.array([1.0, 1.0, 0.0]), draws=256))
    found = [sample(key) for key in jax.random.split(jax.random.key(0), 8)]
    evidence = -0.5 * np.sum(np.log(1 + sd**2) + y**2 / (1 + sd**2))
    z = (np.mean([one.log_evidence for one in found]) - evidence) / (
        np.std([one.log_evidence for one in found]) / 8**0.5
    )
    assert abs(z) < 4
    u = np.concatenate([one.u for one in found])
    np.testing.assert_allclose(u[:, :2].mean(axis=0), y / (1 + sd**2), atol=0.12)
    np.testing.assert_allclose(u.std(axis=0)[:2], sd / np.sqrt(1 + sd**2), rtol=0.15)
    np.testing.assert_array_equal(found[0].extra, found[0].u[:, :1])


# posteriors

STEPS = np.arange(40.0)


def simulated(u, name, patterns, samples, part=1.0, seed=0):
    y = level(jnp.asarray(u), name, patterns, STEPS / STEPS[-1] / part)
    if seed is not None:
        y = np.random.default_rng(seed).binomial(samples, y) / samples
    return fit.Curve(STEPS, y, np.full(len(STEPS), float(samples)))


NEAR = np.linspace(0, 1, 20)
FAR = np.append(NEAR, np.geomspace(1.1, 1500, 20))
UNTIL = {"shift": 39.0, "reinforce": 39.0, "flat": 12.0}


@pytest.fixture(scope="module")
def cases():
    slow, fast = (
        u_of(start=-1, spread=-1.5, rate=1.2, rest=-2),
        u_of(start=-0.5, spread=-1.5, rate=1.6, rest=-2),
    )
    return {
        "shift": simulated(slow, "common shift", 1, 4000, seed=None),
        "reinforce": simulated(fast, "reinforce", 1, 4000, seed=None),
        "flat": flat(),
    }


def flat():
    return fit.Curve(STEPS, np.random.default_rng(1).binomial(64, 0.3, 40) / 64, np.full(40, 64.0))


@pytest.fixture(scope="module")
def fits(cases):
    found = fit.fit_many(list(cases.values()), [UNTIL[name] for name in cases], draws=DRAWS)
    return dict(zip(cases, found, strict=True))


def test_parameters_are_recovered(fits):
    found = fits["shift"].parameters(fit.Model("common shift", 1))
    truth = dynamics.physical(u_of(start=-1, rate=1.2), 1)
    for name, scale, prior in (("start", lambda x: x, 2.0), ("rate", np.log, 1.5)):
        median, low, high = (scale(value) for value in found[name])
        sd = (high - low) / 2.56
        assert abs(median - scale(float(truth[name]))) < 4 * sd
        assert sd < prior / 4
    assert fits["shift"].identified.directions >= 2


def test_the_right_dynamics_is_found_and_wrong_ones_are_not(fits):
    shift, reinforce = fits["shift"], fits["reinforce"]
    assert shift.identified.near[0] == "common shift"
    assert shift.dynamics["reinforce"] < 0.05
    assert reinforce.dynamics["common shift"] < 0.05
    assert reinforce.dynamics["reinforce"] > 10 * reinforce.dynamics["common shift"]


def test_a_flat_curve_identifies_nothing(fits):
    known = fits["flat"].identified
    assert not known.dynamics
    again = fit.fit_many([flat()] * 5, [UNTIL["flat"]] * 5, draws=DRAWS)  # 64 draws miscount now and then
    assert np.median([one.identified.directions for one in again]) <= 1
    run = fits["flat"].train
    points = run.steps, run.accuracy, np.full(len(run.steps), 64.0)
    level = np.asarray(fits["flat"].forecast(run.steps).median, float)
    seen = words.FitReport(
        fits["flat"], {}, run.steps, {}, shape.shape(*points), shape.misfit(*points, level)
    )
    assert "does not move identifies no dynamics and no level to come" in " ".join(words.story(seen))
    assert sum(fits["flat"].dynamics.values()) == pytest.approx(1)


def test_forecasts_are_ordered_and_widen(fits):
    found = fits["flat"].forecast([12.0, 13.0, 39.0])
    assert (found.low <= found.median).all()
    assert (found.median <= found.high).all()
    assert found.high[2] - found.low[2] > found.high[1] - found.low[1]
    assert (found.logged_high - found.logged_low >= found.high - found.low - 0.01).all()
    with pytest.raises(ValueError, match=r"steps\[0\]: -1; must be 0"):
        fits["flat"].forecast([-1.0])


def test_a_forecast_does_not_depend_on_later_steps(fits):
    for name in ("shift", "flat"):
        near, far = (fits[name].forecast(steps) for steps in ([20.0, 39.0], [20.0, 39.0, 50_000.0]))
        np.testing.assert_allclose(far.median[:2], near.median, atol=0.01)
        np.testing.assert_allclose(far.high[:2] - far.low[:2], near.high - near.low, atol=0.03)


def test_long_times_keep_the_path_of_three_patterns():
    u, kind = u_of(start=1, rate=1.2), jnp.array([1, 3])
    near, far = (compiled()(u, kind, np.append(ts, np.full(40 - len(ts), ts[-1]))) for ts in (NEAR, FAR))
    np.testing.assert_allclose(far[:20], near[:20], atol=2e-3)


def test_draws_that_did_not_arrive_are_no_result(fits):
    found = fits["shift"]
    lost = [m.dynamics == "reinforce" for m in found.models]
    known = dataclasses.replace(found, arrived=~np.array(lost)).identified
    assert found.arrived.all()
    assert "reinforce" in known.near
    assert not known.dynamics


def test_a_fit_does_not_depend_on_its_neighbours(cases, fits):
    alone = fit.fit(cases["shift"], 39.0, draws=DRAWS)
    np.testing.assert_allclose(alone.log_evidence, fits["shift"].log_evidence, rtol=1e-9)


def test_a_half_finished_logistic_is_not_forecast_too_low():
    """Equal questions that shift alike, stopped at .5: the truth is above the 80 % interval in few draws only."""
    rng, steps = np.random.default_rng(2), np.arange(200.0)
    truth = 1 / (1 + np.exp(1.5 - steps / 60))
    curves = [fit.Curve(steps, rng.binomial(256, truth) / 256, np.full(200, 256.0)) for _ in range(8)]
    found = fit.fit_many(curves, [90.0] * 8, draws=DRAWS)
    ahead = [one.forecast([199.0]) for one in found]
    assert sum(bool(one.low[0] <= truth[-1] <= one.high[0]) for one in ahead) >= 4
    ranks = [np.mean(one.members[:, 0] < truth[-1]) for one in ahead]
    assert np.mean(ranks) < 0.9


def test_models_are_weighed_before_any_data():
    prior = dict(zip(dynamics.MODELS, dynamics.prior(dynamics.MODELS), strict=True))
    together = [prior[m] for m in prior if m.dynamics in (dynamics.SHIFT, dynamics.SHARED)]
    assert sum(together) == pytest.approx(0.5)
    assert sum(prior.values()) == pytest.approx(1)
    one, two, three = (prior[fit.Model("grpo", n)] for n in (1, 2, 3))
    assert one == pytest.approx(2 * two) == pytest.approx(4 * three)
    assert one + two + three == pytest.approx(1 / 6)
    np.testing.assert_allclose(dynamics.prior([fit.Model("grpo", 3)]), 1)


# baselines and scores


def test_baselines_are_exact_on_their_own_curves():
    steps, t = np.arange(60.0), np.arange(60.0) / 19
    paths = {
        "last value": np.full(60, 0.4),
        "exponential": 0.7 - 0.5 * np.exp(-1.2 * t),
        "power law": 0.8 - 0.6 * (1 + steps) ** -0.4,
        "sigmoid": 0.75 / (1 + np.exp(2 - 2.5 * t)),
        "straight line": 1 / (1 + np.exp(1 - 0.8 * t)),
        "ScaleRL sigmoid": 0.2 + 0.6 / (1 + (0.7 / np.maximum(t, 1e-9)) ** 2.2),
    }
    for name, path in paths.items():
        found = fit.baselines(fit.Curve(steps, path, np.full(60, 1e6)), 19.0, steps[20:])[name]
        np.testing.assert_allclose(found.median, path[20:], atol=5e-3)
        assert (found.high - found.low < 0.1).all()


@pytest.mark.parametrize("y", [[0.0] * 12, [1.0] * 12, [0.1, 0.9] * 6, [0.0, 0.3, 0.6, 1.0]])
def test_baselines_of_any_curve_are_rates(y):
    run = fit.Curve(np.arange(float(len(y))), np.array(y), np.full(len(y), 64.0))
    found = fit.baselines(run, None, [20.0, 600.0])
    assert tuple(found) == fit.BASELINES
    for one in found.values():
        assert ((one.members >= 0) & (one.members <= 1)).all()


def test_baselines_know_the_noise_of_a_point():
    run = fit.Curve(np.arange(200.0), np.full(200, 0.5), np.full(200, 64.0))  # 100 points share 24 bins
    found = fit.baselines(run, 99.0, [150.0])["exponential"]
    assert np.std(found.logged - found.members) == pytest.approx(0.5 / 8, rel=0.2)


def test_scores_by_hand():
    rest = fit.Curve(np.arange(4.0), np.array([0.5, 0.5, 0.6, 0.7]))
    members = np.array([[0.4], [0.6]]) * np.ones(4)
    found = fit.score(fit.Forecast(rest.steps, np.full(4, 0.5), members, members), rest)
    assert found.error == pytest.approx((0 + 0 + 0.1 + 0.2) / 4)
    assert found.end == pytest.approx(0.1)
    assert found.crps == pytest.approx(np.mean([0.1, 0.1, 0.1, 0.2]) - 0.05)
    assert found.covered == 0.5  # the interval is .42 to .58
    with pytest.raises(ValueError, match="forecast: 2 steps"):
        fit.score(fit.Forecast(rest.steps[:2], np.zeros(2), members[:, :2], members[:, :2]), rest)
    assert forecast.rest_of(rest, 3.0) is None


def test_ends_are_covered_as_often_as_said():
    rng, steps, hits = np.random.default_rng(0), np.arange(30.0), 0
    members = 0.5 + 0.02 * rng.standard_normal((1000, 1)) * np.ones(30)
    found = fit.Forecast(steps, np.full(30, 0.5), members, members + 0.04 * rng.standard_normal((1000, 30)))
    for _ in range(400):
        y = 0.5 + 0.02 * rng.standard_normal() + 0.04 * rng.standard_normal(30)
        hits += fit.score(found, fit.Curve(steps, y)).end_covered
    low, high = stats.binom.interval(0.999, 400, 0.8)
    assert low <= hits <= high, hits


# reading


def written(tmp_path, text):
    path = tmp_path / "run.csv"
    path.write_text(text)
    return path


def test_samples_come_from_the_file_or_from_granularity(tmp_path):
    rows = "\n".join(f"{i},{k / 64:.4f},{'' if i else 'x'}" for i, k in enumerate([3, 9, 21, 40, 17]))
    found = fit.read(written(tmp_path, f"step,accuracy,comment\n{rows}\n"))
    assert (found.samples == 64).all()
    found = fit.read(written(tmp_path, "step,accuracy,n,lr,entropy\n0,.5,8,1e-6,1\n2,.25,16,,\n5,,3,1,2\n"))
    np.testing.assert_array_equal(found.samples, [8, 16])
    assert found.lr is None
    found = fit.read(written(tmp_path, "step,reward\n0,-1\n1,3\n2,1\n"), column="reward", scale=(-1, 3))
    np.testing.assert_allclose(found.accuracy, [0, 1, 0.5])
    assert found.samples is None
    random = np.random.default_rng(0).uniform(size=30).round(4)
    assert scales.granularity(random, 1e-4) is None
    assert scales.granularity(np.full(9, 0.5), 1e-4) is None  # a constant is a multiple of 1/2 by chance


def test_missing_cells_and_rounding(tmp_path):
    rows = "0,.25,8,fast,\n1,NaN,8,1,\n2,none,8,1,\n3,1.0000001,8,1,\n4,-1e-7,NA,1,\n"
    found = fit.read(written(tmp_path, f"step,accuracy,n,lr,\n{rows}"))
    np.testing.assert_array_equal(found.steps, [0, 3, 4])
    np.testing.assert_array_equal(found.accuracy, [0.25, 1, 0])
    np.testing.assert_array_equal(found.samples, [8, 8, 8])
    assert found.lr is None
    for part in ("2 rows without accuracy", "column lr has gaps, text"):
        assert any(part in note for note in found.notes)
    found = fit.read(written(tmp_path, "step,accuracy,n\n0,.1234,\n1,.2717,nan\n2,.3141,\n"))
    assert found.samples is None


def test_samples_from_noise():
    rng = np.random.default_rng(0)
    y = rng.binomial(100, np.linspace(0.3, 0.5, 400)) / 100
    assert curve.noise_samples(y) == pytest.approx(100, rel=0.25)
    assert curve.noise_samples(np.full(5, 0.2)) == curve.UNKNOWN


def test_time_is_the_learning_rate_summed():
    run = fit.Curve(np.array([0.0, 10, 20]), np.array([0.1, 0.2, 0.3]), lr=np.array([0.0, 2e-6, 1e-6]))
    np.testing.assert_allclose(run.time(np.array([0.0, 5, 10, 20, 30])), [0, 1.25, 5, 12.5, 17.5])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; must be the log of a run"),
        ("step,accuracy\n", "no rows under the header"),
        ("step,acc\n1,.5\n", "1 rows with a step and acc; must be two or more"),
        (
            "step,loss\n1,.5\n2,.4\n",
            "no column looks like an accuracy among step, loss: name the measured one",
        ),
        ("accuracy\n.5\n.6\n", "no column counts steps among accuracy: name it by --step"),
        ("step,accuracy,accuracy\n1,.5,.5\n", "column accuracy is there twice"),
        ("step,accuracy\n1,.5\n1,.6\n", "1 step; must be two or more"),
        (
            "step,accuracy\n" + 2 * "1,.5\n2,.6\n3,.6\n",
            "steps begin again at row 5: 2 runs one after the other",
        ),
        ("step,accuracy\n1,inf\n2,.5\n", "row 2, column accuracy: inf; must be a finite number"),
        ("step,accuracy\n1,nan\n2,.5\n", "1 rows with a step and accuracy; must be two or more"),
        ("step,accuracy\n1,1.0002\n2,.5\n", "from 0.5 to 1.0002; must be in [0, 1]"),
        ("step,accuracy\n1,half\n2,.5\n", "'half' is not a number"),
        ("step,accuracy\n1,.5,3\n", "row 2: 3 cells; must be 2"),
        ("step,accuracy,n\n1,.5,0\n2,.5,4\n", "column n: 0; must be positive"),
        ("step,accuracy\n1,.5\n2,.6\n3,.6\n", "leaves 3 points of run; must leave 4 or more"),
    ],
)
def test_bad_files(tmp_path, capsys, text, expected):
    assert cli.main(["fit", str(written(tmp_path, text))]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--range", "1", "0"], "range: 1 0; must be two finite numbers"),
        (["--samples", "0"], "samples: 0; must be positive"),
        (["--train-until", "x"], "x"),
        (["--group-size", "1"], "group-size: 1; must be 2 or above"),
        (["--train-until", "1"], "train-until: 1 leaves"),
        (["--plot", "a.gif"], "plot: 'a.gif'; must end in"),
    ],
)
def test_bad_arguments(tmp_path, capsys, arguments, expected):
    path = written(tmp_path, "step,accuracy\n" + "".join(f"{i},.5\n" for i in range(6)))
    assert cli.main(["fit", str(path), *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_bad_numbers():
    run = flat()
    for options, expected in [
        ({"draws": 2}, "draws: 2; must be 16"),
        ({"horizon": 0.5}, "horizon: 0.5; must be 1"),
        ({"models": ()}, "models: empty"),
    ]:
        with pytest.raises(ValueError, match=expected):
            fit.fit(run, **options)
    with pytest.raises(ValueError, match="patterns: 3; must be 1, 2 or 3"):
        fit.Model("shared features", 3)


# the command


def test_command(tmp_path, capsys, monkeypatch):
    whole = words.answer
    monkeypatch.setattr(words, "answer", lambda *args, **options: whole(*args, **options | {"draws": DRAWS}))
    run = flat()
    rows = "".join(f"{s:g},{y:.6f},64\n" for s, y in zip(run.steps, run.accuracy, strict=True))
    path = str(written(tmp_path, f"step,accuracy,n\n{rows}"))
    picture = tmp_path / "run.png"
    arguments = ["fit", path, "--train-until", "12", "--plot", str(picture)]
    assert cli.main(arguments) == 0
    said, told = capsys.readouterr()
    assert told == f"wrote {picture}\n"
    assert f"{len(run.steps) - 27} of {len(run.steps)} points, up to step 12" in said
    assert re.search("^common shift: all questions shift together", said, re.MULTILINE)
    assert re.search("^CRPS: ", said, re.MULTILINE)
    assert picture.stat().st_size > 10_000
    assert all(
        text in said
        for text in (
            "Flat: it stays at 0.3",
            "would not have shown",
            "common shift",
            "last value",
            "CRPS",
            "step 39",
        )
    )
    assert cli.main([*arguments[:4], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["forecasts"]) == set(answer["scores"]) == {"theory", *fit.BASELINES}
    assert sum(answer["dynamics"].values()) == pytest.approx(1)
    assert answer["identified"]["dynamics"] is False
    assert len(answer["steps"]) == 27
    short = str(written(tmp_path, "step,accuracy,n\n" + "".join(rows.splitlines(keepends=True)[:10])))
    assert cli.main(["fit", short]) == 0  # nothing comes after: a forecast without scores
    said = capsys.readouterr().out
    assert "CRPS" not in said
    assert "nothing is left to score, and the forecast goes to step 27, where the level is judged" in said
    assert "all 10 points, up to step 9" in said


@dataclasses.dataclass
class Exponent:
    """Stands for what `questions.clock_exponent` returns; that has tests of its own."""

    exponent: float
    interval: np.ndarray

    def summary(self):
        return f"clock exponent a = {self.exponent}"


def test_histories_of_questions(tmp_path, capsys, monkeypatch):
    def found(histories, seed):
        return Exponent(float(histories.group_size + 100 * seed), np.array([0.0, np.inf]))

    monkeypatch.setattr(questions, "clock_exponent", found)
    path = str(written(tmp_path, "prompt_id,visit1,visit2\n0,.125,.5\n1,.25,1\n2,.375,.625\n"))
    assert cli.main(["fit", path]) == 0
    meaning = f"{words.EXPONENT}\n"
    assert capsys.readouterr().out == f"clock exponent a = 8.0\n{meaning}"
    assert cli.main(["fit", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"exponent": 8.0, "interval": [0.0, None]}
    assert cli.main(["fit", path, "--group-size", "16", "--seed", "1"]) == 0
    assert capsys.readouterr().out == f"clock exponent a = 116.0\n{meaning}"
    for option in (["--train-until", "3"], ["--samples", "8"], ["--column", "x"], ["--range", "0", "100"]):
        assert cli.main(["fit", path, *option]) == 2
        name = option[0].strip("-")
        assert f"{name}: given with histories of questions; must not be" in capsys.readouterr().err
    path = str(written(tmp_path, "prompt_id,Visit_3,visit 4\n0,0.6000000000000001,.2\n1,.4,na\n"))
    assert runs.has_visits(path)
    assert questions.read_histories(path).group_size == 5
