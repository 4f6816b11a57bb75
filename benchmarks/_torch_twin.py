"""The transformer twin in PyTorch, as one would write it well: stacked parameters, batched products, cached sampling.

All arrays have a leading axis of seeds S, whose networks are trained side by side by batched matrix products; with
S = 1 it is the usual single network. Parameters are taken from the JAX network, so that both can be compared.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


class Twin:
    """Network, sampler, verifier and GRPO step for S seeds."""

    def __init__(self, params, task, model, questions, group, learning_rate, compile=False):
        self.S = next(iter(params["embedding"].values())).shape[0]
        self.depth, self.heads, self.width = model.depth, model.heads, model.width
        self.p = {
            f"{module}.{name}": torch.tensor(np.array(value), requires_grad=True)
            for module, entries in params.items()
            for name, value in _flat(entries)
        }
        self.optimizer = torch.optim.Adam(list(self.p.values()), lr=learning_rate, fused=True)
        self.N, self.G, self.T, self.end = questions, group, task.length, task.end
        self.prompt = torch.tensor(np.asarray(task.questions(np.arange(questions)).prompt))
        self.P = self.prompt.shape[1]
        rows, places = (torch.tensor(np.asarray(x)) for x in task._skeleton())
        self.rows, self.slot = rows, torch.arange(self.T)[None] == places[:, None]
        self.first_answer, self.key = task.first_answer, torch.tensor(np.asarray(task.key))[:questions]
        half = self.width // self.heads // 2
        angle = torch.arange(self.P + self.T)[:, None] * (1e4 ** (-torch.arange(half) / half))
        self.cos, self.sin = angle.cos()[:, None], angle.sin()[:, None]  # [L, 1, K/2]
        self.seed = torch.arange(self.S)[:, None]
        if compile:  # the graphs are kept with the code: every position of the sampler needs one of its own
            torch._dynamo.reset()
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.fail_on_recompile_limit_hit = True
        self.forward = torch.compile(self._forward, dynamic=False) if compile else self._forward
        self.turn = torch.compile(self._turn, dynamic=False) if compile else self._turn
        self.prefill = torch.compile(self._prefill, dynamic=False) if compile else self._prefill

    def _linear(self, x, name):  # x [S, R, in]
        return torch.bmm(x, self.p[f"{name}.kernel"])

    def _norm(self, x, name):
        return F.rms_norm(x, x.shape[-1:], eps=1e-6) * self.p[f"{name}.scale"][:, None]

    def _rotated(self, x, cos, sin):  # [S, B, L, H, K]
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    def _qkv(self, x, layer, batch, length, cos, sin):
        heads = self._linear(self._norm(x, f"norm_{layer}a"), f"attention_{layer}.qkv")
        q, k, v = heads.view(self.S, batch, length, 3 * self.heads, -1).split(self.heads, dim=3)
        q, k = self._rotated(q, cos, sin), self._rotated(k, cos, sin)
        return (z.transpose(2, 3).reshape(self.S * batch, self.heads, length, -1) for z in (q, k, v))

    def _rest(self, x, mixed, layer, batch, length):
        mixed = mixed.transpose(1, 2).reshape(self.S, batch * length, self.width)
        x = x + self._linear(mixed, f"attention_{layer}.out")
        hidden = F.relu(self._linear(self._norm(x, f"norm_{layer}b"), f"in_{layer}")).square()
        return x + self._linear(hidden, f"out_{layer}")

    def _embed(self, tokens):  # [S, R]
        return self.p["embedding.embedding"][self.seed, tokens]

    def _logits(self, x):
        return self._linear(self._norm(x, "norm"), "unembedding")

    def _forward(self, sequence):
        """Log-probabilities `[S, B, L, V]` of what follows each token of whole sequences `[S, B, L]`."""
        batch, length = sequence.shape[1:]
        x = self._embed(sequence.reshape(self.S, -1))
        for layer in range(self.depth):
            q, k, v = self._qkv(x, layer, batch, length, self.cos[:length], self.sin[:length])
            x = self._rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True), layer, batch, length)
        return self._logits(x).view(self.S, batch, length, -1).log_softmax(dim=-1)

    def _prefill(self, prompt):
        """Scores after the prompts `[S, N, P]`, and their keys and values."""
        batch, length = prompt.shape[1:]
        x, cache = self._embed(prompt.reshape(self.S, -1)), []
        for layer in range(self.depth):
            q, k, v = self._qkv(x, layer, batch, length, self.cos[:length], self.sin[:length])
            x = self._rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True), layer, batch, length)
            cache.append((k, v))
        return self._logits(x.view(self.S, batch, length, -1)[:, :, -1]), cache

    def _turn(self, token, cache, at: int):
        """One cached step: scores after `token` `[S, B]` at position `at`."""
        batch = token.shape[1]
        x = self._embed(token)
        for layer in range(self.depth):
            q, k, v = self._qkv(x, layer, batch, 1, self.cos[at : at + 1], self.sin[at : at + 1])
            cache[layer][0][:, :, at], cache[layer][1][:, :, at] = k[:, :, 0], v[:, :, 0]
            keys, values = (z[:, :, : at + 1] for z in cache[layer])
            x = self._rest(x, F.scaled_dot_product_attention(q, keys, values), layer, batch, 1)
        return self._logits(x)

    @torch.no_grad()
    def sample(self):
        """Tokens `[S, B, T]` of G sequences for each question; B = N G."""
        batch, size = self.N * self.G, self.width // self.heads
        logits, read = self.prefill(self.prompt[None].expand(self.S, -1, -1))
        logits = logits.repeat_interleave(self.G, dim=1)
        shape = self.S * batch, self.heads, self.P + self.T, size
        cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(self.depth)]
        for own, known in zip(cache, read, strict=True):
            for kept, new in zip(own, known, strict=True):
                kept[:, :, : self.P] = new.repeat_interleave(self.G, dim=0)
        tokens, over = [], torch.zeros(self.S, batch, dtype=torch.bool)
        for t in range(self.T):
            flat = logits.softmax(dim=-1).view(self.S * batch, -1)
            token = torch.multinomial(flat, 1).view(self.S, batch).masked_fill(over, 0)
            tokens.append(token)
            over = over | (token == self.end)
            if t + 1 < self.T:
                logits = self.turn(token, cache, self.P + t)
        return torch.stack(tokens, dim=-1)

    def reward(self, tokens):
        """1 for a whole, announced and right sequence, `[S, B]`."""
        fits = ((tokens[:, :, None] == self.rows) | self.slot).all(dim=-1)
        said = (tokens[:, :, None] * self.slot).sum(dim=-1) - self.first_answer
        half = fits.shape[-1] // 2
        key = self.key.repeat_interleave(self.G)[None, :, None]
        return (fits & (said == key))[..., :half].any(dim=-1).float()

    def update(self, tokens, weights):
        """One Adam step on Σ A log π / B of given sequences."""
        prompt = self.prompt.repeat_interleave(self.G, dim=0)[None].expand(self.S, -1, -1)
        sequence = torch.cat([prompt, tokens], dim=-1)
        log_probs = self.forward(sequence[:, :, :-1])[:, :, self.P - 1 :]
        emitted = log_probs.gather(-1, tokens[..., None])[..., 0] * (tokens != 0)
        loss = -(weights * emitted.sum(dim=-1)).mean(dim=1).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return emitted.detach()

    def step(self):
        """Sample, verify, weigh, update; the mean reward."""
        tokens = self.sample()
        rewards = self.reward(tokens)
        groups = rewards.view(self.S, self.N, self.G)
        std = groups.std(dim=-1, correction=0, keepdim=True)
        weights = torch.where(
            std > 1e-6, (groups - groups.mean(dim=-1, keepdim=True)) / std.clamp_min(1e-6), 0.0
        )
        self.update(tokens, weights.view_as(rewards))
        return rewards.mean()


def _flat(entries, prefix=""):
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
