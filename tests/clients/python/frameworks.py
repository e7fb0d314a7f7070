"""What stands on the SDKs: LangChain, LlamaIndex, LiteLLM, Instructor and Pydantic AI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import instructor
import litellm
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from openai import OpenAI
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.cases import PROMPT, WEATHER


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    days: int


class LangChainOpenAI:
    name = "langchain-openai"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._url, self._key, self._timeout_s = url, key, timeout_s

    def _chat(self, model: str, **more: Any) -> Any:
        key = SecretStr(self._key)
        where: Any = {"base_url": f"{self._url}/v1", "api_key": key, "timeout": self._timeout_s, "max_retries": 0}
        return ChatOpenAI(model=model, **where, **more)

    def chat(self, model: str) -> str:
        return str(self._chat(model).invoke(PROMPT).text)

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._chat(model).stream(PROMPT):
            yield str(chunk.text)

    def tool(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = self._chat(model).bind_tools([Weather]).invoke(PROMPT).tool_calls[0]["args"]
        return found

    def structured(self, model: str) -> dict[str, Any]:
        answer: Weather = self._chat(model).with_structured_output(Weather).invoke(PROMPT)
        return answer.model_dump()

    def embed(self, model: str) -> list[float]:
        embeddings = OpenAIEmbeddings(
            model=model, base_url=f"{self._url}/v1", api_key=SecretStr(self._key), check_embedding_ctx_length=False
        )
        found: list[float] = embeddings.embed_query("water")
        return found

    def models(self) -> list[str]:
        raise NotImplementedError


class LangChainAnthropic(LangChainOpenAI):
    name = "langchain-anthropic"

    def _chat(self, model: str, **more: Any) -> Any:
        key = SecretStr(self._key)
        where: Any = {"base_url": self._url, "api_key": key, "timeout": self._timeout_s, "max_retries": 0, "stop": None}
        return ChatAnthropic(model_name=model, **where, **more)

    def embed(self, model: str) -> list[float]:
        raise NotImplementedError


class LlamaIndex:
    name = "llama-index"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._where: Any = {"api_base": f"{url}/v1", "api_key": key, "timeout": timeout_s, "max_retries": 0}

    def _llm(self, model: str) -> Any:
        return OpenAILike(model=model, is_chat_model=True, is_function_calling_model=True, **self._where)

    def chat(self, model: str) -> str:
        return str(self._llm(model).complete(PROMPT))

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._llm(model).stream_complete(PROMPT):
            yield chunk.delta or ""

    def tool(self, model: str) -> dict[str, Any]:
        return self.structured(model)  # by a tool that it makes of the class

    def structured(self, model: str) -> dict[str, Any]:
        answer: Any = self._llm(model).as_structured_llm(Weather).complete(PROMPT)
        found: dict[str, Any] = answer.raw.model_dump()
        return found

    def embed(self, model: str) -> list[float]:
        found: list[float] = OpenAILikeEmbedding(model_name=model, **self._where).get_text_embedding("water")
        return found

    def models(self) -> list[str]:
        raise NotImplementedError


class LiteLLM:
    name = "litellm"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._where: Any = {"api_base": f"{url}/v1", "api_key": key, "timeout": timeout_s, "max_retries": 0}

    def _ask(self, model: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": PROMPT}]
        return litellm.completion(model=f"openai/{model}", messages=messages, **self._where, **more)

    def chat(self, model: str) -> str:
        return str(self._ask(model).choices[0].message.content)

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._ask(model, stream=True):
            yield chunk.choices[0].delta.content or ""

    def tool(self, model: str) -> dict[str, Any]:
        tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
        call = self._ask(model, tools=[tool]).choices[0].message.tool_calls[0]
        found: dict[str, Any] = json.loads(call.function.arguments)
        return found

    def structured(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._ask(model, response_format=Weather).choices[0].message.content)
        return found

    def embed(self, model: str) -> list[float]:
        answer: Any = litellm.embedding(model=f"openai/{model}", input=["water"], **self._where)
        found: list[float] = answer.data[0]["embedding"]
        return found

    def models(self) -> list[str]:
        raise NotImplementedError


class Instructor:
    """Structured answers are all that it is for."""

    name = "instructor"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        client = OpenAI(base_url=f"{url}/v1", api_key=key, timeout=timeout_s, max_retries=0)
        self._client: Any = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)

    def structured(self, model: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": PROMPT}]
        answer: Weather = self._client.chat.completions.create(
            model=model, messages=messages, response_model=Weather, max_retries=0
        )
        return answer.model_dump()

    def chat(self, model: str) -> str:
        return str(self.structured(model))

    def stream(self, model: str) -> Iterator[str]:
        raise NotImplementedError

    def tool(self, model: str) -> dict[str, Any]:
        raise NotImplementedError

    def embed(self, model: str) -> list[float]:
        raise NotImplementedError

    def models(self) -> list[str]:
        raise NotImplementedError


class PydanticAI:
    name = "pydantic-ai"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._provider = OpenAIProvider(base_url=f"{url}/v1", api_key=key)
        self._settings: Any = {"timeout": timeout_s}

    def _agent(self, model: str, **more: Any) -> Any:
        return Agent(OpenAIChatModel(model, provider=self._provider), model_settings=self._settings, **more)

    def chat(self, model: str) -> str:
        return str(self._agent(model).run_sync(PROMPT).output)

    def stream(self, model: str) -> Iterator[str]:
        raise NotImplementedError  # asynchronous only

    def tool(self, model: str) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def weather(city: str, days: int) -> str:
            """The weather of a city."""
            seen.append({"city": city, "days": days})
            return "sunny"

        self._agent(model, tools=[weather]).run_sync(PROMPT)
        return seen[0]

    def structured(self, model: str) -> dict[str, Any]:
        answer: Weather = self._agent(model, output_type=Weather).run_sync(PROMPT).output
        return answer.model_dump()

    def embed(self, model: str) -> list[float]:
        raise NotImplementedError

    def models(self) -> list[str]:
        raise NotImplementedError
