"""Mutations of `relift-tokens`: what its claims would say of other data."""

import numpy as np

RL, SFT, SFT_ALL = "RL alone", "SFT alone", "SFT on all questions"
BEFORE, FIRST, BETWEEN, RANDOM = (
    "SFT, then RL",
    "SFT on unsolved, then RL",
    "interleaved",
    "interleaved at random",
)
ALWAYS, GUESSED = "RL and SFT at every step", "interleaved, half guesses"
GUESSED_ALWAYS = "at every step, half guesses"


def _set(**arms):
    """Last chances of some arms set to a number for every seed, up to a ripple."""

    def mutate(data):
        chance = data.runs.chance.copy()
        for number, (name, value) in enumerate(arms.items()):
            arm, seeds = globals()[name], np.arange(chance.sizes["seed"])
            ripple = 1e-4 * np.sin(seeds + number)[:, None, None]  # differences of arms scatter, too
            chance.loc[{"arm": arm, "record": chance.record[-1]}] = (
                value + ripple + 0 * chance[0, :, -1].values
            )
        return data.change("runs", chance=chance)

    return mutate


def _tokens(value, between):
    """SFT on equal tokens and interleaving, and a base that can do nothing."""

    def mutate(data):
        changed = _set(BETWEEN=between)(data)
        ripple = 1e-4 * np.cos(np.arange(data.runs.sizes["seed"]))[:, None, None]
        chance = changed.runs.chance.copy()
        chance.loc[{"record": chance.record[0]}] = 1e-6 * (1 + 1e3 * ripple)
        return changed.change("runs", chance=chance, tokens_chance=lambda x: 0 * x + value + ripple)

    return mutate


def _few(data):
    return data.select("runs", seed=slice(1))


TABLE = {
    "relift": {
        "holds": _set(BETWEEN=0.9, RL=0.3, SFT=0.2),
        "fails": _set(BETWEEN=0.1, RL=0.3, SFT=0.2),
        "open": _few,
    },
    "fewer": {
        "holds": _set(BETWEEN=0.9, SFT_ALL=0.3, SFT=0.1),
        "fails": _set(BETWEEN=0.1, SFT_ALL=0.3, SFT=0.1),
        "open": _few,
    },
    "before": {"holds": _set(BETWEEN=0.9, BEFORE=0.5), "fails": _set(BETWEEN=0.1, BEFORE=0.5), "open": _few},
    "choice": {"holds": _set(BETWEEN=0.9, RANDOM=0.5), "fails": _set(BETWEEN=0.1, RANDOM=0.5), "open": _few},
    "timing": {"holds": _set(BETWEEN=0.9, FIRST=0.5), "fails": _set(BETWEEN=0.1, FIRST=0.5), "open": _few},
    "budget": {"holds": _tokens(0.5, 0.9), "fails": _tokens(0.5, -0.5), "open": _few},
    "every-step": {
        "holds": _set(ALWAYS=0.1, GUESSED_ALWAYS=0.1, RL=0.5, BETWEEN=0.9),
        "fails": _set(ALWAYS=0.9, GUESSED_ALWAYS=0.9, RL=0.5, BETWEEN=0.9),
        "open": _few,
    },
    "gate": {
        "holds": _set(GUESSED=0.9, GUESSED_ALWAYS=0.5),
        "fails": _set(GUESSED=0.5, GUESSED_ALWAYS=0.9),
        "open": _few,
    },
}
