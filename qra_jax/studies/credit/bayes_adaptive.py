r"""Which training teaches a second attempt that minds the first?

A question has a hidden type, and there are two attempts. Asked again, one knows that the first was wrong: the best
policy tries the two likeliest types and solves the question with chance $w_1+w_2$, while a policy whose attempts are
alike solves $\max_\pi\sum_z w_z(1-(1-\pi_z)^2)$, and one that repeats itself only $w_1$.

Nothing but what training knows decides which of them is learnt. The expected reward over a hidden type *is* the
Bayes-adaptive objective, so that plain policy gradient on the tree of attempts should reach its best value from any
start; repeating oneself is a saddle, left after a time of order 1/ε where the second attempt is another with chance ε.
The clock of GRPO sees the accuracy, which is not small there, and should not help. If the type is *known* in training,
the attempt after a failure of the right choice is never needed: its update is exactly zero, and where the type is not
known at test the second attempt is that of the reference.

A small decoder writes the token of its prompt three times in a row, with room for three attempts; prompts of training
have the types 0 and 1, that of the test type 2. From a base that writes any triplets it is trained by GRPO, with its
penalty against the base, with the type of the prompt; with a type that is the prompt's in half of the cases and else
another of three candidates (Bayes-adaptive); the same without type 2 among the candidates; and with the prompt hidden
and a type out of the three. The first should fail at test, where the second should try another triplet; but attempts
that are rarely paid for may die out, as the saddle says, and the last has the same candidates and no belief to weigh:
it should do as well. What is tested is the Bayes-adaptive objective, not the estimator of the paper, which weighs the
values of a rollout by beliefs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import tree
from qra_jax.algorithm import grpo, reinforce
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _bayes_panels, _triplets, _two_attempts
from qra_jax.studies.credit._triplets import ARMS, EVERY, TYPES
from qra_jax.studies.credit._two_attempts import PRIORS
from qra_jax.tree import instances

study = lab.Study(
    __name__, title="Two attempts at a hidden type: what training knows decides what a failure teaches"
)

RESTS, PRIOR, TIME = [1e-1, 1e-2, 1e-3, 1e-4], "uneven", 3000.0
"""Chances of another second attempt; prior of the flows, and how long they go on."""
CLOCKS = {"REINFORCE": reinforce(), "GRPO": grpo()}
ROUNDING, GAIN, CLOSE = 1e-12, 0.05, 0.02
"""Of float64; a gain that matters, and a distance that does not."""
STEPS, LEARNT = lab.scale(75, 300), lab.scale(120, 300)
"""Updates of GRPO, and of the bases."""
ONE, BAYES, BLIND, HIDDEN = ARMS
KINDS = ["type hidden", "type known"]
DERIVED = lab.Derived("this study's text", (papers.BARL,))


@study.experiment()
def best(run: lab.Run) -> xr.Dataset:
    """Values of the best policies of each kind, for each prior and for a type that is certain."""
    priors = PRIORS | {"certain": (1.0, 0.0, 0.0)}
    rows = [
        (_two_attempts.enumerated(_two_attempts.bandit(w)), _two_attempts.alike(w), max(w))
        for w in priors.values()
    ]
    kinds = ["minds the failure", "attempts alike", "the same again"]
    return lab.dataset({"value": (("prior", "kind"), rows)}, {"prior": list(priors), "kind": kinds})


@study.experiment(
    seeds=lab.scale(24, 200), dims={"value": ["kind"], "after": ["kind"]}, coords={"kind": KINDS}
)
def flows(cell, key):
    """Value with the type withheld after flows from a random start, and updates after a failed right choice."""
    prior = PRIORS[PRIOR]
    asked, start = _two_attempts.bandit(prior), _two_attempts.drawn(key)
    trees = jax.tree.map(lambda *x: jnp.stack(x), asked, *(_two_attempts.known(asked, z) for z in range(3)))
    end = jax.vmap(lambda t: _two_attempts.followed(t, start, jnp.asarray(TIME), reinforce()))(trees)
    worth = jax.vmap(lambda policy: _two_attempts.value(asked, policy))(end)
    update = jax.vmap(lambda t: tree.mean_update(t, start))(trees)
    after = jax.vmap(_two_attempts.second)(update)
    own = jnp.stack([after[1 + z, z] for z in range(3)])
    mixed = jnp.stack([after[0, z] for z in range(3)])
    return {
        "value": jnp.stack([worth[0], jnp.asarray(prior) @ worth[1:]]),
        "after": jnp.stack([jnp.max(jnp.abs(mixed)), jnp.max(jnp.abs(own))]),
    }


@study.experiment({"algorithm": tuple(CLOCKS.values()), "rest": RESTS})
def escapes(cell):
    """Time from a policy that repeats itself to half of the gain, and of a bandit as rarely right to ρ = ½."""
    asked = _two_attempts.bandit(PRIORS[PRIOR])
    options = {"ts": jnp.asarray([1e7]), "algorithm": cell.algorithm, "event": "accuracy"}
    start = _two_attempts.markov(asked, cell.rest)
    slow = tree.solve(asked, log_policy0=start, target=0.65, **options)
    single = instances.chain([0.5])
    chance = jnp.stack([cell.rest, 1 - cell.rest])
    cold = tree.solve(single, log_policy0=jnp.log(chance), target=0.5, **options)
    return {"saddle": slow.stats["event_time"], "bandit": cold.stats["event_time"]}


@study.experiment()
def networks(run: lab.Run) -> xr.Dataset:
    """Chances to be right along training, for prompts of training and the test prompt."""
    sizes = {"seeds": run(lab.scale(4, 8)), "learnt": run(LEARNT), "steps": run(STEPS)}
    found = run.bank.get(_triplets.trained, seed=run.seed, rate=3e-3, **sizes)
    return lab.dataset(
        {
            "success": (("arm", "seed", "step", "type"), found["success"]),
            "tried": (("arm", "seed", "number"), found["tried"]),
            "reward": (("arm", "seed"), found["reward"]),
            "status": (("arm", "seed"), found["status"]),
        },
        {
            "arm": list(ARMS),
            "step": np.arange(0, run(STEPS) + 1, EVERY),
            "type": np.arange(TYPES),
            "number": [1, 2, 3],
        },
    )


def _gain(data: lab.Data, priors: list[str]) -> lab.Evidence:
    value = data.best.value.sel(prior=priors)
    gain = value.sel(kind="minds the failure", drop=True) - value.sel(kind="attempts alike", drop=True)
    return lab.exact("value of the best policy less that of the best with attempts alike", gain).above(GAIN)


@study.claim(
    "With three priors of three types the best policy that minds the failure solves 5 % of the questions or more "
    "beyond the best whose attempts are alike.",
    origin=DERIVED,
)
def minds(data):
    return _gain(data, list(PRIORS))


minds.null("a type that is certain")(lambda data: _gain(data, ["certain"]))


def _short(data: lab.Data, kind: str) -> lab.Evidence:
    top = data.best.value.sel(prior=PRIOR, kind="minds the failure", drop=True)
    value = data.flows.value.sel(kind=kind, drop=True)
    near = lab.where_known(value > top - CLOSE, value, top)
    return lab.share("random starts from which the flow comes within .02 of the best value", near).above(0.7)


@study.claim(
    "Where the type is hidden in training, gradient flow from random starts comes within .02 of the Bayes-adaptive "
    "value in time 3000, in seven of ten cases or more.",
    origin=DERIVED,
)
def reaches(data):
    return _short(data, KINDS[0])


reaches.null("trained on known types, the type withheld at test")(lambda data: _short(data, KINDS[1]))


def _untrained(data: lab.Data, kind: str) -> lab.Evidence:
    update = data.flows.after.sel(kind=kind, drop=True).max("seed", skipna=False)
    return lab.exact("largest update of an attempt after the right choice has failed", update).below(ROUNDING)


@study.claim(
    "Where types are known in training, the mean update of the attempt after a failure of the right choice is zero.",
    origin=DERIVED,
)
def untrained(data):
    return _untrained(data, KINDS[1])


untrained.null("the type hidden")(lambda data: _untrained(data, KINDS[0]))


def _power(data: lab.Data, which: str, algorithms: list[str]) -> lab.Evidence:
    time = np.log(data.escapes[which].sel(algorithm=algorithms))
    words = "slope of log time against log 1/ε"
    return lab.slope(words, time, -np.log(data.escapes.rest), along="rest").near(1.0, within=0.1)


@study.claim(
    "A policy that repeats itself is left in a time proportional to 1/ε, under REINFORCE and under GRPO alike.",
    origin=DERIVED,
)
def saddle(data):
    return _power(data, "saddle", data.escapes.algorithm.values.tolist())


saddle.null("a bandit that is right with chance ε, under GRPO")(
    lambda data: _power(data, "bandit", data.escapes.algorithm.values.tolist()[1:])
)


def _switches(data: lab.Data, arm: str) -> lab.Evidence:
    two = data.networks.tried.sel(arm=arm, number=2, drop=True)
    return lab.mean(f"samples for the test prompt with two different triplets or more, {arm}", two).above(0.8)


@study.claim(
    "Networks trained for the Bayes-adaptive objective write two different triplets or more for the test prompt in "
    "80 % of the samples or more.",
    origin=papers.BARL,
)
def reflects(data):
    return _switches(data, BAYES)


reflects.null("trained for the type that the prompt shows")(lambda data: _switches(data, ONE))


def _tested(data: lab.Data, arm: str) -> xr.DataArray:
    return data.networks.success.sel(arm=arm, drop=True).isel(step=-1, type=-1, drop=True)


def _beyond(data: lab.Data, first: str, second: str, by: float) -> lab.Evidence:
    words = f"share of right samples for the test prompt, {first} less {second}"
    return lab.difference(words, _tested(data, first), _tested(data, second)).above(by)


@study.claim(
    "They are right for the test prompt in a share of the samples that is .25 or more above that of networks trained "
    "for the type that their prompt shows.",
    origin=papers.BARL,
)
def generalizes(data):
    return _beyond(data, BAYES, ONE, 0.25)


generalizes.null("the test type is none of the candidates")(lambda data: _beyond(data, BLIND, ONE, 0.25))


@study.claim(
    "Bayes-adaptive networks are right for the test prompt in a share of the samples that is .05 or more above that of "
    "GRPO with the prompt hidden and the same candidates.",
    origin=lab.Asked(
        "Is it the belief that helps, or that the type is uncertain in training?", (papers.BARL,)
    ),
)
def beyond_hidden(data):
    return _beyond(data, BAYES, HIDDEN, GAIN)


beyond_hidden.null("the test type is none of the candidates")(lambda data: _beyond(data, BLIND, HIDDEN, GAIN))
beyond_hidden.positive("against networks trained for the type shown")(
    lambda data: _beyond(data, BAYES, ONE, GAIN)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Best values, the saddle, and the test prompt along training."""
    return _bayes_panels.drawn(data)
