"""What a tensor is for, by its name and shape, in the families Llama, Qwen, Mistral, Gemma, Phi, GPT-NeoX and GPT-2."""

from __future__ import annotations

import re

KINDS = ("attention", "perceptron", "embedding", "unembedding", "norm", "other")
"""Kinds of tensors: matrices of the two kinds of blocks, token and position tables, the output matrix, everything with
one axis (norms, biases, scalars), and what no name is known for."""
MATRICES = ("attention", "perceptron")
"""Kinds whose spectra are looked at, as the papers do."""
_EMBEDDING = re.compile(
    r"(^|[._/])(embed_tokens|embed_in|wte|wpe|tok_embeddings|word_embeddings(_layernorm)?|position_embeddings"
    r"|embed_positions|embed|embeddings?|shared|token_type_embeddings)([._/]|$)"
)
_UNEMBEDDING = re.compile(
    r"(^|[._/])(lm_head|embed_out|unembed(ding)?|output_projection)([._/]|$)|^output\.weight$"
)
_ATTENTION = re.compile(
    r"(^|[._/])(self_attn|self_attention|attn|attention|attention_\d+|cross_attn|linear_attn)[._/]"
)
_PERCEPTRON = re.compile(
    r"(^|[._/])(mlp|ffn|feed_forward|feedforward|block_sparse_moe|experts|shared_experts?)[._/]|[._/](fc1|fc2)[._/]"
)
_ROUTER = re.compile(
    r"(mlp|moe|feed_forward)\.(gate|router|shared_expert_gate)(\.weight)?$|[._]router([._]|$)"
)
_BUFFER = re.compile(r"(attn|attention)\.(masked_)?bias$|inv_freq$|position_ids$")
_PARTS = {
    "attention": {
        "qkv": r"c_attn|query_key_value|qkv_proj|wqkv|qkv|in_proj_weight",
        "q": r"q_proj|wq|query|q_a_proj|q_b_proj|q",
        "k": r"k_proj|wk|key|k",
        "v": r"v_proj|wv|value|v",
        "kv": r"kv_a_proj_with_mqa|kv_b_proj|kv_proj",
        "o": r"o_proj|wo|out_proj|c_proj|dense|out|o",
    },
    "perceptron": {
        "gate+up": r"gate_up_proj",
        "gate": r"gate_proj|w1",
        "up": r"up_proj|w3|c_fc|dense_h_to_4h|fc1|fc_in|wi",
        "down": r"down_proj|w2|c_proj|dense_4h_to_h|fc2|fc_out|wo",
    },
}
_PATTERNS = {
    kind: {part: re.compile(rf"(^|[._/])({words})([._/\[]|$)") for part, words in parts.items()}
    for kind, parts in _PARTS.items()
}


def is_buffer(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a constant that is only stored with the weights, such as a causal mask.

    Args:
      name: its name.
      shape: its shape.

    Returns:
      Whether it is.

    >>> is_buffer("h.0.attn.bias", (1, 1, 1024, 1024)), is_buffer("encoder.attention.bias", (64,))
    (True, False)
    """
    return bool(_BUFFER.search(name)) and (name.endswith(("inv_freq", "ids")) or len(shape) != 1)


def stacked(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a stack of matrices, one for each expert.

    Args:
      name: its name.
      shape: its shape.

    Returns:
      Whether it is.

    >>> stacked("model.layers.0.mlp.experts.gate_up_proj", (8, 64, 256)), stacked("conv1d.weight", (64, 1, 4))
    (True, False)
    """
    return len(shape) == 3 and "experts" in name


def kind(name: str, shape: tuple[int, ...]) -> tuple[str, str]:
    """Kind of a tensor, and which part of the block it is.

    Args:
      name: its name.
      shape: its shape; `[rows, columns]` for a matrix.

    Returns:
      One of `KINDS`, and `"q"`, `"gate"`, …; the part is empty where the kind says all or the name is unknown.

    >>> kind("model.layers.3.self_attn.q_proj.weight", (64, 64)), kind("transformer.h.0.mlp.c_proj.weight", (256, 64))
    (('attention', 'q'), ('perceptron', 'down'))
    >>> kind("lm_head.weight", (1000, 64)), kind("model.norm.weight", (64,)), kind("model.visual.patch", (3, 3))
    (('unembedding', ''), ('norm', ''), ('other', ''))
    """
    if len(shape) < 2:
        return "norm", ""
    if len(shape) > 2 and not stacked(name, shape):
        return "other", ""
    for table, pattern in (("unembedding", _UNEMBEDDING), ("embedding", _EMBEDDING)):
        if pattern.search(name):
            return table, ""
    if _ROUTER.search(name):
        return "other", "router"
    for block, pattern in (("attention", _ATTENTION), ("perceptron", _PERCEPTRON)):
        if pattern.search(name):
            return block, next((part for part, one in _PATTERNS[block].items() if one.search(name)), "")
    return "other", ""
