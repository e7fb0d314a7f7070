"""Writes a Llama that vLLM fills with random weights (`--load-format dummy`): no download, and answers are gibberish.

Run with the Python of vLLM's environment, from this repository: `python -m loadtests.vllm.model DIRECTORY SIZE`. Only
the tokenizer and the configuration are written. The tokenizer knows every word of our workloads as one token.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from loadtests.workloads.words import WORDS

VOCABULARY = 8192
BOS, EOS = "<|bos|>", "<|eos|>"
CONTEXT_TOKENS = 8192
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 32},
    # Of a depth that a core computes 3,000 tokens/s at, so that what is not computed twice shows.
    "small": {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "head_dim": 64},
    "1b": {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16, "head_dim": 128},
    "3b": {"hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24, "head_dim": 128},
}
"""The larger two have the shapes of Llama 3.2, with heads of 128 throughout, and a vocabulary of our own."""


def config(size: str) -> dict[str, object]:
    """`config.json` of a model; its key-value heads are a quarter of its heads, or eight."""
    shape = SIZES[size]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **shape,
        "num_key_value_heads": min(8, max(2, shape["num_attention_heads"] // 4)),
        "intermediate_size": 8192 if shape["hidden_size"] >= 2048 else 4 * shape["hidden_size"],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "dtype": "bfloat16",
    }


def write(directory: Path, size: str) -> None:
    """The tokenizer and the configuration, into `directory`."""
    # Packages of vLLM's environment, which the type checker's does not have.
    from tokenizers import (  # type: ignore[import-not-found, unused-ignore]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast  # type: ignore[import-not-found, unused-ignore]

    specials = [BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"{a} {b}" for a, b in itertools.pairwise(WORDS * 4)), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)
    (directory / "config.json").write_text(json.dumps(config(size), indent=1))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
