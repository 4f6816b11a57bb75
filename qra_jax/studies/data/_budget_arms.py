"""What the study of budgets compares: bands, extents, and on what the budget is spent."""

from __future__ import annotations

from typing import NamedTuple

from qra_jax.studies.data import _bases

OLD, TARGET, BEYOND = _bases.BAND, (5, 6), (7, 8)
"""Bands of operations: of pre-training, the one that is trained for, and one that no stage reads."""
TESTS = {"inside": OLD, "target": TARGET, "beyond": BEYOND}
PARTS = 4
"""Parts that the budget is spent in."""
TRIES, RESAMPLED = 128, 42
"""k of pass@k, and the tries for each test question that the full budget pays for: 2048 sequences of 44 tokens for 48
questions, rounded."""
FLOOR = 0.2
"""Reward of a right answer whose lines are all wrong, as in 2512.07783."""


class Extent(NamedTuple):
    """How much is trained and read; both kinds of steps spend one budget."""

    read: int
    """Supervised steps in the whole budget."""
    sampled: int
    """Steps of RL in the whole budget."""
    questions: int = 32
    """N of a supervised step."""
    asked: int = 8
    """N of a step of RL."""
    group: int = 8
    """G."""
    learning: float = 1e-3
    """Learning rate of supervised steps, by Adam with weight decay."""
    reinforcing: float = 3e-4
    """Learning rate of RL, by Adam."""
    tested: int = 48
    """Questions of each test band."""


class Arm(NamedTuple):
    """What the budget is spent on."""

    share: float
    """Of the budget that is mid-training; RL spends the rest."""
    shown: tuple[int, int] = TARGET
    """Band of mid-training."""
    asked: tuple[int, int] = TARGET
    """Band of RL."""
    floor: float = FLOOR
    """Reward of a right answer without right lines: 1 is outcome only."""


RL, HEAVY, EVEN, LIGHT, MID = "RL only", "heavy RL", "even", "light RL", "mid-training only"
OLD_MID, OLD_EVEN, OLD_RL, OUTCOME = (
    "mid-training, old band",
    "even, old band first",
    "RL, old band",
    "RL, outcome only",
)
ARMS = {
    RL: Arm(0.0),
    HEAVY: Arm(0.25),
    EVEN: Arm(0.5),
    LIGHT: Arm(0.75),
    MID: Arm(1.0),
    OLD_MID: Arm(1.0, OLD),
    OLD_EVEN: Arm(0.5, OLD),
    OLD_RL: Arm(0.0, TARGET, OLD),
    OUTCOME: Arm(0.0, floor=1.0),
}
MIXES = [RL, HEAVY, EVEN, LIGHT, MID]
"""Arms of the target band with the process in the reward, in order of their shares."""
NUMBERS = ("pass1", "passk", "retried", "odds")
