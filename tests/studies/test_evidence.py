"""Evidence: intervals cover, verdicts are one of four, conditions are found, controls have teeth."""

import numpy as np
import pytest
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.lab import (
    Data,
    Derived,
    Study,
    all_of,
    any_of,
    close,
    contrary,
    correlation,
    dataset,
    difference,
    exact,
    explained,
    line,
    mean,
    misfit,
    never,
    ordered,
    ratio,
    same_curve,
    share,
    slope,
    somewhere,
    stacked,
    statistic,
    tail,
)

LEVEL = 0.05
RANDOM = np.random.default_rng(1)


def seeds(values, **coords):
    """Labelled values whose last dimension is the seed."""
    return xr.DataArray(np.asarray(values, float), dims=(*coords, "seed"), coords=coords)


def covers(estimate, truth):
    low, high = estimate.interval(LEVEL)
    return bool((low <= truth) & (truth <= high))


# each estimate's interval holds the truth in at least about .95 of the draws


def draw_mean(random):
    return mean("x", seeds(random.normal(2, 3, 8))), 2.0


def draw_difference(random):
    common = random.normal(0, 5, 10)
    return difference("x", seeds(common + random.normal(1, 1, 10)), seeds(common)), 1.0


def draw_ratio(random):
    common = random.normal(0, 1, 10)
    return ratio("x", seeds(np.exp(common + random.normal(1, 0.3, 10))), seeds(np.exp(common))), np.e


def draw_share(random):
    return share("x", seeds(random.random(60) < 0.1)), 0.1


def draw_slope(random):
    x = xr.DataArray(np.arange(5.0), dims="time")
    y = 2 * x + xr.DataArray(random.normal(0, 1, (9, 5)), dims=("seed", "time"))
    return slope("x", y, x, along="time", over="seed"), 2.0


def draw_statistic(random):
    return statistic("x", lambda x: x.mean("seed"), seeds(random.normal(2, 1, 12)), draws=200), 2.0


def draw_correlation(random):
    first = random.normal(size=200)
    second = 0.6 * first + 0.8 * random.normal(size=200)
    return correlation("x", seeds(first), seeds(second)), 6 / np.pi * np.arcsin(0.3)


def draw_misfit(random):
    return misfit("x", random.normal(0.5, 1, 50)), 0.5


def draw_same_curve(random):
    truth = np.array([[0.0], [1.0]]) * np.ones(20)
    values = xr.DataArray(truth + random.normal(0, 0.1, truth.shape), dims=("arm", "x"))
    return same_curve("x", values, over="arm", error=xr.full_like(values, 0.1)), 0.5


@pytest.mark.parametrize("draw", [f for name, f in sorted(globals().items()) if name.startswith("draw_")])
def test_intervals_cover_the_truth(draw):
    random = np.random.default_rng(0)
    draws = 60 if draw in (draw_correlation, draw_statistic) else 300
    right = sum(covers(*draw(random)) for _ in range(draws))
    assert right / draws > 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws)
    wrong = sum(covers(draw(random)[0], draw(random)[1] + 3) for _ in range(10))
    assert wrong < 10, "an interval that holds everything says nothing"


# verdicts


def test_a_claim_holds_fails_or_is_open():
    narrow, wide = seeds([1.0, 1.1, 0.9, 1.0]), seeds([1.0, 9.0, -7.0, 1.0])
    assert mean("x", narrow).above(0.5).decide(LEVEL).kind == "holds"
    assert mean("x", narrow).above(1.5).decide(LEVEL).kind == "fails"
    assert mean("x", wide).above(0.5).decide(LEVEL).kind == "open"
    assert mean("x", narrow).near(1.0, within=0.2).decide(LEVEL).kind == "holds"
    assert mean("x", narrow).near(1.0, within=0.01).decide(LEVEL).kind == "open", "not rejected is not shown"
    assert mean("x", narrow[:1]).above(-1e9).decide(LEVEL).kind == "open", "one member decides nothing"
    assert close("x", 1.0 + 1e-9, 1, within=1e-6).decide(LEVEL).kind == "holds"
    assert close("x", np.nan, 1, within=1e-6).decide(LEVEL).kind == "open", "no number decides nothing"
    assert close("x", 3.0, 2.0, within=0.1, relative=True).decide(LEVEL).kind == "fails"
    assert exact("x", np.inf).above(3).decide(LEVEL).kind == "holds"


def test_never_needs_members_and_falls_with_one_case():
    none = xr.DataArray(np.zeros(1000, bool), dims="problem")
    assert never("x", none).decide(LEVEL).kind == "holds"
    assert never("x", none[:20]).decide(LEVEL).kind == "open"
    assert never("x", none.copy(data=np.arange(1000) == 7)).decide(LEVEL).kind == "fails"


def test_what_does_not_scatter_is_not_certain():
    same = seeds(np.ones((2, 8)), arm=["a", "b"])
    for test in (
        mean("x", same).above(0),
        mean("x", 0 * same).below(0),
        difference("x", same, same).above(-1),
    ):
        assert test.decide(1e-6).kind == "open"
    assert ratio("x", same, 2 * same).below(1).decide(LEVEL).kind == "open"
    assert correlation("x", same, same).above(0).decide(LEVEL).kind == "open"
    for x in (0.1, 0.3, 1 / 3):
        assert mean("x", seeds(np.full(3, x))).above(0).decide(LEVEL).kind == "open", "rounding is no scatter"
    part = seeds([0.1, 0.2, 0.3])
    assert lab.pooled_share("x", part, 10 * part).above(0.05).decide(LEVEL).kind == "open"
    assert (
        lab.pooled(lab.measured("x", seeds([5.0, 1.0]), seeds([0.0, 1.0]))).below(9).decide(LEVEL).kind
        == "open"
    )
    with pytest.raises(ValueError, match="values: flags"):
        mean("x", same > 0)
    assert share("x", same > 0).above(0.5).decide(LEVEL).kind == "holds", (
        "flags have an interval of their own"
    )


def test_correlated_members_count_once():
    flags = xr.DataArray(np.ones((10, 100)), dims=("problem", "pattern"))
    assert share("x", flags).above(0.9).decide(LEVEL).kind == "holds"
    assert share("x", flags, n=10).above(0.9).decide(LEVEL).kind == "open"
    assert never("x", 1 - flags, rarer_than=0.1).decide(LEVEL).kind == "holds"
    assert never("x", 1 - flags, rarer_than=0.1, n=10).decide(LEVEL).kind == "open"
    assert explained("x", flags, {}, rarer_than=0.1, n=10).decide(LEVEL).kind == "open"


def test_what_is_unknown_leaves_open():
    hole = np.ones(1000)
    hole[3] = np.nan
    hole = xr.DataArray(hole, dims="seed")
    kinds = [
        explained("x", hole, {"always": np.ones(1000)}).decide(LEVEL).kind,
        never("x", lab.where_known(hole > 2, hole)).decide(LEVEL).kind,
        share("x", lab.where_known(hole > 0, hole)).above(0.1).decide(LEVEL).kind,
        same_curve("x", hole.expand_dims(arm=2), over="arm").below(1).decide(LEVEL).kind,
        lab.pooled_share("x", hole, 2 * hole).above(0).decide(LEVEL).kind,
        misfit("x", hole).below(9).decide(LEVEL).kind,
        misfit("x", hole.fillna(np.inf)).below(9).decide(LEVEL).kind,
    ]
    assert set(kinds) == {"open"}
    once = xr.DataArray([1.0, 0.0, 0.0, 0.0], dims="seed")
    share_of_one = lab.pooled_share("x", once, once).above(0.1).decide(LEVEL)
    assert share_of_one.kind == "open", "a single member that counts says nothing of the others"


def test_errors_that_do_not_fit_the_scatter_are_seen():
    truth = xr.DataArray(np.array([[0.0], [0.1]]) * np.ones(20), dims=("arm", "x"))
    assert (
        same_curve("x", truth, over="arm", error=xr.full_like(truth, 1.0)).below(1e-4).decide(LEVEL).kind
        == "open"
    )


def test_misfit_knows_errors_that_are_too_large_and_misses_that_are_huge():
    assert misfit("x", np.zeros(10)).below(0.2).decide(LEVEL).kind == "open"
    low, high = misfit("x", np.full(100, 1e4)).interval(LEVEL)
    assert low < 1e4 < high
    assert misfit("x", np.full(10, 1e5)).below(1).decide(LEVEL).kind == "fails"


def test_labels_of_what_is_combined_must_agree():
    one, other = (
        xr.DataArray([1.0, 1.0], dims="rate", coords={"rate": rates})
        for rates in ([0.1, 0.3], [0.1, 0.1 * 3])
    )
    with pytest.raises(ValueError, match="exact"):
        somewhere(all_of(exact("x", one).above(0), exact("x", other).above(0))).decide(LEVEL)
    study = Study("made.up", title="Unequal labels")
    study.experiment()(runs)
    study.claim("x", origin=Derived(), needs_no_control="none")(
        lambda data: exact("x", data.runs.a - other).above(-1)
    )
    with pytest.raises(ValueError, match="exact"):
        study.judge(Data({"runs": dataset({"a": ("rate", [1.0, 1.0])}, {"rate": [0.1, 0.3]})}))


def test_conditions_that_exclude_each_other_fail():
    k = {"k": [1, 2, 4, 8]}
    low = xr.DataArray([1.0, 1.0, -1.0, -1.0], dims="k", coords=k)
    above, below = exact("a", low).above(0).per("k"), exact("b", -low).above(0).per("k")
    assert all_of(above, below).decide(LEVEL).kind == "fails"
    assert str(all_of(above, exact("b", low + 3).above(0).per("k")).decide(LEVEL)).endswith(
        "k ≤ 2 (tested down to 1)"
    )
    assert all_of(above, exact("b", -low).above(0)).decide(LEVEL).kind == "fails", (
        "the other is about every k"
    )
    with pytest.raises(ValueError, match="without `per`"):
        any_of(above, below)
    with pytest.raises(ValueError, match="without rules"):
        contrary(explained("x", np.ones(3), {}))


def test_a_null_control_must_hold_nowhere():
    """A control with the effect in all of its hundred cells but one does not pass for one without it."""
    cells = np.ones(100)
    assert exact("x", cells).above(0).absent(LEVEL).kind == "holds"
    cells[7] = -1
    assert exact("x", cells).above(0).absent(LEVEL).kind == "holds"
    assert exact("x", -cells).above(0).absent(LEVEL).kind == "holds", "one cell shows it"
    assert exact("x", np.full(100, -1.0)).above(0).absent(LEVEL).kind == "fails"
    assert exact("x", np.where(np.arange(100) < 60, np.nan, -1.0)).above(0).absent(LEVEL).kind == "open"
    rare = xr.DataArray(np.arange(1000) == 7, dims="member")
    assert never("x", rare).decide(LEVEL).kind == "fails"
    assert never("x", rare).absent(LEVEL).kind == "holds", "one case in a thousand is as rare as claimed"
    assert never("x", ~rare).absent(LEVEL).kind == "fails"
    assert explained("x", ~rare, {}).absent(LEVEL).kind == "holds"
    by_arm = xr.DataArray([1.0, -1.0], dims="arm", coords={"arm": ["a", "b"]})
    among = exact("x", by_arm).above(0).elements(LEVEL) == 1
    assert exact("x", -by_arm).above(0).absent(LEVEL, among).kind == "fails", "only where the claim holds"
    assert exact("x", -by_arm).above(0).per("arm").absent(LEVEL).kind == "holds"


def test_claims_that_contradict_each_other_are_open():
    study, data = toy()
    study.claim(
        "A is not above B.", origin=Derived(), needs_no_control="a test", conflicts_with=["up/above"]
    )(lambda data: mean("A − B", data.runs.gap).above(0))
    verdicts = [one.verdict for one in study.judge(data)]
    assert [one.kind for one in verdicts] == ["open", "open"]
    assert "contradicts up/above" in verdicts[1].reason


def test_order_is_decided_step_by_step():
    rising = xr.DataArray([1.0, 2.0, 3.0], dims="n")
    assert ordered("x", rising, along="n").decide(LEVEL).kind == "holds"
    assert ordered("x", rising, along="n", rising=False).decide(LEVEL).kind == "fails"
    assert ordered("x", 0 * rising, along="n").decide(LEVEL).kind == "fails", "what is constant does not rise"
    never_over = xr.DataArray([1.0, 2.0, np.inf], dims="n")
    assert ordered("x", never_over, along="n").decide(LEVEL).kind == "holds"
    noisy = rising + xr.DataArray(RANDOM.normal(0, 3, (3, 4)), dims=("n", "seed"))
    assert ordered("x", noisy, along="n", over="seed").decide(LEVEL).kind == "open"


def test_evidence_is_combined():
    yes, no, unknown = exact("a", 1.0).above(0), exact("b", -1.0).above(0), exact("c", np.nan).above(0)
    kind = lambda evidence: evidence.decide(LEVEL).kind  # noqa: E731
    assert kind(all_of(yes, yes)) == "holds"
    assert kind(all_of(yes, no, unknown)) == "fails"
    assert kind(all_of(yes, unknown)) == "open"
    assert kind(any_of(no, yes)) == "holds"
    assert kind(any_of(no, unknown)) == "open"
    assert kind(contrary(no)) == "holds"
    values = xr.DataArray([-1.0, 1.0], dims="arm")
    assert kind(exact("d", values).above(0)) == "fails"
    assert kind(somewhere(exact("d", values).above(0))) == "holds"


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ([-1, -1, 1, 1], "group ≥ 8 (tested up to 16)"),
        ([1, -1, -1, -1], "group is 2"),
        ([1, 1, -1, -1], "group ≤ 4 (tested down to 2)"),
        ([-1, 1, 1, -1], "4 ≤ group ≤ 8"),
        ([1, -1, 1, -1], "group is 2 or 8"),
        ([-1, np.nan, 1, 1], "group ≥ 8 (tested up to 16) (1 of 4 undecided)"),
    ],
)
def test_conditions_are_found(values, condition):
    values = xr.DataArray(values, dims="group", coords={"group": [2, 4, 8, 16]})
    verdict = exact("x", values).above(0).per("group").decide(LEVEL)
    assert (verdict.kind, verdict.reason) == ("holds only if", condition)
    assert str(verdict) == f"holds only if {condition}"


def test_a_condition_names_the_axis_that_decides():
    names = {"arm": ["a", "b"], "group": [2, 4]}
    by_arm = xr.DataArray([[1, 1], [-1, -1]], dims=("arm", "group"), coords=names)
    assert exact("x", by_arm).above(0).per("arm", "group").decide(LEVEL).reason == "arm is a"
    corner = xr.DataArray([[1, -1], [-1, -1]], dims=("arm", "group"), coords=names)
    reason = exact("x", corner).above(0).per("arm", "group").decide(LEVEL).reason
    assert reason == "in 1 of 4 cells: a, group = 2"
    assert exact("x", by_arm).above(0).per("group").decide(LEVEL).kind == "fails", (
        "each group fails in one arm"
    )


def test_exceptions_are_explained_by_a_rule_or_not():
    size = RANDOM.random(3000)
    true = size > 0.3
    rules = {"x > .3": size > 0.3, "x > .5": size > 0.5}
    verdict = explained("it rises", true, rules).decide(LEVEL)
    assert (verdict.kind, verdict.reason) == ("holds only if", "x > .3")
    assert explained("it rises", true, {"x > .5": size > 0.5}).decide(LEVEL).kind == "fails"
    assert explained("it rises", size > -1, rules).decide(LEVEL).kind == "holds"
    assert explained("it rises", (size > -1)[:20], rules).decide(LEVEL).kind == "open"
    assert explained("it rises", size > 2, rules).decide(LEVEL).kind == "fails"


def test_words_name_what_was_measured():
    values = seeds([[1.0, 1.2], [2.0, 2.2]], arm=["GRPO", "RLOO"])
    test = mean("gain", values).above(0)
    assert test.predicted() == "gain: at least 0"
    assert test.measured(LEVEL).startswith("gain: GRPO: 1.1 (-0.171 … 2.37), RLOO: 2.1 (")
    assert test.detectable(LEVEL) > 0
    record = test.record(LEVEL)
    assert record["outcome"] == [0, 1]
    assert record["axes"] == {"arm": ["GRPO", "RLOO"]}


# a study


def runs(run):
    """Never run: the data of these studies are made by hand."""
    raise NotImplementedError


def toy(gap=1.0, control_gap=0.0, positive=None, n=30):
    """A study of one claim: two arms differ by a gap."""
    study = Study("made.up", title="Two arms differ")
    study.experiment()(runs)

    @study.claim("A is above B.", origin=Derived())
    def above(data):
        return mean("A − B", data.runs.gap).above(0.5)

    @above.null("B against itself")
    def _(data):
        return mean("B − B", data.runs.none).above(0.5)

    if positive is not None:

        @above.positive("a gap put in by hand")
        def _(data):
            return mean("A + 9 − B", data.runs.gap + positive).above(0.5)

    noise = RANDOM.normal(0, 0.1, (2, n))
    made = dataset({"gap": ("seed", gap + noise[0]), "none": ("seed", control_gap + noise[1])})
    return study, Data({"runs": made})


def verdict(study, data):
    return study.judge(data)[0].verdict


def test_a_claim_that_its_control_shows_too_is_open():
    assert verdict(*toy()).kind == "holds"
    shown = verdict(*toy(control_gap=1.0))
    assert shown.kind == "open"
    assert "shows the same" in shown.reason
    undecided = verdict(*toy(control_gap=0.5))
    assert undecided.kind == "open"
    assert "undecided" in undecided.reason


def test_a_refutation_needs_an_instrument_that_can_confirm():
    assert verdict(*toy(gap=0.0)).kind == "fails"
    assert verdict(*toy(gap=0.0, positive=9.0)).kind == "fails"
    assert verdict(*toy(gap=0.0, positive=0.0)).kind == "open"


def test_no_verdict_without_a_control():
    study = Study("made.up", title="Alone")
    study.claim("x", origin=Derived())(lambda data: close("x", 1.0, 1, within=1))
    with pytest.raises(ValueError, match="no null control"):
        study.judge(Data({}))


def test_intervals_widen_with_the_number_of_questions():
    one, data = toy()
    many, _ = toy()
    for i in range(20):

        def more(data):
            return mean("A − B", data.runs.gap).above(0.5)

        more.__name__ = f"more_{i}"
        many.claim("again", origin=Derived(), needs_no_control="only counted")(more)
    levels = [study.judge(data)[0].level for study in (one, many)]
    assert levels == [0.05 / 2, 0.05 / 22]
    (alone,) = many.judge(data, only="up/above")
    assert alone.level == levels[1], "a claim shown alone has the verdict it has among the others"


def test_family_wise_error_is_kept():
    """Of studies in which nothing is there, at most .05 decide anything wrongly."""
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        tests = [mean("x", seeds(random.normal(0, 1, 10))).above(0) for _ in range(20)]
        wrong += any(test.decide(0.05 / 20).kind != "open" for test in tests)
    assert wrong / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_line_is_weighted_least_squares():
    random = np.random.default_rng(3)
    x, sd = random.uniform(0, 4, 30), random.uniform(0.1, 2, 30)
    y = 1.5 * x - 2 + sd * random.standard_normal(30)
    wanted, covariance = np.polyfit(x, y, 1, w=1 / sd, cov="unscaled")
    found = line("slope", *(xr.DataArray(values, dims="point") for values in (y, x, sd)))
    half = np.ptp(found.interval(0.3173)) / 2
    np.testing.assert_allclose([found.value, half], [wanted[0], covariance[0, 0] ** 0.5], rtol=1e-4)
    few = line("slope", *(xr.DataArray(values[:2], dims="point") for values in (y, x, sd)))
    assert few.above(0).decide(0.05).kind == "open"


def test_stacked_estimates_are_decided_one_by_one():
    random = np.random.default_rng(0)
    rows = {x: mean("x", xr.DataArray(random.normal(x, 1, 50), dims="seed")) for x in (-3, 0, 3)}
    both = stacked("shift", rows)
    assert both.value.dims == ("shift",)
    assert both.above(0).comparisons() == 3
    for x, row in rows.items():
        np.testing.assert_allclose([end.sel(shift=x) for end in both.interval(0.01)], row.interval(0.01))
    assert str(both.above(1.0).per("shift").decide(0.01)) == "holds only if shift is 3"


def test_tails_are_censored():
    times = xr.DataArray(np.random.default_rng(1).pareto(0.6, (200, 400)) + 1, dims=("study", "seed"))
    found = tail("power", times, since=3.0, until=50.0)
    low, high = found.interval(0.1)
    assert 0.8 < float(((low < 0.6) & (high > 0.6)).mean()) < 0.97
    assert abs(float(found.value.mean()) - 0.6) < 0.02


def test_extrapolated_recovers_what_was_fitted():
    rate = xr.DataArray(4 / 2.0 ** np.arange(3, 9), dims="rate")
    arm = xr.DataArray([0.5, 2.0], dims="arm")
    estimate = lab.extrapolated(
        "limit", arm * (1 + rate - 3 * rate**2), 0.01, rate**0, rate, rate**2, along="rate"
    )
    np.testing.assert_allclose(estimate.value, arm)
    again = lab.extrapolated("order", np.log(0.3 * rate**0.5), 0.01, np.log(rate), rate**0, along="rate")
    np.testing.assert_allclose(again.value, 0.5)
    assert again.near(0.5, within=0.2).decide(0.05).kind == "holds"


def test_pooled_is_weighted_by_precision():
    arms = lab.measured("x", xr.DataArray([0.0, 1.0], dims="arm"), xr.DataArray([1.0, 0.5], dims="arm"))
    together = lab.pooled(arms)
    low, high = together.interval(0.05)
    np.testing.assert_allclose(together.value, 0.8)
    np.testing.assert_allclose((high - low) / 2 / 1.959964, 0.2**0.5, rtol=1e-6)


def test_distance_of_distributions():
    random = np.random.default_rng(0)
    x = xr.DataArray(random.normal(size=(2, 4000)), dims=("arm", "one"))
    y = xr.DataArray(random.normal(size=(2, 3000)) + np.array([[0.0], [1.0]]), dims=("arm", "two"))
    estimate = lab.distance("laws", x, y, ("one", "two"))
    assert estimate.below(0.1).per("arm").decide(0.01).kind == "holds only if"
    assert lab.distance("laws", x * np.nan, y, ("one", "two")).below(0.1).decide(0.01).kind == "open"


def test_resamplings_may_be_taken_together():
    rng = np.random.default_rng(0)
    members = {"seed": np.arange(8), "arm": ["a", "b"]}
    one = xr.DataArray(rng.exponential(size=(2, 8, 3)), dims=("arm", "seed", "task"), coords=members)
    other = xr.DataArray(rng.exponential(size=(8, 3)), dims=("seed", "task"), coords={"seed": np.arange(8)})

    def over(one, other):
        return one.mean("seed", skipna=False) / other.mean("seed", skipna=False)

    found = [
        statistic("x", over, one, other, to=np.log, back=np.exp, together=together)
        for together in (False, True)
    ]
    assert found[1].value.dims == ("arm", "task")
    for each, together in zip(*(estimate.interval(0.05) for estimate in found), strict=True):
        np.testing.assert_allclose(each, together, rtol=1e-13)
    alone = statistic("x", over, one.isel(seed=[0]), other.isel(seed=[0]), together=True)
    assert np.isinf(alone.interval(0.05)[1]).all()


def test_a_pooled_share_counts_members_by_what_they_hold():
    rng = np.random.default_rng(0)
    whole = xr.DataArray(rng.exponential(size=(2, 40)), dims=("arm", "seed"))
    part = rng.uniform(0.25, 0.35, whole.shape) * whole
    estimate = lab.pooled_share("part", part, whole)
    assert np.allclose(estimate.value, 0.3, atol=0.02)
    assert str(estimate.above(0.2).decide(0.05)) == "holds"
    uneven = part.copy()
    uneven[:, 0] = 10.0
    low, high = lab.pooled_share("part", uneven, whole).interval(0.05)
    assert bool((high - low > 0.1).all())  # one member holds most of it
    assert lab.pooled_share("none", 0 * part, 0 * whole).above(0).decide(0.05).kind == "open"
