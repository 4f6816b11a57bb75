r"""Where does RL extend what a network can do: at the edge of its competence?

The paper trains small models on graphs of arithmetic and says that RL raises pass@128, graph-strict (every node right),
only on data at the edge: difficult, but not out of reach; that a second context (other names for the same thing) needs
about 1 % of pre-training before RL transfers to it; and that rewards which look at the process keep reasoning honest.

Networks here have read solutions of two to four operations, and a few of five and six. RL (GRPO, groups of 8, reward 0
unless the answer is right, else .2 + .8 × the share of right lines) on questions of 3–4, 4–5, 5–6 or 8–9 operations,
tested on 2–4, 5–6 and 8–9.

*Predicted before the run.* (1) A chain of lines: a question of n operations is solved with chance p ≈ ∏ q_i, q the
rates of lines whose operands are right, so pass@1 falls geometrically and pass@128 only where 128 p falls below
one. (2) GRPO moves on groups that are neither all right nor all wrong, so a band teaches as long as p × rollouts of
the whole run is well above one; for 8–9 operations it is far below, groups are silent, and RL there changes nothing
at all. (3) In the tabular theory a rate can rise to one wherever it is not zero: pass@1 rises on every other band,
and pass@128 only where base has headroom, pass@128 well below one with p above zero: 5–6, by RL on 4–5 or 5–6. (4)
Lines are shared by all questions, so RL on 3–4 lifts 5–6, too, by less; that what has never been written (lines
seven to nine) is found from 5–6 is not expected. (5) A demonstration says each token, a reward one number: SFT on
the same band, on as many sequences, gains at least as much, also on 8–9. (6) Rewards by the answer alone pay
answers that are right by luck (one in seven, and more, as zero is common): less graph-strict accuracy. (7) Names
that have never been read are looked up by chance: nothing to reward at 0 and .1 %.

The second context is read after that: 300 supervised steps of 64 sequences, of which a share has its names. A first
full run had 30 steps at a smaller rate, after which nothing of the second context was known at any share; a trial
with one network chose steps and rate. Bases are of that day, too: earlier ones could not look values up. Predictions
are from before all of this.

Controls: base, and exposed networks, tried again with other lots; SFT on the band.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _bases as bases, _edge_panels as drawn
from qra_jax.studies.data._edge import AMOUNTS, HALF, OUTCOME, READ, SECOND, Arm, School
from qra_jax.studies.data._edge_evidence import chained
from qra_jax.studies.networks._procedures import numbers_of_tries

study = lab.Study(__name__, title="The edge of competence: where RL extends what a network can do")

BANDS = {"3–4": (3, 4), "4–5": (4, 5), "5–6": (5, 6), "8–9": (8, 9)}
TESTS = {"2–4": (2, 4), "5–6": (5, 6), "8–9": (8, 9)}
INSIDE, EDGE, BEYOND = TESTS
BASE, AGAIN, ANSWER = "base", "base, again", "RL 5–6, by the answer"
ARMS = [f"RL {band}" for band in BANDS]
SUPERVISED = [f"SFT {band}" for band in BANDS]
WORTH = 0.05
"""Difference of pass@k that would matter; the paper reports gains up to .42."""
EXPOSED = {"0": 0.0, "0.1 %": 0.001, "1 %": 0.01, "10 %": 0.1}
STAGES = ["exposed", "then RL on both", "exposed, again"]


@study.experiment()
def bands(run: lab.Run) -> xr.Dataset:
    """RL and SFT on each band, tested on each band."""
    school, start, steps = School(run), bases.solvers(run), run(AMOUNTS).steps
    near, far = (
        [Arm(band) for band in BANDS.values() if (band[1] > bases.ROOM) == far] for far in (False, True)
    )
    arms = [*near, Arm(BANDS["5–6"], floor=OUTCOME)]
    tuned, quiet = school.reinforced([start] * len(arms), arms, steps)
    beyond, silent = school.reinforced([start], far, steps)
    taught = school.taught([start] * len(near), near, steps) + school.taught([start], far, steps)
    networks = [start, start, *tuned[:-1], *beyond, tuned[-1], *taught]
    results = [
        school.tried(networks, Arm(band), [0, 1, *[0] * (len(networks) - 2)]) for band in TESTS.values()
    ]
    dims = ("test", "arm", "seed")
    seen = {
        name: ((*dims, *(("k",) if name == "passed" else ())), np.stack([r[name] for r in results]))
        for name in results[0]
    }
    seen |= {"silent": (("band", "seed"), np.concatenate([quiet[:-1], silent]))}
    coords = {"test": list(TESTS), "arm": [BASE, AGAIN, *ARMS, ANSWER, *SUPERVISED], "band": list(BANDS)}
    return lab.dataset(seen, coords | {"k": numbers_of_tries(run(AMOUNTS).tries)})


@study.experiment()
def contexts(run: lab.Run) -> xr.Dataset:
    """Bases that read the second context now and then, and RL on half of it, tested on the second context."""
    school, start, a = School(run), bases.solvers(run), run(AMOUNTS)
    number = len(EXPOSED)
    arms = [Arm(bases.BAND, share) for share in EXPOSED.values()]
    shown = school.taught([start] * number, arms, a.exposed, READ)
    tuned, _ = school.reinforced(shown, [Arm(bases.BAND, HALF)] * number, a.later)
    lots = [0] * (2 * number) + [1] * number
    seen = school.tried([*shown, *tuned, *shown], Arm(bases.BAND, SECOND), lots)
    shaped = {n: x.reshape(len(STAGES), number, *x.shape[1:]) for n, x in seen.items()}
    dims = ("stage", "exposure", "seed", "k")
    coords = {"stage": STAGES, "exposure": list(EXPOSED), "k": numbers_of_tries(a.tries)}
    return lab.dataset({n: (dims[: x.ndim], x) for n, x in shaped.items()}, coords)


def _passed(data: lab.Data, test: str, k: int) -> xr.DataArray:
    return data.bands.passed.sel(test=test, drop=True).isel(k=k, drop=True)


def _gain(data: lab.Data, test: str, arms: list[str], k: int, than: str = BASE) -> lab.Estimate:
    passed = _passed(data, test, k)
    words = f"pass@{int(data.bands.k[k])} on {test}, less that of {than}"
    return lab.difference(words, passed.sel(arm=arms), passed.sel(arm=than, drop=True))


@study.claim(
    "RL on 5–6 operations, the edge of competence, raises pass@128 there by .05 or more.",
    origin=papers.PRE,
)
def edge(data):
    return _gain(data, EDGE, ["RL 5–6"], -1).above(WORTH)


edge.null("base, with other lots")(lambda data: _gain(data, EDGE, [AGAIN], -1).above(WORTH))
edge.positive("SFT on 5–6")(lambda data: _gain(data, EDGE, ["SFT 5–6"], -1).above(WORTH))


@study.claim(
    "RL on data that are too easy (3–4) or out of reach (8–9) does not raise pass@128 on 5–6 by as much.",
    origin=papers.PRE,
)
def only(data):
    return _gain(data, EDGE, ["RL 3–4", "RL 8–9"], -1).below(WORTH).per("arm")


only.null("RL on 4–5 and 5–6")(lambda data: _gain(data, EDGE, ["RL 4–5", "RL 5–6"], -1).below(WORTH))


@study.claim(
    "Within what was pre-trained (2–4) RL on 3–4 raises pass@1 but not pass@128.",
    origin=lab.Asked("It follows from the paper's condition of headroom.", (papers.PRE,)),
)
def inside(data):
    raised = _gain(data, INSIDE, ["RL 3–4"], 0).above(WORTH)
    return lab.all_of(raised, _gain(data, INSIDE, ["RL 3–4"], -1).near(0, within=WORTH))


@inside.null("base, with other lots")
def _(data):
    raised = _gain(data, INSIDE, [AGAIN], 0).above(WORTH)
    return lab.all_of(raised, _gain(data, INSIDE, [AGAIN], -1).near(0, within=WORTH))


@study.claim(
    "RL on 8–9 operations meets silent groups only, and leaves pass@1 on 2–4 and on 5–6 as it is.",
    origin=lab.Derived("p × rollouts of the whole run is far below one: this study's text", (papers.PRE,)),
)
def silent(data):
    quiet = lab.mean(
        "share of silent groups of RL on 8–9", data.bands.silent.sel(band="8–9", drop=True)
    ).above(0.99)
    stays = [_gain(data, test, ["RL 8–9"], 0).near(0, within=0.02) for test in (INSIDE, EDGE)]
    return lab.all_of(quiet, *stays)


@silent.null("RL on 5–6")
def _(data):
    quiet = lab.mean(
        "share of silent groups of RL on 5–6", data.bands.silent.sel(band="5–6", drop=True)
    ).above(0.99)
    stays = [_gain(data, test, ["RL 5–6"], 0).near(0, within=0.02) for test in (INSIDE, EDGE)]
    return lab.all_of(quiet, *stays)


@study.claim(
    "RL at the edge reaches further than it was trained: pass@128 on 8–9 rises by .05 or more after RL on 5–6.",
    origin=lab.Asked(
        "Does reach extend beyond what is trained, as the paper's gains suggest?", (papers.PRE,)
    ),
)
def beyond(data):
    return _gain(data, BEYOND, ["RL 5–6"], -1).above(WORTH)


beyond.null("base, with other lots")(lambda data: _gain(data, BEYOND, [AGAIN], -1).above(WORTH))
beyond.positive("SFT on 8–9")(lambda data: _gain(data, BEYOND, ["SFT 8–9"], -1).above(WORTH))


@study.claim(
    "RL is needed for it: at the edge it gains more pass@128 than SFT on as many sequences of the same band.",
    origin=lab.Asked("SFT on the band is the natural control of RL on it.", (papers.PRE,)),
)
def needed(data):
    return _gain(data, EDGE, ["RL 5–6"], -1, than="SFT 5–6").above(0.0)


needed.null("base, with other lots")(lambda data: _gain(data, EDGE, [AGAIN], -1, than="SFT 5–6").above(0.0))
needed.positive("SFT 5–6 against base")(lambda data: _gain(data, EDGE, ["SFT 5–6"], -1).above(0.0))


@study.claim(
    "Paying right lines makes reasoning more faithful than paying the answer: pass@1 on 5–6, graph-strict, is higher.",
    origin=papers.PRE_PROCESS,
)
def process(data):
    return _gain(data, EDGE, ["RL 5–6"], 0, than=ANSWER).above(0.0)


process.null("base against itself, with other lots")(lambda data: _gain(data, EDGE, [AGAIN], 0).above(0.0))


def _transfer(data: lab.Data, stage: str) -> lab.Evidence:
    passed = data.contexts.passed.isel(k=-1, drop=True)
    before, after = (passed.sel(stage=one, drop=True) for one in (STAGES[0], stage))
    words = f"pass@{int(data.contexts.k[-1])} in the second context, less that before RL"

    def change(exposure: str) -> lab.Estimate:
        one = {"exposure": exposure, "drop": True}
        return lab.difference(f"{exposure}: {words}", after.sel(**one), before.sel(**one))

    before = before.where(before.mean("seed") <= 1 - WORTH)  # at a ceiling nothing can rise by so much
    rises = [change(exposure).above(WORTH) for exposure in ("1 %", "10 %")]
    return lab.all_of(*rises, *[change(exposure).below(WORTH) for exposure in ("0", "0.1 %")])


@study.claim(
    "RL on both contexts raises pass@128 in the second one where it was at least 1 % of what was read last, and not at "
    "0 or .1 %.",
    origin=lab.Asked("The paper's exposure is in pre-training; here it comes after.", (papers.PRE_EXPOSURE,)),
)
def exposure(data):
    return _transfer(data, STAGES[1])


exposure.null("the exposed networks, with other lots")(lambda data: _transfer(data, STAGES[2]))


@study.claim(
    "Solving n operations is a chain: pass@1 of the base on 5–6 is the mean power of one rate of lines, within .05.",
    origin=lab.Derived("p = ∏ q_i with one rate for all lines: this study's text", (papers.PRE,)),
)
def chain(data):
    return _chain(data, (5, 6))


def _chain(data: lab.Data, lines: tuple[int, ...]) -> lab.Evidence:
    base = data.bands.sel(arm=BASE, test=EDGE, drop=True)
    words = "pass@1 of base less that of a chain with its share of right lines"
    expected = chained(base.line, TESTS[EDGE], lines)
    return lab.difference(words, base.passed.isel(k=0, drop=True), expected).near(0, within=WORTH)


chain.null("one line in the place of all")(lambda data: _chain(data, (1,)))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Pass@1 and pass@128 by what was trained on and tested; the curve of pass@k at the edge; exposure."""
    return drawn.sheet(data, BASE, ARMS, SUPERVISED)
