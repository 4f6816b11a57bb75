r"""Penalties on a network: on whole token distributions, on the sampled tokens, or on whole sequences.

All of them are advantages that multiply $\nabla\log\pi$, held constant. `estimate="samples"` is what trainers do: the
penalty of the emitted token alone, on samples of the old policy, without an importance ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax.regularizer import Regularizer, velocity
from qra_jax.transformer.model import Params

STEP = 0.2
"""Largest relative error that the adaptive coefficient answers to."""


def on_samples(term: Regularizer) -> bool:
    """Whether a term acts on the sampled tokens alone."""
    return term.estimate == "samples"


def sampled_advantage(
    term: Regularizer, own: Float[Array, "*b"], base: Float[Array, "*b"]
) -> Float[Array, "*b"]:
    r"""The advantage of a sampled token: minus the derivative of the published loss in its log-probability.

    k1, the log-ratio itself as a loss: −β. k2, ½ log²: $-\beta\log(\pi/\pi_{\rm ref})$, and the same for the k3 value
    with the gradient of k2. k3: $-\beta(1-\pi_{\rm ref}/\pi)$.

    Args:
      term: the penalty, whose advantage depends on each number alone.
      own: `[...]`, log π of sampled tokens.
      base: `[...]`, log π_ref of them.

    Returns:
      `[...]`.

    Reference: Schulman, "Approximating KL divergence", 2020; Shao et al., arXiv 2402.03300, eq. 4 (k3).
    """
    return term.advantage(own.ravel(), base.ravel()).reshape(own.shape)


def on_tokens(
    terms: Sequence[Regularizer],
    log_probs: Float[Array, "N G T V"],
    emitted: Float[Array, "N G T"],
    tokens: Int[Array, "N G T"],
    anchor: Float[Array, "N G T V"],
) -> Float[Array, "N G T"]:
    """What is ascended at each place, whose gradient alone has a meaning.

    Args:
      terms: the penalties, exact ones and those on samples.
      log_probs: `[N, G, T, V]`, of the policy that learns.
      emitted: `[N, G, T]`, those of the sampled tokens; 0 where nothing is learned.
      tokens: `[N, G, T]`.
      anchor: `[N, G, T, V]`, log π_ref.

    Returns:
      `[N, G, T]`.
    """
    exact, samples = ([term for term in terms if on_samples(term) == by] for by in (False, True))
    gains = []
    if exact:
        now = jax.lax.stop_gradient(log_probs)
        ascend = lambda now, anchor: velocity(exact, now, anchor)  # noqa: E731
        for _ in range(now.ndim - 1):
            ascend = jax.vmap(ascend)
        # Velocities sum to zero over the vocabulary, so scores and log-probabilities have the same derivative.
        gains.append(jnp.sum(ascend(now, anchor) * log_probs, axis=-1))
    if samples:
        own, base = jax.lax.stop_gradient(at(log_probs, tokens)), at(anchor, tokens)
        gains += [sampled_advantage(term, own, base) * emitted for term in samples]
    return sum(gains[1:], start=gains[0])


def on_sequences(
    terms: Sequence[Regularizer],
    emitted: Float[Array, "N G T"],
    tokens: Int[Array, "N G T"],
    learns: Bool[Array, "N G T"],
    anchor: Float[Array, "N G T V"],
) -> Float[Array, ""]:
    """What is ascended for the probabilities of whole sequences, by their score; unbiased for on-policy samples.

    Args:
      terms: the penalties.
      emitted: `[N, G, T]`, log π of the sampled tokens; 0 where nothing is learned.
      tokens: `[N, G, T]`.
      learns: `[N, G, T]`, which places count.
      anchor: `[N, G, T, V]`, log π_ref.

    Returns:
      Scalar, the mean over sequences.
    """
    base = jnp.where(learns, at(anchor, tokens), 0.0)
    own = jax.lax.stop_gradient(jnp.sum(emitted, axis=-1))
    extra = sum(jax.vmap(term.advantage)(own, jnp.sum(base, axis=-1)) for term in terms)
    size = tokens.shape[1]
    if size > 1:  # the others' mean as the baseline: no bias
        extra = (extra - jnp.mean(extra, axis=-1, keepdims=True)) * size / (size - 1)
    return jnp.mean(extra * jnp.sum(emitted, axis=-1))


def at(values: Float[Array, "N G T V"], tokens: Int[Array, "N G T"]) -> Float[Array, "N G T"]:
    """Values of the given tokens, `[N, G, T]`."""
    return jnp.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]


# References that move, and coefficients that adapt


def check(terms: Sequence[Regularizer], penalty: str) -> None:
    """Refuse combinations of terms and of what they act on that have no meaning.

    Args:
      terms: the penalties.
      penalty: as for [`train`][qra_jax.transformer.rl.train].

    Raises:
      ValueError: an estimate on sampled tokens of a penalty on sequences, or a corrected one.
    """
    for term in terms:
        if penalty == "sequence" and on_samples(term):
            raise ValueError(
                f"penalty: 'sequence' with an estimate on samples ({term.name}); must be 'position'"
            )
        if term.estimate == "corrected":
            raise ValueError(
                f"estimate: 'corrected' ({term.name}); must be 'exact' or 'samples' in a network, whose penalties take "
                "no importance ratio"
            )


def moves(update: Any) -> bool:
    """Whether the reference moves at all."""
    return update is not None and update.every is not None


def adapts(update: Any) -> bool:
    """Whether the coefficient aims at a divergence."""
    return update is not None and update.target_kl is not None


def start(terms: Sequence[Regularizer], reference: Params) -> list[dict[str, Any]]:
    """What is carried from step to step for each term: nothing for fixed references and coefficients.

    Args:
      terms: the penalties.
      reference: parameters of π_ref at the start.

    Returns:
      For each term its reference's parameters, `"params"`, where they move, and the factor of its coefficient,
      `"scale"`, where it adapts.
    """
    state: list[dict[str, Any]] = []
    for term in terms:
        update = term.reference
        one = {"params": reference} if moves(update) else {}
        state.append(one | ({"scale": jnp.ones(())} if adapts(update) else {}))
    return state


def next_reference(
    update: Any, state: dict[str, Any], params: Params, index: Int[Array, ""], kl: Float[Array, ""] | None
) -> dict[str, Any]:
    r"""Reference and coefficient for the next step.

    Every `every` steps $\theta_{\rm ref}\leftarrow\alpha\theta+(1-\alpha)\theta_{\rm ref}$ with α = `mixing` (1 is a
    reset), and after each step
    $\beta\leftarrow\beta\,[1+{\rm clip}({\rm KL}/{\rm target}-1,\pm.2)/{\rm horizon}]$.

    Args:
      update: a [`Reference`][qra_jax.regularizer.Reference].
      state: from [`start`][], or from the step before.
      params: after the step.
      index: of the step, 0, 1, …
      kl: mean of log π/π_ref of the samples, where the coefficient adapts.

    Returns:
      As `state`.

    Reference: Gorbatovski et al., arXiv 2404.09656 (TR-DPO); Ziegler et al., arXiv 1909.08593, §2.2.
    """
    later = dict(state)
    if moves(update):
        due = (index + 1) % update.every == 0

        def mix(old: Array, new: Array) -> Array:
            alpha = jnp.asarray(update.mixing, old.dtype)
            return jnp.where(due, alpha * new + (1 - alpha) * old, old)

        later["params"] = jax.tree.map(mix, state["params"], params)
    if adapts(update):
        assert kl is not None
        error = jnp.clip(kl / jnp.asarray(update.target_kl, kl.dtype) - 1, -STEP, STEP)
        later["scale"] = state["scale"] * (1 + error / jnp.asarray(update.horizon, kl.dtype))
    return later
