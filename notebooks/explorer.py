# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What happens if I move this slider?
#
# One question with three reasoning patterns, and how it is trained: move a slider and see the shares of the patterns, the
# path in the triangle of policies, the lines whose lowest one leads, and how long training takes without noise. The first
# picture takes a while (programs are compiled; dynamic sampling has one of its own), later ones a tenth
# of a second. `qra explore` opens this in a browser.

# %%
import jax
from IPython.display import Image

from qra_jax.explorer.widget import Explorer

jax.config.update("jax_enable_x64", True)
explorer = Explorer()
explorer

# %% [markdown]
# Without a running kernel a page shows no sliders, so here is the picture they started with:

# %%
Image(explorer.png)

# %% [markdown]
# ## What to try next
#
# - Make the best pattern r1 rare (π_ref(r1) = 10⁻³): the runs stall, and the thick line in the right panel waits.
# - A rate η of 3 with a group of 2: how many of the sampled runs lose r1 for good?
# - A verifier that accepts more wrong answers than right ones turns the path around.
# - `Explorer(Settings(ref=..., success=...))` with `from qra_jax.explorer import Settings` starts elsewhere.
