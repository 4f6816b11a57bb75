r"""Read-outs of a network, exact by teacher forcing: what it would do after every question and pattern."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import metrics
from qra_jax.transformer.model import Model, Params, score
from qra_jax.transformer.sampling import Questions
from qra_jax.transformer.task import Demonstrations


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ReadOut:
    r"""Probabilities of a network after every question q and pattern r, without sampling.

    Attributes:
      log_policy: `[N, n]`, log π(r|q), normalised over the patterns.
      leak: `[N]`, probability of starting with anything but a pattern.
      success: `[N, n]`, p(a*|q, r): of the right answer after the pattern's own steps and the marker.
      plain: `[N, n]`, the same where the marker was left out; NaN in a task without such sequences.
      announced: `[N, n]`, probability of the marker after the steps, given that marker or answer follow.
      steps: `[N, n]`, probability of writing the pattern's steps without a mistake.
      whole: `[N, n]`, probability of the whole right, announced and ended sequence, given the pattern.
      entropy: `[N, G, T]`, entropy of the token distribution at each place of each demonstrated sequence, in nats.
    """

    log_policy: Float[Array, "*b N n"]
    leak: Float[Array, "*b N"]
    success: Float[Array, "*b N n"]
    plain: Float[Array, "*b N n"]
    announced: Float[Array, "*b N n"]
    steps: Float[Array, "*b N n"]
    whole: Float[Array, "*b N n"]
    entropy: Float[Array, "*b N G T"]

    @property
    def policy(self) -> Float[Array, "*b N n"]:
        """π(r|q), `[N, n]`."""
        return jnp.exp(self.log_policy)

    @property
    def selected(self) -> Float[Array, "*b N"]:
        """Accuracy ρ = Σ_r π(r|q) p(a*|q, r) of choice and answer alone, `[N]`."""
        return jnp.sum(self.policy * self.success, axis=-1)

    @property
    def accuracy(self) -> Float[Array, "*b N"]:
        """Probability of a whole right, announced and ended sequence, `[N]`: what a verifier measures."""
        return (1 - self.leak) * jnp.sum(self.policy * self.whole, axis=-1)


def read_out(model: Model, params: Params, shown: Demonstrations) -> ReadOut:
    """Read a network by teacher forcing over all demonstrated sequences.

    Args:
      model: the network.
      params: its parameters.
      shown: sequences with right answers for each question: every pattern once, in order, announced; then, in a
        task whose marker may be missing, every pattern without it.

    Returns:
      The `ReadOut`.

    Raises:
      ValueError: sequences in another order.
    """
    n = shown.patterns
    groups = shown.tokens.shape[1]
    if groups not in (n, 2 * n):
        raise ValueError(
            f"shown: {groups} sequences a question; must be {n}, or {2 * n} with unannounced ones"
        )
    logits, _ = score(model, params, shown.questions.prompt, shown.questions.real, shown.tokens)
    log_probs = jax.nn.log_softmax(logits)
    emitted = jnp.take_along_axis(log_probs, shown.tokens[..., None], axis=-1)[..., 0]
    emitted = jnp.where(shown.where, emitted, 0.0)
    chosen = emitted[:, :n, 0]
    place = jnp.arange(shown.tokens.shape[-1])[None, None]
    last = shown.where & (place == jnp.sum(shown.where, axis=-1, keepdims=True) - 1)  # the end token
    answering = shown.where & (place >= shown.answer_at[..., None]) & ~last
    success = jnp.exp(jnp.sum(jnp.where(answering, emitted, 0.0), axis=-1))
    marker = place == shown.answer_at[..., None] - 1
    before = shown.where & (place > 0) & (place < shown.answer_at[..., None])
    steps = jnp.exp(jnp.sum(jnp.where(before & ~marker, emitted, 0.0), axis=-1))[:, :n]
    whole = jnp.exp(jnp.sum(jnp.where(place > 0, emitted, 0.0), axis=-1))[:, :n]
    plain = success[:, n:] if groups == 2 * n else jnp.full_like(steps, jnp.nan)
    # At the marker's place: the marker, against any token that an answer may begin with.
    at_marker = jnp.take_along_axis(log_probs[:, :n], shown.answer_at[:, :n, None, None] - 1, axis=2)[:, :, 0]
    marked = jnp.exp(jnp.sum(jnp.where(marker[:, :n], emitted[:, :n], 0.0), axis=-1))
    begun = jnp.sum(jnp.where(shown.opens[None, None], jnp.exp(at_marker), 0.0), axis=-1)
    announced = marked / (marked + begun)
    return ReadOut(
        log_policy=jax.nn.log_softmax(chosen),
        leak=-jnp.expm1(jnp.minimum(jax.nn.logsumexp(chosen, axis=-1), 0.0)),
        success=success[:, :n],
        plain=plain,
        announced=announced,
        steps=steps,
        whole=whole,
        entropy=jnp.where(shown.where, metrics.entropy(log_probs), 0.0),
    )


def calibration(seen: ReadOut, policy: Array, success: Array) -> dict[str, Array]:
    """How far a base model is from what it was to be: mean and largest |π_θ − π_ref| and |p_θ − p|, and leaks.

    Args:
      seen: of the network.
      policy: `[N, n]`, π_ref.
      success: `[N, n]`, p.

    Returns:
      Scalars `policy_mean`, `policy_max`, `success_mean`, `success_max`, `leak_max`, `steps_min`.
    """
    off, missed = jnp.abs(seen.policy - policy), jnp.abs(seen.success - success)
    axes = (-2, -1)
    return {
        "policy_mean": jnp.mean(off, axis=axes),
        "policy_max": jnp.max(off, axis=axes),
        "success_mean": jnp.mean(missed, axis=axes),
        "success_max": jnp.max(missed, axis=axes),
        "leak_max": jnp.max(seen.leak, axis=-1),
        "steps_min": jnp.min(seen.steps, axis=axes),
    }


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Change:
    """How a network's token distributions moved between two sets of parameters, along given sequences.

    Attributes:
      reranked: `[N, G, T]`, the token that stands there has another rank among all tokens now.
      top: `[N, G, T]`, another token is the likeliest now.
      kl: `[N, G, T]`, KL(now‖before) of the token distributions, in nats.
      similarity: `[N, G, T]`, cosine of the features now and before.
    """

    reranked: Bool[Array, "*b N G T"]
    top: Bool[Array, "*b N G T"]
    kl: Float[Array, "*b N G T"]
    similarity: Float[Array, "*b N G T"]


def change(model: Model, before: Params, now: Params, questions: Questions, tokens: Array) -> Change:
    """Compare two sets of parameters place by place.

    Args:
      model: the network.
      before: its parameters before.
      now: its parameters after.
      questions: `[N]`.
      tokens: `[N, G, T]`, sequences to compare on, e.g. sampled from `now`.

    Returns:
      A `Change`; the share of places with `reranked` is the ranking change ratio.

    Reference: Chen, Li, Zou, arXiv 2506.04695 v2 (ranking change ratio).
    """
    logits, features = zip(
        *(score(model, params, questions.prompt, questions.real, tokens) for params in (before, now)),
        strict=True,
    )
    ranks = [_rank(z, tokens) for z in logits]
    old, new = (jax.nn.log_softmax(z) for z in logits)
    return Change(
        reranked=ranks[0] != ranks[1],
        top=jnp.argmax(old, axis=-1) != jnp.argmax(new, axis=-1),
        kl=_divergence(new, old),
        similarity=cosine_similarity(*features),
    )


def _divergence(new: Array, old: Array) -> Array:
    """KL(new‖old) as Σ p (d − 1 + e⁻ᵈ), d = log p/q: no term is negative, and errors of normalization cancel."""
    p, d = jnp.exp(new), new - old
    small = p * (d + jnp.expm1(-jnp.clip(d, -1.0, 1.0)))  # the clip is of the branch that is not taken
    terms = jnp.where(jnp.abs(d) < 1.0, small, p * d - p + jnp.exp(old))
    return jnp.sum(jnp.maximum(terms, 0.0), axis=-1)


def cosine_similarity(a: Array, b: Array) -> Array:
    """Cosine of the angle between vectors on the last axis."""
    norms = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return jnp.sum(a * b, axis=-1) / norms


def feature_similarity(model: Model, params: Params, questions: Questions) -> Float[Array, ""]:
    """Mean cosine between the features of different questions where the pattern is chosen.

    Args:
      model: the network.
      params: its parameters.
      questions: `[N]`, N ≥ 2.

    Returns:
      Scalar in [−1, 1]; near 1, what one question learns moves all others.

    Raises:
      ValueError: a single question.

    Reference: Tomihari, arXiv 2601.04670 (variability of features).
    """
    _, features = score(
        model, params, questions.prompt, questions.real, jnp.zeros((questions.number, 1, 1), int)
    )
    unit = features[:, 0, 0] / jnp.linalg.norm(features[:, 0, 0], axis=-1, keepdims=True)
    number = questions.number
    if number < 2:
        raise ValueError(f"questions: {number}; must be 2 or more to be compared")
    return (jnp.sum(unit @ unit.T) - number) / (number * (number - 1))


def _rank(logits: Array, tokens: Array) -> Int[Array, "*b"]:
    own = jnp.take_along_axis(logits, tokens[..., None], axis=-1)
    return jnp.sum(logits > own, axis=-1)
