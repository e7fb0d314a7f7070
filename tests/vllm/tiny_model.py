"""Writes a random-weight Llama that real vLLM serves: nothing is downloaded, and its answers are gibberish.

Run with the Python of vLLM's own environment: `python tests/vllm/tiny_model.py DIRECTORY [ADAPTER_DIRECTORY...]`. 1.3 M
parameters, 2.6 MB. Each LoRA adapter has random weights of its own, large enough that the model says something else.
The chat template accepts everything the API can carry: text parts, tools and tool results.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

VOCABULARY = 4000
CONTEXT_TOKENS = 4096  # an endless answer takes seconds, so that a cancelled one is told from a finished one
HIDDEN, LAYERS, RANK = 128, 2, 8
CHAT_TEMPLATE = (
    "{% if tools %}<|bos|>tools: {{ tools | tojson }}\n{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{{ m['content'] if m['content'] is string else (m['content'] | tojson) }}"
    "{% if m.get('tool_calls') %}{{ m['tool_calls'] | tojson }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def corpus() -> Iterator[str]:
    """Text with enough distinct words to fill the vocabulary; the same on every machine."""
    rng = random.Random(7)
    syllables = [c + v + e for c in "bdfgklmnprstvwz" for v in "aeiou" for e in ("", "n", "r", "s", "l")]
    for _ in range(4000):
        yield " ".join("".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(12))


def write(directory: Path) -> None:
    """Train the tokenizer and save tokenizer, configuration and weights into `directory`."""
    # Packages of vLLM's environment, which the type checker's does not have.
    import torch  # type: ignore[import-not-found, unused-ignore]
    from tokenizers import (  # type: ignore[import-not-found, unused-ignore]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import (  # type: ignore[import-not-found, unused-ignore]
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    specials = ["<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    specials += ["<tool_call>", "</tool_call>"]  # what vLLM's `hermes` tool parser looks for
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|eos|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)

    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        intermediate_size=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)


def write_adapter(directory: Path, seed: int) -> None:
    """Save a LoRA adapter of the model's query projections into `directory`, in the format of peft."""
    import torch
    from safetensors.torch import save_file  # type: ignore[import-not-found, unused-ignore]

    torch.manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(RANK, HIDDEN, dtype=torch.bfloat16)
        weights[f"{name}.lora_B.weight"] = torch.randn(HIDDEN, RANK, dtype=torch.bfloat16)
    directory.mkdir(parents=True)
    save_file(weights, directory / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"], "bias": "none"}
    (directory / "adapter_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    for number, adapter in enumerate(sys.argv[2:], start=1):
        write_adapter(Path(adapter), seed=number)
