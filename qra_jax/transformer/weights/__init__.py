"""What training does to the weights: read-outs of two or more sets of parameters, each with its null at hand.

update = weights.parts.select(weights.parts.update(base, tuned))["attention_0/qkv"]
weights.spectra.stable_rank(update), weights.low_rank.alpha(update)
weights.low_rank.rebuilt(base, tuned, scale=0.7)                   # null: first=1, last=2; rebuilt_at_random
weights.masks.overlap(changed, principal)                          # value, chance, spread
twin = weights.twin.gaussian(key, base, tuned)                     # the null of all of them
"""

from qra_jax.transformer.weights import angles, forecast, linearity, low_rank, masks, parts, spectra, twin

__all__ = ["angles", "forecast", "linearity", "low_rank", "masks", "parts", "spectra", "twin"]
