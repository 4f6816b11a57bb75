r"""The logit kernel of a network: what a step on some contexts changes in others, through which weights.

Names end in axes as in `model`: N questions, G sequences, T tokens, V vocabulary. A *context* s is a place of a
sequence: what stands before it; z(s) are its logits, J_z(s) their derivatives by all parameters. The kernel

$$ K(s,s')=J_z(s)J_z(s')^\top=R+G,\qquad R=\langle\phi(s),\phi(s')\rangle I,\qquad
   G=W^\top J_\phi(s)J_\phi(s')^\top W $$

has a part R through the unembedding W `[D, V]` and a part G through all the rest, the features φ. It is never written
out: reverse mode gives Jᵀb, and J v is the transpose of that linear map, as the decoder has no forward mode.

Reference: Tomihari, arXiv 2601.04670.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from qra_jax import _check
from qra_jax.transformer.model import Decoder, Model, Output, Params, score, wide
from qra_jax.transformer.parts import chosen
from qra_jax.transformer.sampling import PAD, Questions
from qra_jax.transformer.weights import decompositions


class Contexts(NamedTuple):
    """Places of sequences after prompts: place t of a sequence stands for all that is before its token t."""

    questions: Questions
    """N prompts."""
    tokens: Int[Array, "N G T"]
    """G sequences after each."""


class Split(NamedTuple):
    """A quantity by the weights that it goes through."""

    unembedding: Any
    """R: through the unembedding."""
    features: Any
    """G: through all other weights, which make the features."""

    @property
    def whole(self) -> Any:
        """R + G."""
        return self.unembedding + self.features


def logits(model: Model, contexts: Contexts) -> Callable[[Params], Float[Array, "N G T V"]]:
    """Scores at all places of some contexts as a function of the parameters.

    Args:
      model: the network.
      contexts: where.

    Returns:
      From parameters to `[N, G, T, V]`.
    """
    questions, tokens = contexts
    return lambda params: score(model, params, questions.prompt, questions.real, tokens)[0]


def moved(function: Callable[[Params], Array], params: Params, change: Params) -> Array:
    """First-order change J v of a function of the parameters, from reverse-mode derivatives alone.

    Args:
      function: from parameters to an array.
      params: where the derivatives are taken.
      change: v, a tree like the parameters.

    Returns:
      An array of the function's shape.
    """
    value, back = jax.vjp(function, params)
    return jax.linear_transpose(lambda slope: back(slope)[0], value)(change)[0]


def product(
    model: Model, params: Params, here: Contexts, there: Contexts, weights: Float[Array, "N2 G2 T2 V"]
) -> Split:
    r"""The kernel times a vector at some contexts, as felt at others: $\sum_{s'}K(s,s')\,b(s')$.

    Args:
      model: the network.
      params: its parameters.
      here: s, N × G × T contexts.
      there: s′, N₂ × G₂ × T₂ contexts.
      weights: b, `[N2, G2, T2, V]`; zero where nothing is meant.

    Returns:
      `[N, G, T, V]`, split into R and G.
    """
    (slope,) = jax.vjp(logits(model, there), params)[1](weights)
    function = logits(model, here)
    return Split(*(moved(function, params, part) for part in parted(slope)))


def form(
    model: Model,
    params: Params,
    here: Contexts,
    first: Float[Array, "N G T V"],
    there: Contexts,
    second: Float[Array, "N2 G2 T2 V"],
) -> Split:
    r"""The kernel between two vectors: $\sum_{s,s'}a(s)^\top K(s,s')\,b(s')$.

    Args:
      model: the network.
      params: its parameters.
      here: s, N × G × T contexts.
      first: a, `[N, G, T, V]`.
      there: s′, N₂ × G₂ × T₂ contexts.
      second: b, `[N2, G2, T2, V]`.

    Returns:
      Scalars, split into R and G.
    """
    slopes = [
        jax.vjp(logits(model, contexts), params)[1](vector)[0]
        for contexts, vector in ((here, first), (there, second))
    ]
    return Split(*(_inner(a, b) for a, b in zip(*map(parted, slopes), strict=True)))


def one_step(
    model: Model,
    params: Params,
    here: Contexts,
    there: Contexts,
    weights: Float[Array, "N2 G2 T2"],
    learning_rate: float | Array,
) -> Split:
    r"""Predicted change of all log-probabilities by one small step of gradient ascent on samples.

    $$ \Delta\log\pi(\cdot|s)=\frac{\eta}{N}\sum_i\sum_l r_i\,T_s K(s,s_{il})(e_{y_{il}}-\pi(\cdot|s_{il})),
       \qquad T_s=I-1\pi(\cdot|s)^\top $$

    Args:
      model: the network.
      params: its parameters before the step.
      here: s, where the change is wanted.
      there: samples that the step is made on; their own tokens are y.
      weights: `[N2, G2, T2]`, r_i/N of each token, N the number of samples; zero where nothing was sampled.
      learning_rate: η ≥ 0.

    Returns:
      `[N, G, T, V]`, split into R and G; the error is of second order in η.

    Raises:
      ValueError: a negative learning rate.

    Reference: Tomihari, arXiv 2601.04670.
    """
    _check.nonnegative("learning_rate", learning_rate)
    policy = jax.nn.softmax(logits(model, there)(params))
    emitted = jax.nn.one_hot(there.tokens, policy.shape[-1], dtype=policy.dtype)
    pulls = weights[..., None].astype(policy.dtype) * (emitted - policy)
    change, own = product(model, params, here, there, pulls), jax.nn.softmax(logits(model, here)(params))
    centred = (x - jnp.sum(own * x, axis=-1, keepdims=True) for x in change)
    return Split(*(x * jnp.asarray(learning_rate, x.dtype) for x in centred))


def influence(
    model: Model,
    params: Params,
    there: Contexts,
    weights: Float[Array, "N G T"],
    here: Contexts | None = None,
    gains: Float[Array, "N2 G2 T2"] | None = None,
) -> Split:
    r"""What a unit step on each question does for each other: $\langle\nabla J_m,\nabla J_n\rangle$.

    Args:
      model: the network.
      params: its parameters.
      there: samples of N questions that steps are made on.
      weights: `[N, G, T]`, of each token: $J_n=\sum_{g,t}w_{ngt}\log\pi(o_{ngt})$.
      here: samples of N₂ questions that are looked at; default: the same.
      gains: `[N2, G2, T2]`, weights of their tokens; needed with `here`.

    Returns:
      `[N2, N]`, row m: change of question m's objective, column n: by a step on question n; split into R and G.

    Raises:
      ValueError: one of `here` and `gains` without the other.
    """
    if (here is None) != (gains is None):
        raise ValueError("gains: must be given with here, and only then")

    def slopes(contexts: Contexts, weights: Array) -> tuple[Params, Params]:
        def objective(params: Params, prompt: Array, tokens: Array, weight: Array) -> Array:
            z = score(model, params, prompt[None], (prompt != PAD)[None], tokens[None])[0][0]
            emitted = jnp.take_along_axis(jax.nn.log_softmax(z), tokens[..., None], axis=-1)[..., 0]
            return jnp.sum(weight.astype(emitted.dtype) * emitted)

        each = jax.vmap(jax.grad(objective), in_axes=(None, 0, 0, 0))
        return parted(each(params, contexts.questions.prompt, contexts.tokens, weights))

    columns = slopes(there, weights)
    rows = columns if here is None or gains is None else slopes(here, gains)
    pairs = jax.vmap(jax.vmap(_inner, in_axes=(None, 0)), in_axes=(0, None))
    return Split(*(pairs(row, column) for row, column in zip(rows, columns, strict=True)))


class FixedFeedback(Decoder):
    """A decoder whose features learn through a fixed matrix in the place of the unembedding: W₀ for W in G alone.

    Attributes:
      feedback: `[D, V]`, through which derivatives by the logits reach the features; needed.
      fixed: whether it is used, or the unembedding itself; may be traced.

    Values are those of the decoder; derivatives by the unembedding, too.

    Reference: Lillicrap et al., arXiv 1411.0247 (fixed feedback weights).
    """

    feedback: Any = None
    fixed: Any = True

    def apply(self, variables: Any, *args: Any, **options: Any) -> Any:
        """Values as of the decoder, with other derivatives.

        Raises:
          ValueError: `feedback` is missing or of another shape.
        """
        given, shape = np.shape(self.feedback), (self.width, self.vocabulary)
        if given != shape:
            raise ValueError(f"feedback: shape {given}; must be {shape}, [D, V]")
        output = super().apply(variables, *args, **options)
        assert isinstance(output, Output)
        kernel, features = variables["params"]["unembedding"]["kernel"].astype(self.dtype), output.features
        back = jnp.where(self.fixed, jnp.asarray(self.feedback, self.dtype), kernel)
        through = features @ jax.lax.stop_gradient(back)
        own = jax.lax.stop_gradient(features) @ kernel + (through - jax.lax.stop_gradient(through))
        return output._replace(logits=own.astype(output.logits.dtype))


def alike(
    key: Array, model: Decoder, params: Params, cosine: float | Array, share: float | Array = 0.9
) -> tuple[Decoder, Params]:
    r"""The same policy with features that are more or less alike: nothing else is changed.

    To the features a mark b_v is added, by the token v that was read last, in directions that the unembedding does not
    read; the rest is made smaller, which the unembedding makes up for:

    $$ \phi'=\sqrt{1-a}\,\phi+\sqrt{aD}\,b_v,\qquad W'=W/\sqrt{1-a},\qquad W^\top b_v=0,\qquad
       b_v=\sqrt c\,b+\sqrt{1-c}\,e_v, $$

    with b and e_v ⊥ b random vectors of norm s, the root mean square of the last norm's scale, which makes the mean of
    ‖φ‖² about s²D. Logits stay, and so does G; of R a share a is c, on average, between
    contexts that end in different tokens.

    Args:
      key: PRNG key.
      model: a decoder with at least two more features than tokens, D ≥ V + 2.
      params: its parameters.
      cosine: c in [0, 1], mean cosine of two marks; may be traced.
      share: a in [0, 1), share of the marks in the squared norm; may be traced.

    Returns:
      The decoder with `marks`, and its parameters.

    Raises:
      ValueError: a number out of range, or fewer than two directions that are free.
    """
    _check.unit_interval("cosine", cosine)
    known = _check.unit_interval("share", share)
    if isinstance(known, np.ndarray) and known.max() == 1:
        raise ValueError(f"share: {share}; must be in [0, 1)")
    if model.width < model.vocabulary + 2:
        raise ValueError(
            f"model: width {model.width}; must be at least vocabulary + 2 = {model.vocabulary + 2}"
        )
    old = params["unembedding"]["kernel"]
    whole = wide(old)
    free = decompositions.left_frame(whole)[:, model.vocabulary :]
    place = jax.random.normal(key, (model.vocabulary, free.shape[1] - 1), free.dtype)
    own = place / jnp.linalg.norm(place, axis=-1, keepdims=True) @ free[:, 1:].T
    c, a = (jnp.asarray(x, free.dtype) for x in (cosine, share))
    marks = jnp.sqrt(c) * jnp.broadcast_to(free[:, 0], own.shape) + jnp.sqrt(1 - c) * own
    marks = marks * jnp.sqrt(jnp.mean(jnp.square(wide(params["norm"]["scale"]))))
    changed = {**params, "unembedding": {"kernel": (whole / jnp.sqrt(1 - a)).astype(old.dtype)}}
    return model.clone(marked=a, marks=marks.astype(model.dtype)), changed


def parted(tree: Params) -> tuple[Params, Params]:
    """A tree like the parameters in two: its unembedding, and all the rest; with zeros in the other places.

    Args:
      tree: for example derivatives by all parameters.

    Returns:
      The two trees, which add up to it.
    """
    own = chosen(tree, "unembedding")

    def kept(wanted: bool) -> Params:
        return jax.tree.map(lambda x, here: x if here == wanted else jnp.zeros_like(x), tree, own)

    return kept(True), kept(False)


def _inner(first: Params, second: Params) -> Array:
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum(wide(a) * wide(b)), first, second))
