"""Tools that evaluate models: LM Evaluation Harness (answers and log-likelihoods), and DSPy with typed answers.

They pin other versions of LiteLLM than the other clients stand on, so they have an environment of their own
(`make test-evaluation`), and are in no lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.gateway import KEY, Gateway, running

pytestmark = pytest.mark.clients
lm_eval = pytest.importorskip("lm_eval", reason="in an environment of its own: make test-evaluation")

import dspy  # noqa: E402 - it is there with the other
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.openai_completions import LocalCompletionsAPI  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

ENDINGS = (" blue", " green", " high")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def harness(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With a tokenizer of bytes, as nothing is downloaded."""
    directory = tmp_path_factory.mktemp("tokenizer")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: at for at, letter in enumerate([*alphabet, "<eos>"])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>").save_pretrained(directory)
    return LocalCompletionsAPI(
        base_url=f"{gateway.base_url}/completions",
        model="chat",
        tokenizer=str(directory),
        tokenizer_backend="huggingface",
        header={"Authorization": f"Bearer {KEY}"},
    )


def test_the_harness_reads_how_likely_each_ending_is(harness: Any) -> None:
    asked = [Instance("loglikelihood", {}, ("The sky is", ending), at) for at, ending in enumerate(ENDINGS)]
    told = harness.loglikelihood(asked)
    assert len(told) == len(ENDINGS)
    assert all(likelihood < 0 for likelihood, _ in told)
    assert told == harness.loglikelihood(asked)  # simulated, but always the same


def test_the_harness_reads_answers(harness: Any) -> None:
    asked = Instance("generate_until", {}, ("The sky is", {"until": ["\n"], "max_gen_toks": 8}), 0)
    assert harness.generate_until([asked])[0].strip()


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter])
def test_dspy_gets_typed_answers_of_a_model_whose_name_it_knows(gateway: Gateway, adapter: type[Any]) -> None:
    lm = dspy.LM("openai/gpt-4o-mini", api_base=gateway.base_url, api_key=KEY, cache=False, num_retries=0)
    with dspy.context(lm=lm, adapter=adapter()):
        told = dspy.Predict("question -> answer: str, days: int")(question="How is the weather?")
    assert (str, int) == (type(told.answer), type(told.days))


def test_dspy_gets_plain_answers_of_any_model(gateway: Gateway) -> None:
    lm = dspy.LM("openai/chat", api_base=gateway.base_url, api_key=KEY, cache=False, num_retries=0)
    assert lm("Hello")[0].strip()
