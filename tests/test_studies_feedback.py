"""Noisy verifiers, internal feedback: parts of the studies, and verdicts that go both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import orbit, reward, theory
from qra_jax.problem import Problem, examples
from qra_jax.studies import internal_feedback, noisy_verifier


def verdicts(study, data):
    return [row.verdict for row in study.judge(data)]


@pytest.fixture
def noise():
    """What the study of noisy verifiers would compute if its claims held, from the laws themselves."""
    time, tail_time = np.logspace(-1, 5, 61), np.logspace(0, 14, 281)
    youden, noise = np.array(noisy_verifier.PHASES) @ [1.0, -1.0], np.array(noisy_verifier.TAILS)
    worked = examples.worked()
    start, best, worst = float(worked.accuracy_ref), float(worked.success.max()), float(worked.success.min())
    way = time / (time + 10)
    accuracy = np.array(
        [start + way * ((best if j > 0 else worst) - start) * (abs(j) > 1e-9) for j in youden]
    )
    accuracy[:, -1] = np.where(youden > 1e-9, best, np.where(youden < -1e-9, worst, start))
    fn = noise[:, 1:]
    # dt/dx = √(x + FN)/(2x²) up to constants: x ~ t⁻² without FN, t⁻¹ with it.
    rest = np.logspace(0, -40, 4001)
    reached = np.array([rest**-0.5 + f / rest for f in fn[:, 0]])
    grpo = [np.interp(np.log(tail_time), np.log(t), np.log(rest)) for t in reached]
    reinforce = [-np.log1p(tail_time * (1 - row.sum())) for row in noise]
    betas, few, fine = np.array([0.5, 1.0, 3.0]), np.array([-0.4, 0.4]), np.linspace(-0.9, 0.9, 11)
    every = np.concatenate([few, fine])
    rest_at = jax.vmap(jax.vmap(_equilibrium, (None, 0)), (0, None))(jnp.asarray(betas), jnp.asarray(every))
    equilibrium = np.asarray(rest_at)
    z = equilibrium[:, :2]
    share = np.array(noisy_verifier.REF[:2]) / sum(noisy_verifier.REF[:2])
    right = -np.log1p(np.exp(-z))[..., None] + np.log(share)
    return {
        "time": time,
        "phases": np.array(noisy_verifier.PHASES),
        "accuracy": accuracy,
        "tail_time": tail_time,
        "noise": noise,
        "log_rest/grpo": np.array(grpo),
        "log_rest/reinforce": np.array(reinforce),
        "betas": betas,
        "youden": few,
        "fine_youden": fine,
        "equilibrium": equilibrium,
        "ends": np.concatenate([right, -np.log1p(np.exp(z))[..., None]], axis=-1),
        "status": np.zeros((3, 2), int),
    }


def _equilibrium(beta, j):
    return theory.noisy_equilibrium(sum(noisy_verifier.REF[:2]), beta, tpr=(1 + j) / 2, fpr=(1 - j) / 2)


def test_noise_that_follows_the_laws_is_judged_so(noise):
    found = verdicts(noisy_verifier, noise)
    assert found[:3] == ["holds"] * 3
    assert found[3].startswith("holds only if advantages are not divided")
    assert found[4:] == ["holds"] * 2
    noisy_verifier.draw(noise).canvas.draw()


def test_noise_that_breaks_the_laws_is_judged_so(noise):
    clean = noise["log_rest/grpo"][0]
    assert verdicts(noisy_verifier, noise | {"accuracy": noise["accuracy"][::-1]})[0] == "fails"
    same = noise | {"log_rest/grpo": np.array([clean] * len(noise["noise"]))}
    assert verdicts(noisy_verifier, same)[2:4] == ["fails", "holds"]
    assert verdicts(noisy_verifier, noise | {"ends": noise["ends"] - [1e-3, 0.0, 0.0]})[4:] == ["fails"] * 2
    assert verdicts(noisy_verifier, noise | {"status": np.full((3, 2), 3)})[4:] == ["fails"] * 2


def test_slowdown_is_a_ratio_of_times(noise):
    factor = noisy_verifier.slowdown(noise, "reinforce", np.log([1e-2, 1e-9]))
    np.testing.assert_allclose(
        factor, np.repeat(1 / (1 - noise["noise"].sum(axis=1))[:, None], 2, 1), rtol=1e-2
    )
    assert np.isnan(noisy_verifier.slowdown(noise, "grpo", np.array([-100.0]))).all()


def test_fates_are_those_of_the_theory_and_of_the_orbit():
    rng = np.random.default_rng(1)
    success = rng.random((50, 6))
    problems = Problem(jnp.full((50, 6), -jnp.log(6.0)), jnp.asarray(success))
    slope = jax.vmap(lambda p: theory.initial_slope(p, reward=reward.self_certainty()))(problems)
    rise, worst = internal_feedback.fates_of(success)
    assert rise == pytest.approx(float((slope > 0).mean()))
    end = orbit.solve(
        Problem(problems.log_ref[0], problems.success[0]), log_ts=[500.0], reward=reward.self_certainty()
    )
    one_worst = internal_feedback.fates_of(success[:1])[1]
    assert one_worst == float(end.accuracy[0] < 0.5)
    assert 0 < worst < 1


def test_blockwise_draws_have_the_distribution_of_the_examples():
    keys = jax.random.split(jax.random.key(3), 2000)
    problems = jax.jit(jax.vmap(lambda key: examples.internal_feedback(key, 8, 1.2, 1.0)))(keys)
    wanted = internal_feedback.fates_of(np.asarray(problems.success))
    found = internal_feedback.family_fates(np.random.default_rng(4), 8, 1.2, 2000)
    np.testing.assert_allclose(found, wanted, atol=4 * np.sqrt(0.5 / 2000))


def test_limit_of_the_rise_agrees_with_simulation():
    limit = theory.rlif_rise_probability()
    assert theory.rlif_rise_probability(nodes=400) == pytest.approx(limit, abs=1e-6)
    assert limit == pytest.approx(0.676761, abs=1e-6)
    rise, _ = internal_feedback.family_fates(np.random.default_rng(5), 1000, 1.0, 3000)
    assert rise == pytest.approx(limit, abs=4 * np.sqrt(0.22 / 3000))


def test_wilson_interval():
    low, high = internal_feedback.wilson(np.array([0.0, 0.5, 1.0]), 100)
    np.testing.assert_allclose(low, [0, 0.4038, 0.9630], atol=1e-4)
    np.testing.assert_allclose(high, [0.0370, 0.5962, 1], atol=1e-4)


@pytest.fixture
def feedback():
    """Shares and orbits as the study of internal feedback found them, in outline."""
    axis = internal_feedback.AXIS
    side = np.where(axis[None, :] > axis[:, None], 1.0, np.where(axis[None, :] < axis[:, None], 0.0, 0.5))
    data = {
        "sizes": np.array([100, 1000, 10_000]),
        "draws": np.array(2000),
        "rise": np.array([[0.68] * 3, [0.75, 0.85, 0.9995], [0.9, 1.0, 1.0], [1.0, 1.0, 1.0]]),
        "worst": np.array([[0.45, 0.49, 0.5], [0.4, 0.39, 0.37], [0.2, 0.18, 0.12], [0.0, 0.0, 0.0]]),
        "phase_patterns": np.array(1000),
        "phase_rise": side,
        "phase_worst": 1 - side,
        "log_time": np.log(10) * np.array([-3.0, 1.0, 3.0, 200.0]),
        "rlvr": np.array([[0.5, 0.6, 0.9, 1.0]] * 2),
        "limit": np.array(theory.rlif_rise_probability()),
    }
    for name, gain in (("uniform", 0.001), ("uneven", 0.3)):
        data |= {
            f"{name}/start": np.array([0.55, 0.6]),
            f"{name}/slope": np.array([1.0, -1.0]),
            f"{name}/log_peak": np.array([3.0, -np.inf]),
            f"{name}/peak": np.array([0.55 + gain, 0.6]),
            f"{name}/peak_status": np.array([0, 1]),
            f"{name}/accuracy": np.array([[0.5501, 0.55 + gain / 2, 0.02, 0.01], [0.5999, 0.4, 0.1, 0.02]]),
            f"{name}/status": np.array([0, 0]),
            f"{name}/surest": np.array([0.01, 0.02]),
        }
    return data


def test_the_half_of_the_theorem_that_reproduces(feedback):
    found = verdicts(internal_feedback, feedback)
    assert found[0].startswith("holds only if the success rates lean")
    assert found[1:4] == ["holds"] * 3
    assert found[4] == "fails"
    assert found[5] == "holds"
    assert found[6].startswith("holds only if the base policy is uneven")
    internal_feedback.draw(feedback).canvas.draw()


def test_feedback_verdicts_follow_the_data(feedback):
    sure = feedback | {"rise": np.ones((4, 3))}
    found = verdicts(internal_feedback, sure)
    assert (found[0], found[2], found[4]) == ("holds", "fails", "holds")
    assert verdicts(internal_feedback, feedback | {"worst": feedback["worst"] * 0.8})[1] == "fails"
    assert verdicts(internal_feedback, feedback | {"phase_rise": feedback["phase_rise"].T})[3] == "fails"
    assert verdicts(internal_feedback, feedback | {"uniform/slope": np.array([-1.0, -1.0])})[5] == "fails"
    assert verdicts(internal_feedback, feedback | {"rlvr": feedback["rlvr"][:, ::-1]})[5] == "fails"
    assert verdicts(internal_feedback, feedback | {"uneven/peak": np.array([0.551, 0.6])})[6] == "fails"
