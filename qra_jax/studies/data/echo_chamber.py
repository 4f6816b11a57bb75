r"""Which format of the pre-training data does RL amplify: the most frequent one, or the best?

The echo chamber paper pre-trains models from scratch on mixtures of formats, and finds that RL (PPO, GRPO, expert
iteration) converges to one of them, typically the one that the base model does best with, also where that is not the
most frequent one (28 % against 62 %), though in some mixtures the more frequent and worse one wins; that this happens
early, along with the gain of pass@1; that pass@64 falls; that a larger KL coefficient (of 0, 1e-3, 1e-2) leaves more
than one format; and that small models come to prefer the simpler format, large ones the richer one.

What theory says beforehand (written before the run).
*If success rates stay* the path is the tabular orbit from the base's own shares and rates: the best format wins in
the end, however rare, though a frequent one may lead for long; algorithms share that path. With a KL term the end is
π_ref exp(p/β)/Z: with two formats in the ratio 62 : 28 whose rates are apart by .4, β = 1e-3 and 1e-2 are far too
small to keep both (that needs β of about .4/log(62/28) = .5), so the paper's effect at 1e-2 could only be that of an
unfinished run.
*If answers are learnt beside the choice*, as on a tree of formats and then of right and wrong answers, each chosen by
its own logits, the choice has nothing left to go by once all formats are right, and the shares freeze where they are
then: a frequent format learns faster, so it can win although it is the worse one. From 62 % at rate .5 and 28 % at .9
the tree ends at 20 : 80; from 85 % at .5 and 5 % at .9 it ends at 99.6 % of the frequent, worse one. With a KL of
whole sequences the end is π_ref(r){1 + p_r(e^{1/β} − 1)}/Z, so that for *any* small β > 0 the shares in the end are
π_ref p/ρ: both formats remain, but it takes a time of order 1/β to come back to that, far more than the run at 1e-3
and 1e-2. So both theories say: no second format at 1e-3 and 1e-2 within the run; at β = .1 rates that stay leave the
best alone (96 : 4), and answers that are learnt leave both (54 : 44).
*Time.* Accuracy and choice move together while rates stay; where answers are learnt too, accuracy is free to be
earlier.
*Size.* Nothing but a network's own shares and rates counts: sizes differ in what wins where their rates do.

Experiment: shared decoders that know four procedures for sums practise sums of two numbers, and go on to a corpus of
these in which the short format (columns) has 62 % and the long one (split) 28 %, or 85 and 5, and one of them is
right in 90 % of its demonstrations, the other in 50 %; the two others share the rest. GRPO, RLOO and expert
iteration, G = 8, pay right and announced answers; KL is that of whole sequences, with an unbiased estimator at every
β. Smaller networks, on the second corpus, take as many steps of each stage as the larger ones. Policies are exact, by
teacher forcing; rates of the base are sampled with the format forced; pass@k is of right answers with right steps, on
held-out questions. Controls: SFT on right demonstrations with the same shares; rewards by coin; the base sampled
again. In earlier runs the smaller networks took two thirds of the steps of the bases. A first run, without practice
and at three times the learning rate, decided little: bases were right in a fifth of their answers, and RL undid the
procedures of most.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _echo_panels, _echo_runs
from qra_jax.studies.data._bases import SKILLED, skilled, taught_sums
from qra_jax.studies.data._echo import CORPORA, SMALL
from qra_jax.studies.data._echo_evidence import end, leading, of_best, second, switched
from qra_jax.studies.data._echo_runs import ARMS, BETAS, MAIN, OTHER, Arm

study = lab.Study(__name__, title="Echo chamber: which format of the pre-training data does RL amplify?")

ONE, TWO, WORTH, APART, EARLY, SAME = 0.9, 0.1, 0.02, 0.1, 0.25, 0.15
"""Share of a dominant format; least share of a second one that remains; differences of pass@k and of a share that
matter; part of the run that is early; distance of a prediction in total variation that would matter."""
PAID = (*CORPORA, *OTHER)
"""Arms that are paid for right answers, without KL."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Shares of formats and accuracy along training, for all arms; pass@k before and after."""
    return _echo_runs.networks(run, skilled(run), run(SKILLED), ARMS)


@study.experiment(after=["runs"])
def theory(run: lab.Run) -> xr.Dataset:
    """What is expected of each network, from its shares and rates before training."""
    return _echo_runs.expected(run.done.runs)


@study.experiment()
def small(run: lab.Run) -> xr.Dataset:
    """Shares and accuracy for smaller networks that are trained as long, on the main corpus."""
    params = run.bank.get(taught_sums, tuple(run(SMALL)), run.shared_seed)
    return _echo_runs.trained(run, params, run(SMALL), {MAIN: Arm(MAIN)}).path


def _one(policy: xr.DataArray) -> lab.Evidence:
    return lab.mean("largest share of a format", policy.max("format", skipna=False)).above(ONE)


@study.claim(
    "RL leaves one format: its share is .9 or more in the end, under GRPO, RLOO and expert iteration.",
    origin=papers.ECHO_ONE,
)
def one_format(data):
    return _one(end(data, PAID)).per("arm")


@one_format.null("SFT on right demonstrations")
def _(data):
    return _one(data.runs.share.sel(model="SFT", corpus=MAIN))


@one_format.null("rewards by coin")
def _(data):
    return _one(end(data, ["coin"]))


def _best(data: lab.Data, policy: xr.DataArray, arms: tuple[str, ...]) -> lab.Evidence:
    words = "share, in the end, of the format that the base network does best with"
    return lab.mean(words, of_best(policy, data.runs.rate.sel(arm=list(arms)))).above(0.5)


@study.claim(
    "What wins is the format that the base network does best with, also where that is not the most frequent one: its "
    "share is above one half in the end.",
    origin=papers.ECHO_BEST,
)
def best(data):
    return _best(data, end(data, CORPORA), tuple(CORPORA)).per("arm")


@best.null("rewards by coin")
def _(data):
    return _best(data, end(data, ["coin"]), ("coin",))


def _away(data: lab.Data, policy: xr.DataArray, other: str = "tree") -> lab.Evidence:
    away = abs(policy - data.theory[other].sel(arm=policy.arm)).sum("format", skipna=False) / 2
    return lab.mean("distance of the last shares from the expected ones, total variation", away).below(SAME)


@study.claim(
    "Shares in the end are those of the tree on which answers are learnt beside the choice, from the base's own shares "
    "and rates.",
    origin=lab.Derived("this study's text", (papers.ECHO_BEST,)),
)
def frozen(data):
    return _away(data, end(data, CORPORA)).per("arm")


@frozen.null("rates that stay, so that the best format wins however rare")
def _(data):
    return _away(data, end(data, CORPORA), "stay")


@study.claim(
    "The change of format is early, in the first quarter of the run, and comes with the gain of accuracy: half of both "
    "is reached at times that differ by less than a tenth of the run.",
    origin=papers.ECHO_EARLY,
)
def together(data):
    return _together(*switched(data, CORPORA)).per("arm")


def _together(choice: xr.DataArray, gain: xr.DataArray) -> lab.Evidence:
    apart = lab.difference("half-time of the choice less that of accuracy, in runs", choice, gain)
    early = lab.mean("half-time of the choice, in runs", choice).below(EARLY)
    return lab.all_of(apart.near(0, within=APART), early)


@together.null("a share that changes at an even pace")
def _(data):
    choice, gain = switched(data, CORPORA)
    return _together(0.5 + 0.02 * (choice - choice.mean("seed")), gain)


def _passes(data: lab.Data, model: str) -> lab.Evidence:
    passed = data.runs.passed.mean("corpus", skipna=False)
    gain = passed.sel(model=model) - passed.sel(model="base", drop=True)
    many = lab.mean("pass@k at the largest k, less the base's", gain.isel(k=-1, drop=True)).below(-WORTH)
    return lab.all_of(lab.mean("pass@1, less the base's", gain.isel(k=0, drop=True)).above(WORTH), many)


@study.claim(
    "RL raises pass@1 and lowers pass@k at the largest k, on held-out questions, by .02 or more, mean over corpora.",
    origin=papers.ECHO_PASS,
)
def passes(data):
    return _passes(data, "RL")


passes.null("the base, sampled again")(lambda data: _passes(data, "base, again"))


def _two(data: lab.Data, arms: list[str]) -> lab.Evidence:
    return lab.mean("share of the second format", second(end(data, arms))).above(TWO)


@study.claim(
    "With a KL penalty a second format remains: its share is .1 or more in the end.",
    origin=papers.ECHO_KL,
)
def keeps_two(data):
    return _two(data, [f"β = {beta:g}" for beta in BETAS]).per("arm")


keeps_two.null("no KL")(lambda data: _two(data, [MAIN]))


@study.claim(
    "With a KL of β = .1 and 1 shares end at π_ref(1 + p(e^{1/β} − 1))/Z, the law of whole sequences.",
    origin=lab.Derived("this study's text", (papers.ECHO_KL,)),
)
def law(data):
    return _away(data, end(data, [f"β = {beta:g}" for beta in BETAS[2:]]), "law").per("arm")


@law.null("the law of rates that stay, π_ref exp(p/β)/Z, at β = .1")
def _(data):
    return _away(data, end(data, [f"β = {BETAS[2]:g}"]), "stay")


def _size(large: xr.DataArray, small: xr.DataArray) -> lab.Evidence:
    words = "share of the long format in large networks, less that in small ones"
    return lab.difference(words, large.sel(format="split"), small.sel(format="split")).above(APART)


@study.claim(
    "Of one corpus large networks come to prefer the long format more than small ones do, which are trained as long.",
    origin=papers.ECHO_SIZE,
)
def size(data):
    return _size(end(data, MAIN), data.small.policy.sel(arm=MAIN).isel(step=-1))


@size.null("both before RL")
def _(data):
    first = [d.policy.sel(arm=MAIN).isel(step=0) for d in (data.runs, data.small)]
    return _size(*first)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Shares along training; what was expected and what came; KL; pass@k."""
    return _echo_panels.draw(data, leading(data))
