r"""Do hints make hard questions useful to RL?

SPARKLE trains on hard questions with the first 0 to 4 quarters of a solution in the prompt, and reports that RL then
learns from questions that it learns nothing from without. Here a level h gives h quarters, level 4 leaves the answer;
what is left is sampled, verified as the whole, and alone taught. All tests are without hints, all rewards are for
solutions without a mistake in any line, since one answer of seven is guessed.

*Theory, written before any run of the full version.* If a solution were a chain of separate steps with rates q_i, RL
from the question would need a time of order 1/∏q_i, and hints of all levels one of order Σ 1/q_i: the flow with
restarts, $\dot\theta_c = m(s)\,\pi(c\mid s)\,[V(c)-V(s)]$. The prediction takes q_i of each test question from the
base, exactly, and one clock for each network, set where the arm with all levels ends; it then says where no hints,
levels 1 to 4 and level 4 only end. Level 4 teaches the answer alone and should gain nothing. Wrong hints are never
paid, which leaves a fifth of the questions. The first token of a solution of sums, the procedure, lies inside every
hint above level 0, so that dropping level 0 takes away all of selection's gradient, and the choice should stay where
it was; as choosing is most of what can be learnt there, hints should then lose to none. Lines share parameters, and
questions do, so that the chain may be too slow for every arm; SFT on the same solutions needs no reward and should
win.

*Experiment.* Decoders that have learnt graphs of 2 to 4 operations, and one question in a hundred of six, are trained
on graphs of six: GRPO, G = 8, 4 questions a step, 60 steps of Adam in five stages (it begins anew in each, so that
levels can be annealed). Others that know four procedures for sums are trained on sums of three numbers. Chances of
all pieces of all test solutions are exact, by teacher forcing, and so is pass@k: no estimator is needed. Controls:
wrong hints, level 0 dropped, level 4 only, equal rollouts; SFT with as many solutions as there are rollouts, or one a
question.

What was seen on pilot networks before the full run: 50 steps moved pass@1 of graphs by a point or two, with hints and
without (one network); on sums the choice stayed within .04 of where it was where every hint names the procedure, and
without hints it went to a single procedure (two networks, another learning rate).
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _hints_networks as networks, _hints_panels, _hints_theory as theory
from qra_jax.studies.data._hints_networks import ALL, FALLING, FALSE, GRAPHS, LAST, NONE, SUMS, WITHOUT

study = lab.Study(__name__, title="Hints: parts of solutions in the prompts of questions that are too hard")

POINTS, STAYS, TRIES = 0.03, 0.1, 16
"""Differences in pass@k that matter, three points as RELIFT reports; of the choice of a procedure, a tenth; k."""
DERIVED = lab.Derived("this study's text; qra_jax.tree.restarts", (papers.SPARKLE,))


@study.experiment()
def graphs(run: lab.Run) -> xr.Dataset:
    """RL on graphs beyond the base's reach, all arms."""
    return networks.trained(run, GRAPHS)


@study.experiment()
def sums(run: lab.Run) -> xr.Dataset:
    """RL on sums of three numbers, where a procedure has to be chosen."""
    return networks.trained(run, SUMS)


@study.experiment()
def taught(run: lab.Run) -> xr.Dataset:
    """SFT on solutions of the same graphs, on two budgets."""
    return networks.taught(run, GRAPHS)


@study.experiment(after=["graphs"])
def chain(run: lab.Run) -> xr.Dataset:
    """What a chain of separate steps predicts from the base's rates."""
    return xr.Dataset({"accuracy": theory.predicted(run.done.graphs)})


def _last(data: lab.Data, arm: str, tries: int = 1) -> xr.DataArray:
    return theory.accuracy(data.graphs, tries).isel(stage=-1).sel(arm=arm, drop=True)


def _first(data: lab.Data, tries: int = 1) -> xr.DataArray:
    return theory.accuracy(data.graphs, tries).isel(stage=0).sel(arm=NONE, drop=True)


def _tokens(data: lab.Data, tries: int = 1) -> xr.DataArray:
    last = theory.accuracy(data.taught, tries).isel(stage=-1)
    return last.sel(budget="equal sequences", drop=True)


def _above(words: str, first: xr.DataArray, second: xr.DataArray) -> lab.Evidence:
    return lab.difference(words, first, second).above(POINTS)


@study.claim(
    "RL with hints of all levels makes hard questions useful: it ends three points above RL without hints, at equal "
    "rollouts.",
    origin=papers.SPARKLE,
)
def useful(data):
    return _above("pass@1 without hints, all levels less none", _last(data, ALL), _last(data, NONE))


@useful.null("wrong hints")
def _(data):
    return _above("pass@1 without hints, wrong hints less none", _last(data, FALSE), _last(data, NONE))


@useful.positive("SFT at equal sequences in place of RL with hints")
def _(data):
    return _above("pass@1 of SFT less that of no hints", _tokens(data), _last(data, NONE))


@study.claim(
    "RL with hints of all levels reaches more questions: pass@16 ends three points above that of the resampled base.",
    origin=lab.Asked("whether hints extend what a network can do at all", (papers.SPARKLE, papers.PRE)),
)
def reach(data):
    return _above(
        "pass@16 after all levels, less that of the base", _last(data, ALL, TRIES), _first(data, TRIES)
    )


@reach.null("level 4 only")
def _(data):
    return _above(
        "pass@16 after level 4, less that of the base", _last(data, LAST, TRIES), _first(data, TRIES)
    )


@reach.positive("SFT at equal sequences in place of RL with hints")
def _(data):
    return _above("pass@16 of SFT less that of the base", _tokens(data, TRIES), _first(data, TRIES))


def _chain(data: lab.Data, when: str, leave: tuple[str, ...] = (ALL,)) -> lab.Evidence:
    arms = [name for name in theory.FIXED if name not in leave]
    measured = theory.accuracy(data.graphs).isel(stage=-1).sel(arm=arms)
    said = data.chain.accuracy.sel(arm=arms, when=when, drop=True)
    return lab.difference("pass@1 less that of the chain", measured, said).near(0, within=POINTS)


@study.claim(
    "With a clock set by all levels, the chain of separate steps gives where no hints, levels 1 to 4 and level 4 only "
    "end, within three points.",
    origin=DERIVED,
)
def separate(data):
    return _chain(data, "then")


separate.null("the chain after ten times as long")(lambda data: _chain(data, "ten times later", (ALL, LAST)))


def _nothing(data: lab.Data, arm: str) -> lab.Evidence:
    return lab.difference("pass@1 less that of the base", _last(data, arm), _first(data)).near(
        0, within=POINTS
    )


@study.claim(
    "Level 4 alone teaches the answer and nothing else: pass@1 without hints stays within three points of the base.",
    origin=DERIVED,
)
def answer_only(data):
    return _nothing(data, LAST)


answer_only.null("SFT at equal sequences")(
    lambda data: lab.difference("pass@1 less that of the base", _tokens(data), _first(data)).near(
        0, within=POINTS
    )
)


@study.claim(
    "Annealed hints, from level 4 to none, end three points above all levels mixed.",
    origin=lab.Asked("whether the order of the levels matters", (papers.SPARKLE,)),
)
def annealed(data):
    return _above("pass@1 without hints, annealed less all levels", _last(data, FALLING), _last(data, ALL))


@annealed.null("wrong hints in place of annealed ones")
def _(data):
    return _above("pass@1 without hints, wrong hints less all levels", _last(data, FALSE), _last(data, ALL))


@annealed.positive("SFT at equal sequences in place of annealed hints")
def _(data):
    return _above("pass@1 of SFT less that of all levels", _tokens(data), _last(data, ALL))


def _supervised(data: lab.Data) -> xr.DataArray:
    return theory.accuracy(data.taught).isel(stage=-1)


@study.claim(
    "SFT on whole solutions ends three points above RL with hints, at equal sequences and at one solution a question.",
    origin=lab.Asked(
        "a hint is a part of a demonstration; what does the demonstration do?", (papers.SPARKLE,)
    ),
)
def supervised(data):
    return _above("pass@1 of SFT less that of all levels", _supervised(data), _last(data, ALL)).per("budget")


@supervised.null("RL without hints in place of SFT")
def _(data):
    other = _last(data, NONE).expand_dims(budget=data.taught.budget.values)
    return _above("pass@1 of RL without hints less that of all levels", other, _last(data, ALL)).per("budget")


def _stays(data: lab.Data, arm: str) -> lab.Evidence:
    moved = theory.moved(data.sums).sel(arm=arm, drop=True)
    return lab.mean("total variation of the choice of a procedure", moved).below(STAYS)


@study.claim(
    "Where every hint names the procedure, RL does not choose: the choice moves by less than a tenth.",
    origin=DERIVED,
)
def inside(data):
    return _stays(data, WITHOUT)


inside.null("no hints")(lambda data: _stays(data, NONE))


def _choosing(data: lab.Data, arm: str) -> lab.Evidence:
    last = theory.accuracy(data.sums).isel(stage=-1)
    words = "pass@1 of sums, less that of levels 1 to 4"
    return _above(words, last.sel(arm=arm, drop=True), last.sel(arm=WITHOUT, drop=True))


@study.claim(
    "Where choosing a procedure is most of what can be learnt, RL without hints ends three points above hints of "
    "levels 1 to 4.",
    origin=DERIVED,
)
def choosing(data):
    return _choosing(data, NONE)


choosing.null("level 4 only in place of no hints")(lambda data: _choosing(data, LAST))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Pass@1 and pass@16 of graphs by arm; the chain against measurements; choice of a procedure; sums."""
    return _hints_panels.draw(data)
