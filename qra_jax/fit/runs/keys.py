"""Names that trainers give to what they log: how a trainer is told, and where accuracy, steps and rates stand.

Sources: the trainers' own code, 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TRAINERS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        (
            "verl",
            r"^(critic/(score|rewards)/|val-core/|actor/(pg_clipfrac|entropy|kl_loss|ppo_kl)|timing_s/)",
        ),
        ("OpenRLHF", r"^(train/rollout/reward_mean|train/dynamic_filtering_pass_rate|eval/eval_.+_pass\d+)"),
        (
            "prime-rl",
            r"^((train|eval)/.+/reward/mean|mismatch_kl/|off_policy/mean|.+/solved_(none|all|some))",
        ),
        ("tunix", r"^(global|actor)/train/(rewards|completions|kl)"),
        ("NeMo-RL", r"^(train/baseline_reward/|gen_kl_error|token_mult_prob_error|train/gen_kl_error)"),
        ("slime", r"^rollout/(raw_reward|zero_std/|truncated_ratio)"),
        ("AReaL", r"^ppo_actor/"),
        ("tinker", r"^env/all/"),
        ("EasyDeL", r"^reward_mean$"),
        ("TRL", r"^(rewards/.+|reward_std|completions/mean_length|completion_length|frac_reward_zero_std)$"),
    )
)
"""Trainers by columns that only they have; the first that fits."""

STEPS = [
    "train/global_step",
    "training/global_step",
    "trainer/global_step",
    "global_step",
    "train_step",
    "trainer/step",
    "training_step",
    "step",
    "steps",
    "iteration",
    "iter",
    "update",
    "updates",
    "train/step",
    "_step",
    "epoch",
    "train/epoch",
]
"""Columns that count training, a trainer's own before those of who logs."""
RATES = ("lr", "learning_rate", "actor/lr", "train/learning_rate", "train/lr", "actor/learning_rate")
"""Columns with the optimizer's learning rate."""
SAMPLES = ("n", "samples", "n_judged", "num_samples", "total", "count", "n_samples")
"""Columns with the number of rollouts behind a point."""
CORRECT = ("correct", "right", "n_correct", "num_correct", "passed")
"""Columns with a number of right ones, beside one of `SAMPLES`."""
VISIT = re.compile(r"visit[_ ]?(\d+)$", re.IGNORECASE)
"""Columns with a visit of each question."""
RUNS = ("run", "run_name", "run_id", "experiment", "seed")
"""Columns that tell runs apart."""
PARTS = ("split", "phase", "stage", "mode", "set", "subset")
"""Columns that tell training from evaluation."""
QUESTIONS = [
    "prompt_id",
    "question_id",
    "problem_id",
    "uid",
    "prompt",
    "question",
    "problem",
    "input",
    "sample_id",
    "index",
    "id",
]
"""Columns that name a question."""
REVISIONS = ("revision", "checkpoint", "step", "steps", "bin", "bins", "range", "name", "model")
"""Columns whose texts hold a step, such as `step_0100`, or steps from … to …."""

FUNCTIONS = r"^rewards?/[^/]+(/mean)?$"
"""Reward functions, of which a trainer may have several."""
ACCURACY: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^(train/|training/|train_)?(accuracy|acc|pass_rate|pass(@|_at_)?1|success_rate|solve_rate)$",
        r"^rewards?/[^/]*(acc|correct|answer|solve|math|verif)[^/]*(/mean)?$",
        r"^env/all/correct$",
        r"^(train/)?(rewards?_)?[^/]*(accuracy|correctness|correct_rate|pass_rate)[^/]*$",
        r"^((is|mean|avg)_)?(correct|right|solved|passed)(_mean)?$",
        r"^(mean|avg)[@_]?\d+$",
        r"^train/rollout/reward_mean$",
        r"^critic/score/mean$",
        r"^critic/rewards/mean$",
        r"^rollout/raw_reward$",
        r"^train/(all|[^/]+)(/[^/]+)?/(reward/mean|avg@\d+)$",
        r"^(global|actor)/train/rewards/score/mean$",
        r"^ppo_actor/task_reward/avg$",
        r"^env/all/reward/total$",
        FUNCTIONS,
        r"^reward_mean$|^mean_reward$|^(train/)?rewards?$|^(train/)?scores?$",
        r"^value$",
        r"^pass(@|_at_)?k$",
        r"^(validation/accuracy|val-core/.*(mean@\d+|/acc.*)|eval.*(acc|pass@?1\b|pass1).*|eval/[^/]+)$",
    )
)
"""Columns that may be the accuracy of a policy, the better ones first; those of evaluation last."""
FUNCTION = [one.pattern for one in ACCURACY].index(FUNCTIONS)
"""Rank of a reward function."""
EVALUATION = re.compile(
    r"(^|[_/ .-])(val|valid|validation|test|eval|evaluation|dev)([_/ .-]|$)", re.IGNORECASE
)
"""Columns of evaluation: taken only where there is none of training."""
NOT = re.compile(
    r"(__MIN|__MAX|_std|/std|zero_std|/max|/min|_max|_min|format|length|penalty|filter|token_acc|brevity|kl|entropy|loss|grad|time|tokens)",
    re.IGNORECASE,
)
"""What is no accuracy, whatever else its name says."""
WORTH = re.compile(
    r"entropy|kl|reward|score|frac|solved_|correct|clip|length|grad_norm|mismatch|off_policy|staleness|age$|zero_std"
    r"|pct_|trunc|format|loss$|prob|logp|group_size|num_generations|rollout\.n",
    re.IGNORECASE,
)
"""What else tells something of a run."""


def trainer(columns: Iterable[str]) -> str | None:
    """The trainer that gives columns such names; none where nobody's are among them."""
    columns = [name.lower() if name.isupper() else name for name in columns]
    return next((who for who, pattern in TRAINERS if any(map(pattern.search, columns))), None)


def find(columns: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of some names that is a column, without regard to case and spaces."""
    known = {name.strip().lower().replace(" ", "_"): name for name in reversed(list(columns))}
    return next((known[name] for name in names if name in known), None)


def needed(column: str) -> bool:
    """Whether a column may be taken for something, or tells something of a run."""
    usual = (*STEPS, *RATES, *SAMPLES, *CORRECT, *RUNS, *PARTS, *QUESTIONS, *REVISIONS, "k")
    return bool(find([column], usual) or WORTH.search(column) or accuracies([column]))


def rank(column: str) -> int | None:
    """Which of the patterns of `ACCURACY` is the first that a column has; none where it has none."""
    bare = column.removeprefix("train/") if column.startswith("train/rewards/") else column
    found = (i for i, one in enumerate(ACCURACY) if one.search(column) or one.search(bare))
    return None if NOT.search(column) else next(found, None)


def accuracies(columns: Iterable[str]) -> list[str]:
    """Columns that may be accuracies, the best of them first.

    >>> accuracies(["loss", "reward", "rewards/format/mean", "rewards/accuracy/mean", "eval_rewards/accuracy/mean"])
    ['rewards/accuracy/mean', 'reward', 'eval_rewards/accuracy/mean']
    """
    ranks = {name: found for name in columns if (found := rank(name)) is not None}
    return sorted(ranks, key=lambda name: (bool(EVALUATION.search(name)), ranks[name]))
