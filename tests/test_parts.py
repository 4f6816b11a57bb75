"""Parts as plain data: what is described is built again, part by part, and what is unknown is refused by name."""

import inspect
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

import qra_jax as qra
from qra_jax import parts, registry

MOVING = {"every": 10, "mixing": 0.5, "target_kl": 0.1, "horizon": 50.0}
PENALTY = [{"beta": 0.1}, {"beta": 0.1, "estimate": "corrected"}, {"beta": 0.0, "reference": MOVING}]
GROUPS = [{}, {"group_size": 8}]
CASES = {
    "algorithm": {
        "reinforce": [{}, {"baseline": 0.5, "group_size": 4}],
        "rloo": [{"group_size": 4}],
        "grpo": [
            *GROUPS,
            {"group_size": 8, "ddof": 1, "epsilon": 1e-4},
            {"group_size": 8, "scale": "batch"},
            {"scale": "none"},
            {"group_size": 8, "resample_silent": True},
        ],
        "dr_grpo": [*GROUPS, {"group_size": 8, "resample_silent": True}],
        "maxrl": [*GROUPS, {"group_size": 8, "epsilon": 1e-4}],
        "signed": GROUPS,
        "remax": GROUPS,
        "opo": [{"group_size": 4}],
        "gpg": [{"group_size": 4}],
        "reinforce_pp": [{"group_size": 4}, {"group_size": 4, "baseline": "group"}],
        "pass_at_k": [{"k": 4}, {"k": 4, "group_size": 8}],
        "grpo_passk": [{"group_size": 4}, {"group_size": 4, "divide_by_std": True}],
        "passk_training": [{"k": 2, "group_size": 8}],
        "paired_grpo": [{"group_size": 16, "pairs": 4}],
        "filtered_sft": [
            {},
            {"keep": "negative", "group_size": 8},
            {"keep": "both", "negative_weight": 0.5},
            {"per": "accepted", "group_size": 8},
        ],
        "tsallis": [{"q": 0.5}, {"q": 0.5, "group_size": 8}],
        "dpo": [
            {"beta": 0.1},
            {"beta": 0.1, "pairs": "reference", "group_size": 8},
            {"beta": 0.1, "pairing": "longest", "group_size": 8},
        ],
    },
    "reward": {
        "verifiable": [{}, {"tpr": 0.9, "fpr": 0.1}],
        "self_certainty": [{}, {"floor": 0.01}],
        "answer_entropy": [{}, {"floor": 0.01}],
        "trajectory_log_prob": [{}],
        "majority_vote": [{}],
        "policy_vote": [{}],
        "kl_in_reward": [
            {"reward": "verifiable", "beta": 0.1},
            {"reward": {"name": "verifiable", "tpr": 0.9}, "beta": 1.0},
        ],
        "shaped": [
            {"reward": "verifiable", "bonus": [0.0, 0.5]},
            {"reward": {"name": "gated", "reward": "verifiable", "score": [0.5, 1.0]}, "bonus": [1, 0]},
        ],
        "gated": [{"reward": "verifiable", "score": [0.5, 1.0], "floor": 0.1, "weight": 0.4}],
        "length_term": [{"reward": "verifiable", "coefficient": -0.001, "form": "linear"}],
        "formatted": [
            {
                "reward": "verifiable",
                "rate": [0.5, 1.0],
                "format_weight": 0.2,
                "answer_weight": 0.8,
                "gate": False,
            }
        ],
        "abstaining": [{"reward": "verifiable", "abstains": [0.0, 1.0], "penalty": 0.5}],
        "several": [
            {"rewards": ["verifiable", "self_certainty"]},
            {"rewards": ["verifiable", {"name": "verifiable", "tpr": 0.9}], "weights": [1.0, 0.5]},
        ],
    },
    "regularizer": {
        **dict.fromkeys(("reverse_kl", "k1_loss", "k2_loss", "k3_loss", "k3_k2_loss"), PENALTY),
        "entropy_bonus": [{"weight": 0.1}, {"weight": -1.0}],
    },
}
REGISTRIES = {one.kind: one for one in (registry.ALGORITHMS, registry.REWARDS, registry.REGULARIZERS)}
READ = {
    "algorithm": parts.algorithm,
    "reward": parts.reward,
    "regularizer": lambda table: parts.regularizers([table])[0],
}
ALL = [(kind, name, case) for kind, names in CASES.items() for name in names for case in names[name]]


def same(one, other):
    """Whether two parts have the same functions, static data and numbers."""
    (leaves, kind), (others, other_kind) = jax.tree.flatten(one), jax.tree.flatten(other)
    return kind == other_kind and leaves == others


@pytest.mark.parametrize("kind", CASES)
def test_every_part_and_every_argument_is_among_the_cases(kind):
    known = [name for name in REGISTRIES[kind] if REGISTRIES[kind][name].__module__.startswith("qra_jax")]
    assert sorted(CASES[kind]) == sorted(known)
    for name in known:
        for key, parameter in inspect.signature(REGISTRIES[kind][name]).parameters.items():
            values = [case[key] for case in CASES[kind][name] if key in case]
            assert any(value != parameter.default for value in values), f"{name}: {key}"


@pytest.mark.parametrize(("kind", "name", "case"), ALL, ids=[f"{name}-{case}" for _, name, case in ALL])
def test_a_described_part_is_built_again(kind, name, case):
    part = READ[kind]({"name": name, **case})
    table = parts.describe(part)
    assert table["name"] == name
    again = READ[kind](table)
    assert same(part, again)
    assert again.name == part.name
    assert parts.describe(again) == table
    told = {key: value for key, value in table.items() if key != "name"}
    for key, value in case.items():
        usual = inspect.signature(REGISTRIES[kind][name]).parameters[key].default
        if key == "rewards":
            assert [READ[kind](one).name for one in told[key]] == [READ[kind](one).name for one in value]
        elif value != usual:
            whole = {"name": value, **parts.describe(READ[kind](value))} if key == "reward" else value
            assert told[key] in (value, whole), key


@pytest.mark.parametrize(("kind", "name", "case"), ALL, ids=[f"{name}-{case}" for _, name, case in ALL])
def test_a_part_whose_numbers_were_replaced_is_described_as_it_is_now(kind, name, case):
    part = READ[kind]({"name": name, **case})
    known = inspect.signature(REGISTRIES[kind][name]).parameters
    for key, value in part.params.items():
        if key not in known or isinstance(value, (qra.Reward, tuple)):
            continue
        if isinstance(value, list):
            fewer = [one / 2 + 0.125 for one in value]
            table = parts.describe(replace(part, params={**part.params, key: fewer}))
            assert table[key] == fewer
            assert READ[kind](table).params[key] == fewer
            continue
        fewer = 1 if isinstance(value, int) or key in ("k", "pairs") else value / 2 + 0.125
        changed = replace(part, params={**part.params, key: jnp.asarray(fewer, float)})
        table = parts.describe(changed)
        assert table[key] == fewer
        assert same(READ[kind](table), jax.tree.map(float, changed))
    if kind == "algorithm":
        larger = part.with_group_size(16)
        assert parts.describe(larger) == {**parts.describe(part), "group_size": 16}
        assert same(READ[kind](parts.describe(larger)), larger)


def test_the_limit_of_large_groups_has_no_group_size():
    assert parts.describe(qra.grpo(8).with_group_size(None)) == {"name": "grpo"}


@pytest.mark.parametrize(
    "part",
    [
        qra.normalized(qra.grpo(8), "length"),
        replace(qra.grpo(8), batch="std"),
        replace(qra.grpo_passk(8), params={"divide": 1.0}),
        replace(qra.verifiable(), fixed=False),
        qra.Algorithm("mine", lambda params, rewards, where: rewards, 4),
        qra.Reward("mine", lambda params, problem, log_policy: problem.success, True, True),
    ],
    ids=["normalized", "batch", "divide", "fixed", "algorithm", "reward"],
)
def test_what_no_factory_makes_has_no_plain_data(part):
    with pytest.raises(ValueError, match="has no plain data"):
        parts.describe(part)


OFF_POLICY = [
    {},
    {"clip": 0.2, "epochs": 4},
    {"clip": [0.2, 0.28], "dual_clip": 3.0, "staleness": 3, "schedule": "held"},
    {"surrogate": "sapo", "gate": [1.0, 2.0], "correction": "mask", "correction_cap": 3.0},
    {"surrogate": "none", "sampling_temperature": 1.2, "temperature": 0.7, "correlation": 0.5},
    {"behavior": [-1.0, -0.5], "correction": "truncate", "mask_old_negatives": 0.1},
    {"of": "gradient", "staleness": 2, "correction_level": "sequence"},
]


@pytest.mark.parametrize("table", OFF_POLICY)
def test_what_is_done_off_policy_is_described(table):
    made = parts.off_policy(table)
    assert parts.describe(made) == table
    for key, value in table.items():
        held = getattr(made, key)
        assert (
            jnp.allclose(jnp.asarray(held), jnp.asarray(value)) if isinstance(value, list) else held == value
        )


def test_every_attribute_of_off_policy_is_among_the_cases():
    assert {key for table in OFF_POLICY for key in table} == {*qra.OffPolicy.__dataclass_fields__}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: parts.off_policy({"clp": 0.2}), "off_policy: 'clp' is not known; did you mean 'clip'?"),
        (lambda: parts.off_policy({"clip": 1.2}), "off_policy: clip (low): 1.2; must be in"),
        (lambda: parts.algorithm("dapo"), "algorithm: 'dapo' is not known"),
        (lambda: parts.algorithm({"name": "grpo", "sample_std": True}), "'sample_std' is not known"),
        (
            lambda: parts.reward({"name": "kl_in_reward", "beta": 0.1}),
            "reward 'kl_in_reward': reward is missing",
        ),
        (
            lambda: parts.reward({"name": "kl_in_reward", "beta": 0.1, "reward": "verifable"}),
            "did you mean 'verifiable'?",
        ),
        (
            lambda: parts.regularizers([{"name": "k2_loss", "beta": 0.1, "reference": {"evry": 3}}]),
            "regularizers 'k2_loss': reference: 'evry' is not known; did you mean 'every'?",
        ),
    ],
)
def test_a_mistake_is_refused_in_one_line(build, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
