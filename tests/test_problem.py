"""Problems: bad numbers are refused by name, random families have the right law, degenerate cases count."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import _check, problem as problem_module
from qra_jax.problem import Problem, examples, random, stack


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ref": [0.5, -0.1, 0.6]}, r"ref\[1\]: -0\.1; must be zero or positive, and finite"),
        ({"ref": [0.5, float("nan"), 0.5]}, r"ref\[1\]: nan; must be zero or positive, and finite"),
        ({"ref": [0.5, float("inf"), 0.5]}, r"ref\[1\]: inf; must be zero or positive, and finite"),
        ({"ref": [0.5, 0.3, 0.1]}, r"ref: sums to 0\.9; must sum to 1 within 0\.001"),
        ({"ref": [0.0, 0.0, 0.0]}, r"ref: sums to 0; must sum to 1"),
        ({"ref": [0.5, 0.5]}, r"success: length 3; must be 2, as many as ref has"),
        ({"ref": []}, r"ref: empty"),
        ({"ref": 1.0}, r"ref: shape \(\); must have 1 dimension"),
        ({"ref": [[0.5, 0.5]]}, r"ref: shape \(1, 2\); must have 1 dimension"),
        ({"ref": "half"}, r"ref: 'half' is not numeric"),
        ({"ref": [0.5, "much", 0.5]}, r"ref: .* is not numeric"),
        ({"success": [0.5, 1.2, 0.5]}, r"success\[1\]: 1\.2; must be in \[0, 1\]"),
        ({"success": [0.5, -1e-9, 0.5]}, r"success\[1\]: -1e-09; must be in \[0, 1\]"),
        ({"success": [0.5, float("nan"), 0.5]}, r"success\[1\]: nan; must be in \[0, 1\]"),
        ({"success": []}, r"success: empty"),
        ({"success": None}, r"success: missing"),
        ({"answers": [[0.9, 0.1], [0.6, 0.4]]}, r"answers: length 2; must be 3"),
        ({"answers": [[0.9, 0.1], [0.6, 0.3], [0.1, 0.9]]}, r"answers\[1\]: sums to 0\.9"),
        (
            {"answers": [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]},
            r"success\[1\]: 0\.6; must equal answers\[:, 0\]\[1\]",
        ),
        ({"answers": [0.9, 0.6, 0.1]}, r"answers: shape \(3,\); must have 2 dimensions"),
    ],
)
def test_bad_numbers_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        Problem.from_probs(**{"ref": [0.05, 0.70, 0.25], "success": [0.9, 0.6, 0.1], **arguments})
    assert "\n" not in str(caught.value)


def test_hand_rounded_tables_are_renormalised_eager_and_traced():
    ref, success = [0.333, 0.333, 0.333], [1.0, 0.5, 0.0]
    eager = Problem.from_probs(ref=ref, success=success)
    np.testing.assert_allclose(eager.ref, np.full(3, 1 / 3), rtol=1e-15)
    traced = jax.jit(lambda r, p: Problem.from_probs(ref=r, success=p))(jnp.array(ref), jnp.array(success))
    np.testing.assert_allclose(traced.log_ref, eager.log_ref, rtol=1e-14)
    Problem.from_probs(ref=[0.5, 0.5009], success=[0.1, 0.2])
    with pytest.raises(ValueError, match="sums to"):
        Problem.from_probs(ref=[0.5, 0.5011], success=[0.1, 0.2])


def test_properties():
    problem = examples.worked()
    assert problem.patterns == 3
    assert int(problem.best) == 0
    np.testing.assert_allclose(problem.accuracy_ref, 0.49, rtol=1e-14)
    np.testing.assert_allclose(problem.second_best, 0.6)
    np.testing.assert_allclose(problem.answer_table(), [[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("success", "best", "second"),
    [([0.4, 0.9, 0.9, 0.2], 1, 0.4), ([0.3, 0.3, 0.3, 0.3], 0, 0.3), ([0.0, 1.0, 0.0, 1.0], 1, 0.0)],
)
def test_ties(success, best, second):
    problem = Problem.from_probs(ref=[0.25] * 4, success=success)
    assert int(problem.best) == best
    assert float(problem.second_best) == second


def test_single_pattern_and_zero_mass():
    single = Problem.from_probs(ref=[1.0], success=[0.3])
    assert (single.patterns, int(single.best), float(single.second_best)) == (1, 0, 0.3)
    gone = Problem.from_probs(ref=[0.0, 1.0], success=[1.0, 0.5])
    assert gone.log_ref[0] == -jnp.inf
    assert float(gone.accuracy_ref) == 0.5


def test_answer_table():
    table = [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]
    problem = Problem.from_probs(ref=[0.4, 0.6], answers=table)
    np.testing.assert_allclose(problem.success, [0.5, 0.1])
    np.testing.assert_allclose(problem.answer_table(), table)
    assert Problem.from_probs(ref=[0.4, 0.6], success=[0.5, 0.1], answers=table).answers is not None


def test_with_ref_normalises_and_keeps_the_rest():
    problem = examples.worked().with_ref(jnp.array([3.0, 3.0, -jnp.inf]))
    np.testing.assert_allclose(problem.ref, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(problem.success, [0.9, 0.6, 0.1])


def test_dtype_follows_the_input():
    for make in (np.float32, jnp.float32):
        problem = Problem.from_probs(ref=make([0.05, 0.7, 0.25]), success=make([0.9, 0.6, 0.1]))
        assert {x.dtype for x in jax.tree.leaves(problem)} == {jnp.dtype(jnp.float32)}
        for value in (problem.ref, problem.accuracy_ref, problem.second_best, problem.answer_table()):
            assert value.dtype == jnp.float32
    whole = Problem.from_probs(ref=[1, 0], success=[0, 1])
    assert {x.dtype for x in jax.tree.leaves(whole)} == {jnp.dtype(jnp.float64)}


def test_stack():
    both = stack([examples.worked(), examples.fast()])
    assert both.success.shape == (2, 3)
    np.testing.assert_allclose(both.accuracy_ref, [0.49, 0.65])
    np.testing.assert_allclose(jax.vmap(lambda q: q.second_best)(both), both.second_best)
    assert both.best.tolist() == [0, 0]
    with pytest.raises(ValueError, match="problems: empty"):
        stack([])
    with pytest.raises(ValueError, match=r"problems: shapes differ, \[\(2,\), \(3,\)\]"):
        stack([examples.worked(), Problem.from_probs(ref=[0.5, 0.5], success=[0.1, 0.2])])
    with pytest.raises(ValueError, match="problems: shapes differ"):
        stack(
            [
                Problem.from_probs(ref=[1.0], success=[0.5]),
                Problem.from_probs(ref=[1.0], answers=[[0.5, 0.5]]),
            ]
        )


@pytest.mark.parametrize("gamma", [1.5, 6.0, 1e6])
@pytest.mark.parametrize("patterns", [3, 12])
def test_entangled_family_has_its_gamma(gamma, patterns):
    if gamma < 2:
        with pytest.raises(ValueError, match=r"gamma: 1\.5 with other = 0\.9 leaves"):
            examples.entangled(gamma, patterns, other=0.9)
    problem = examples.entangled(gamma, patterns, other=0.25)
    ref = np.asarray(problem.ref)
    np.testing.assert_allclose((1 - ref[1]) / ref[0], gamma, rtol=1e-9)
    np.testing.assert_allclose(ref[2:].sum(), 0.25)


def test_entangled_is_the_worked_example_and_refuses_nonsense():
    np.testing.assert_allclose(examples.entangled(6.0).ref, examples.worked().ref, rtol=1e-14)
    for arguments, message in [
        ((6.0, 2), "patterns: 2; must be at least 3"),
        ((1.0,), r"gamma: 1\.0; must be above 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            examples.entangled(*arguments)


def z_score(sample, mean):
    sample = np.asarray(sample).ravel()
    return (sample.mean() - mean) / (sample.std() / np.sqrt(sample.size))


def test_random_families_have_the_right_moments():
    n, draws = 4, 20_000
    keys = jax.random.split(jax.random.key(1), draws)
    uniform = jax.vmap(lambda k: random(k, n))(keys)
    np.testing.assert_allclose(uniform.ref.sum(axis=1), 1, rtol=1e-12)
    assert ((uniform.success >= 0) & (uniform.success < 1)).all()
    assert abs(z_score(uniform.success, 0.5)) < 4
    assert abs(z_score(uniform.success**2, 1 / 3)) < 4
    assert abs(z_score(uniform.ref[:, 0] ** 2, 2 / (n * (n + 1)))) < 4
    # Success rates and base policy are independent, and so are patterns.
    assert abs(z_score((uniform.success[:, 0] - 0.5) * (uniform.ref[:, 0] - 1 / n), 0)) < 4
    peaked = jax.vmap(lambda k: random(k, n, concentration=0.2, success=(2.0, 5.0)))(keys)
    alpha = 0.2
    assert abs(z_score(peaked.ref[:, 0] ** 2, (alpha + 1) / (n * (n * alpha + 1)))) < 4
    assert abs(z_score(peaked.success, 2 / 7)) < 4
    assert abs(z_score(peaked.success**2, 2 * 3 / (7 * 8))) < 4


def test_random_is_reproducible_and_batched_as_it_is_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    batch = jax.vmap(lambda k: random(k, 5))(keys)
    for i, key in enumerate(keys):
        alone = random(key, 5)
        np.testing.assert_allclose(batch.log_ref[i], alone.log_ref, rtol=1e-12)
        np.testing.assert_array_equal(batch.success[i], alone.success)
    assert not np.allclose(batch.success[0], batch.success[1])


def test_random_keeps_tiny_masses_finite():
    tiny = random(jax.random.key(0), 50, concentration=1e-3)
    assert jnp.all(jnp.isfinite(tiny.log_ref))
    assert tiny.log_ref.min() < -700


def test_random_with_given_success_and_bad_input():
    rates = jnp.array([0.9, 0.1])
    np.testing.assert_array_equal(random(jax.random.key(0), 2, success=rates).success, rates)
    for arguments, message in [
        ({"patterns": 0}, "patterns: 0; must be 1 or above"),
        ({"patterns": 2, "concentration": 0.0}, "concentration: 0; must be positive"),
        ({"patterns": 2, "success": (1.0, -1.0)}, r"success \(b\): -1; must be positive"),
        ({"patterns": 3, "success": rates}, "success: length 2; must be 3"),
        ({"patterns": 2, "success": rates + 0.5}, r"success\[0\]: 1\.4; must be in \[0, 1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            random(jax.random.key(0), **arguments)


def test_internal_feedback_is_conditioned_on_being_more_right_than_wrong():
    keys = jax.random.split(jax.random.key(2), 4000)
    batch = jax.jit(jax.vmap(lambda k: examples.internal_feedback(k, 3)))(keys)
    accuracy = np.asarray(batch.accuracy_ref)
    assert accuracy.min() > 0.5
    np.testing.assert_allclose(batch.ref, 1 / 3)
    # Mean of three uniforms, given that it exceeds ½: by symmetry ½ + E|mean − ½| = ½ + 13/96.
    assert abs(z_score(accuracy, 0.5 + 13 / 96)) < 4
    skewed = jax.vmap(lambda k: examples.internal_feedback(k, 200, 3.0, 1.0))(keys[:50])
    assert abs(z_score(skewed.success, 0.75)) < 5


def test_internal_feedback_always_ends(monkeypatch):
    monkeypatch.setattr(problem_module, "MAX_DRAWS", 50)
    keys = jax.random.split(jax.random.key(0), 3)
    hard = jax.vmap(lambda k: examples.internal_feedback(k, 100, 1.0, 20.0))(keys)
    plain = jax.random.beta(jax.random.key(1), 1.0, 20.0, (1000, 100)).mean(axis=1)
    assert (hard.accuracy_ref <= 0.5).all()
    assert (hard.accuracy_ref > jnp.median(plain)).all()  # the best of 50 draws
    for arguments, message in [
        ((0,), "patterns: 0; must be 1 or above"),
        ((3, 0.0), "a: 0; must be positive and finite"),
        ((3, 1.0, -2.0), "b: -2; must be positive and finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            examples.internal_feedback(keys[0], *arguments)


def test_problems_are_checked_where_they_are_used():
    good = examples.worked()
    assert _check.problem(good) is good
    _check.problem(Problem(jnp.array([0.0, -jnp.inf]), jnp.array([0.5, 0.5])))
    _check.problem(Problem(jnp.array([jnp.nan, 0.0]), jnp.array([0.5, 0.5])))  # answered by a status
    taken = Problem(jnp.array([0.05, 0.7, 0.25]), good.success)
    with pytest.raises(
        ValueError, match=r"^log_ref: exponentials sum to 4\.35; must sum to 1 \(for probabilities use"
    ):
        _check.problem(taken)
    with pytest.raises(ValueError, match=r"^log_ref\[1\]: exponentials sum to 4\.35"):
        _check.problem(stack([good, taken]))
    with pytest.raises(ValueError, match=r"^problem: \[0\.5, 0\.5\]; must be a Problem, such as"):
        _check.problem([0.5, 0.5])
    jax.jit(lambda problem: _check.problem(problem).success)(taken)  # traced: unchecked
    assert jax.tree.map(lambda leaf: 2 * leaf, taken).success[0] == 1.8  # as are gradients and their like


def test_problems_of_lists(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    problem = Problem([np.log(0.25), np.log(0.75)], [1, 0])
    assert problem.accuracy_ref == pytest.approx(0.25)
    assert problem.success.dtype == float
    with pytest.raises(ValueError, match=r"^success: shape \(1, 2\); must be \(2,\), as log_ref has"):
        _check.problem(Problem([0.0, 0.0], [[1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"^log_ref: 'half'; must be an array"):
        _check.problem(Problem("half", "half"))
    with pytest.raises(ValueError, match=r"^success: \(1\.0, 0\.0\); must be an array"):
        _check.problem(Problem(problem.log_ref, (1.0, 0.0)))
    placeholders = jax.tree.map(lambda leaf: [leaf, "leaf"], problem)
    assert placeholders.success[1] == "leaf"


def test_the_package_lists_its_names():
    factories = {*qra.registry.ALGORITHMS, *qra.registry.REWARDS, *qra.registry.REGULARIZERS}
    assert {name for name in dir(qra) if not name.startswith("__")} == set(qra.__all__) | factories
    assert all(callable(getattr(qra, name)) for name in factories)


@pytest.mark.parametrize("draw", [lambda key: random(key, 3), lambda key: examples.internal_feedback(key, 3)])
def test_keys(draw, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(ValueError, match=r"^key: 0; must be a PRNG key, such as jax\.random\.key\(0\)$"):
        draw(0)
    with pytest.raises(
        ValueError, match=r"^key: shape \(2,\); must be one PRNG key, jax\.vmap over several$"
    ):
        draw(jax.random.split(jax.random.key(0)))
    assert draw(jax.random.PRNGKey(0)).patterns == 3
