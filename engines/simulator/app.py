"""The simulator's HTTP surface: a plain ASGI table of vLLM's paths.

Thin on purpose: a handler parses, submits and waits; what is generated when is the core's business, how it is
written is the format's. Errors have vLLM's shape, on `/v1/messages` Anthropic's.
"""

from __future__ import annotations

import hmac
import os
import random
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from engines.simulator import failures
from engines.simulator.core import Admission, SimRequest, SimulatorCore
from engines.simulator.delivery import JSON_TYPE, Delivery, Generation, HeaderList, Message, PoolingDelivery, Send
from engines.simulator.driver import Driver
from engines.simulator.failures import FailureKind
from engines.simulator.formats import chat, completions, images, messages, pooling, responses, sounds
from engines.simulator.formats.job import (
    FINGERPRINT,
    Job,
    Output,
    Refused,
    Writer,
    bad_request,
    check_lengths,
    error_object,
    plan,
)
from engines.simulator.metrics import SimulatorMetrics
from engines.simulator.prefix_cache import block_keys
from engines.simulator.settings import SimulatorSettings
from engines.simulator.sleeping import SleepMode
from engines.simulator.tokens import Babble

VERSION = "0.33.0+simulated"
KEPT_REQUESTS = 1000
RETRY_AFTER_S = 1

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
MakeWriter = Callable[[Job, list[Output], str, int, str], Writer]

_PLAIN_TEXT = (b"content-type", b"text/plain; version=1.0.0; charset=utf-8")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class Call:
    """One HTTP request being answered."""

    __slots__ = ("_receive", "headers", "method", "path", "request_id", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else b""

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Raises Refused (413), ConnectionError when the client leaves."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            size += len(message["body"])
            if size > limit_bytes:
                raise Refused(413, "RequestEntityTooLarge", f"The body is larger than {limit_bytes} bytes.")
            parts.append(message["body"])
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def gone(self) -> None:
        """Return when the client has left or has its whole answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        fields = [(b"content-length", b"%d" % len(body)), *headers]
        if self.request_id:
            fields.append((b"x-request-id", self.request_id))
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

    async def json(self, status: int, value: object, *headers: tuple[bytes, bytes]) -> None:
        await self.answer(status, msgspec.json.encode(value), JSON_TYPE, *headers)


class SimulatorApp:
    """One simulated server as an ASGI application."""

    def __init__(self, settings: SimulatorSettings, core: SimulatorCore, driver: Driver, metrics: SimulatorMetrics):
        self.settings = settings
        self._core = core
        self._driver = driver
        self._metrics = metrics
        # One generator per use: how many tokens were drawn never changes which requests fail.
        self._failure_rng = random.Random(f"{settings.seed} failures")  # noqa: S311 -- a simulation
        self._text_rng = random.Random(f"{settings.seed} text")  # noqa: S311 -- a simulation
        self._babble = Babble(self._text_rng)
        self._key = os.environ.get(settings.api_key_env, "").encode() if settings.api_key_env else b""
        if settings.api_key_env and not self._key:
            raise ValueError(f"api_key_env names {settings.api_key_env}, which is not set")
        self._started = int(datetime.now(UTC).timestamp())
        self._id_prefix = os.urandom(8).hex()
        self._calls = 0
        self._sequences = 0
        self._sleep = SleepMode(core, metrics)
        self._seen: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self._routes: dict[str, dict[str, Callable[[Call], Awaitable[None]]]] = {
            "/v1/chat/completions": {"POST": self._generating(chat.parse, chat.ChatWriter)},
            "/v1/completions": {"POST": self._generating(completions.parse, completions.CompletionWriter)},
            "/v1/responses": {"POST": self._generating(responses.parse, responses.ResponsesWriter)},
            "/v1/messages": {"POST": self._generating(messages.parse, messages.MessagesWriter)},
            "/v1/messages/count_tokens": {"POST": self._pooling(messages.count_tokens)},
            "/v1/embeddings": {"POST": self._pooling(pooling.embeddings)},
            "/v1/audio/transcriptions": {"POST": self._answering(sounds.heard, sounds.HeardWriter)},
            "/v1/audio/translations": {"POST": self._answering(sounds.heard, sounds.HeardWriter)},
            "/v1/audio/speech": {"POST": self._generating(sounds.spoken, sounds.SpokenWriter)},
            "/v1/images/generations": {"POST": self._pooling(images.made)},
            "/v1/images/edits": {"POST": self._prefilling(images.changed)},
            "/v1/rerank": {"POST": self._pooling(pooling.rerank)},
            "/v1/score": {"POST": self._pooling(pooling.score)},
            "/pooling": {"POST": self._pooling(pooling.pooling)},
            "/classify": {"POST": self._pooling(pooling.classify)},
            "/rerank": {"POST": self._pooling(pooling.rerank)},
            "/score": {"POST": self._pooling(pooling.score)},
            "/tokenize": {"POST": self._pooling(pooling.tokenize)},
            "/detokenize": {"POST": self._pooling(pooling.detokenize)},
            "/v1/models": {"GET": self._models},
            "/health": {"GET": self._empty},
            "/ping": {"GET": self._empty, "POST": self._empty},
            "/version": {"GET": self._version},
            "/load": {"GET": self._load},
            "/metrics": {"GET": self._metrics_text},
        }
        if settings.sleep_mode:
            self._routes |= self._sleep.routes
        if settings.admin:
            self._routes["/admin/config"] = {"GET": self._config, "POST": self._change_config}
            self._routes["/admin/requests"] = {"GET": self._requests}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        try:
            methods = self._routes.get(call.path)
            if methods is None:
                raise Refused(404, "NotFoundError", "Not Found")
            handler = methods.get(call.method)
            if handler is None:
                raise Refused(405, "MethodNotAllowed", f"{call.path} does not take {call.method}.")
            if self._key and call.path.startswith(("/v1", "/admin")) and not self._authorised(call):
                await call.json(401, {"error": "Unauthorized"})  # the whole of what vLLM says
                return
            await handler(call)
        except Refused as error:
            await self._refuse(call, error)
        except (msgspec.DecodeError, UnicodeError) as error:
            await self._refuse(call, bad_request(f"The request body is not valid: {error}"))
        except RecursionError:
            await self._refuse(call, bad_request("The request body is nested too deeply."))
        except ConnectionError:
            return

    def _authorised(self, call: Call) -> bool:
        scheme, _, key = call.headers.get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(key, self._key) and scheme.lower() == b"bearer"

    async def _refuse(self, call: Call, error: Refused) -> None:
        headers: HeaderList = []
        if error.status == 429:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        if error.status == 413:
            headers.append((b"connection", b"close"))
        body: object = error_object(error.kind, str(error), error.param, error.status)
        if call.path.startswith("/v1/messages"):
            kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
            body = {"type": "error", "error": {"type": kind, "message": str(error)}}
        await call.json(error.status, body, *headers)

    # Inference

    def _model(self, asked: str | None) -> str:
        if asked is None:
            return self.settings.models[0]
        if asked not in self.settings.models:
            raise Refused(404, "NotFoundError", f"The model `{asked}` does not exist.", "model")
        return asked

    def _headers(self, call: Call) -> HeaderList:
        headers: HeaderList = [(b"x-request-id", call.request_id)] if call.request_id else []
        wanted = call.headers.get(b"endpoint-load-metrics-format", b"").upper()
        if wanted in (b"JSON", b"TEXT"):
            load = {
                "num_requests_waiting": float(self._core.waiting),
                "kv_cache_usage_perc": self._core.cache.usage_ratio,
            }
            if wanted == b"JSON":
                text = msgspec.json.encode({"named_metrics": load})
            else:
                text = ", ".join(f"named_metrics.{name}={value}" for name, value in load.items()).encode()
            headers.append((b"endpoint-load-metrics", wanted + b" " + text))
        return headers

    def _next_id(self, call: Call) -> str:
        self._calls += 1
        return call.request_id.decode() or f"{self._id_prefix}{self._calls:016x}"

    async def _fails(self, call: Call) -> FailureKind | None:
        """The failure drawn for this request, unless it is an HTTP error (raised) or a hang (waited out)."""
        await self._sleep.awake(call)
        kind = failures.draw(self.settings.failure_rate, self.settings.failure_kinds, self._failure_rng)
        if kind in failures.HTTP_ERRORS:
            status, name, message = failures.HTTP_ERRORS[kind]
            raise Refused(status, name, message)
        if kind is FailureKind.HANG:
            await call.gone()
            raise ConnectionError
        return kind

    def _request(self, prompt: list[int], output_tokens: int, owner: Delivery, *, paced: bool) -> SimRequest:
        self._sequences += 1
        keys = block_keys(prompt, self.settings.block_size) if self.settings.prefix_caching else ()
        return SimRequest(self._sequences, len(prompt), output_tokens, keys, paced=paced, owner=owner)

    def _submit(self, request: SimRequest) -> None:
        if self._driver.submit(request) is Admission.REJECTED:
            limit = self.settings.max_waiting_queue_length
            raise Refused(503, "ServiceUnavailableError", f"The server is overloaded: {limit} requests wait already.")

    def _generating(self, parse: Callable[[bytes], Job], writer: MakeWriter) -> Callable[[Call], Awaitable[None]]:
        return self._answering(lambda body, _: parse(body), writer)

    def _answering(self, parse: Callable[[bytes, bytes], Job], writer: MakeWriter) -> Callable[[Call], Awaitable[None]]:
        """`parse` takes a body and its content type."""

        async def handle(call: Call) -> None:
            body = await call.body(self.settings.max_body_bytes)
            job = parse(body, call.headers.get(b"content-type", b""))
            self._note(call, job.model, stream=job.stream, include_usage=job.include_usage, max_tokens=job.max_tokens)
            model = self._model(job.model)
            check_lengths(job, self.settings)
            await self._generate(call, job, model, writer, await self._fails(call))

        return handle

    async def _generate(
        self, call: Call, job: Job, model: str, writer: MakeWriter, failure: FailureKind | None
    ) -> None:
        outputs = plan(job, self.settings, self._babble, self._text_rng)
        writing = writer(job, outputs, self._next_id(call), int(datetime.now(UTC).timestamp()), model)
        headers = self._headers(call)
        close = call.scope["extensions"]["penstock.close"]
        delivery = Generation(call.send, self._driver, close, job, outputs, writing, headers, failure)
        for index, output in enumerate(outputs):
            prompt = job.prompts[index // job.choices_per_prompt]
            delivery.add(self._request(prompt, len(output.pieces), delivery, paced=job.stream))
        with self._sleep.serves(close):
            try:
                for request in delivery.requests:
                    self._submit(request)
                if job.stream:  # like vLLM, before prefill
                    fields = [(b"content-type", job.stream_type), *headers]
                    await call.send({"type": "http.response.start", "status": 200, "headers": fields})
                    if opening := writing.opening():
                        await call.send({"type": "http.response.body", "body": opening, "more_body": True})
                self._driver.pump()
                await call.gone()
            finally:
                delivery.close()
                for request in delivery.requests:
                    self._driver.cancel(request)

    def _pooling(
        self, parse: Callable[[bytes, SimulatorSettings], pooling.Pooling]
    ) -> Callable[[Call], Awaitable[None]]:
        return self._prefilling(lambda body, _: parse(body, self.settings))

    def _prefilling(self, parse: Callable[[bytes, bytes], pooling.Pooling]) -> Callable[[Call], Awaitable[None]]:
        """`parse` takes a body and its content type."""

        async def handle(call: Call) -> None:
            body = await call.body(self.settings.max_body_bytes)
            work = parse(body, call.headers.get(b"content-type", b""))
            self._note(call, work.model, prompts=len(work.prompts))
            model = self._model(work.model)
            for prompt in work.prompts:
                if not 1 <= len(prompt) < self.settings.max_model_len:
                    limit = self.settings.max_model_len
                    raise bad_request(f"An input has {len(prompt)} tokens; 1 to {limit - 1} are served.", "input")
            id, created = self._next_id(call), int(datetime.now(UTC).timestamp())
            if not work.prompts:
                await call.answer(200, work.write(id, created, model), JSON_TYPE)
                return
            await self._prefill(call, work, lambda: work.write(id, created, model))

        return handle

    async def _prefill(self, call: Call, work: pooling.Pooling, body: Callable[[], bytes]) -> None:
        if await self._fails(call) is not None:
            raise Refused(500, "InternalServerError", "Internal server error (simulated failure).")
        close, headers = call.scope["extensions"]["penstock.close"], self._headers(call)
        delivery = PoolingDelivery(call.send, self._driver, close, len(work.prompts), body, headers)
        requests = [self._request(prompt, 1, delivery, paced=False) for prompt in work.prompts]
        with self._sleep.serves(close):
            try:
                for request in requests:
                    self._submit(request)
                self._driver.pump()
                await call.gone()
            finally:
                delivery.close()
                for request in requests:
                    self._driver.cancel(request)

    # About the server

    async def _models(self, call: Call) -> None:
        data: list[dict[str, Any]] = [
            {
                "id": name,
                "object": "model",
                "created": self._started,
                "owned_by": FINGERPRINT,
                "root": name,
                "parent": None,
                "max_model_len": self.settings.max_model_len,
                "permission": [],
            }
            for name in self.settings.models
        ]
        await call.json(200, {"object": "list", "data": data})

    async def _empty(self, call: Call) -> None:
        await call.answer(200, b"")

    async def _version(self, call: Call) -> None:
        await call.json(200, {"version": VERSION})

    async def _load(self, call: Call) -> None:
        await call.json(200, {"server_load": self._sleep.serving})

    async def _metrics_text(self, call: Call) -> None:
        await call.answer(200, self._metrics.render(), _PLAIN_TEXT)

    # For tests

    def _note(self, call: Call, model: str | None, **fields: Any) -> None:
        if self.settings.admin:
            self._seen.append(
                {
                    "path": call.path,
                    "request_id": call.request_id.decode(),
                    "header_names": [name.decode("latin-1") for name, _ in call.scope["headers"]],
                    "model": model,
                    **fields,
                }
            )

    async def _config(self, call: Call) -> None:
        await call.json(200, self.settings)

    async def _change_config(self, call: Call) -> None:
        changes = msgspec.json.decode(await call.body(self.settings.max_body_bytes), type=dict[str, Any])
        try:
            settings = self.settings.with_changes(changes)
        except ValueError as error:
            raise bad_request(str(error)) from None
        self.settings = settings
        self._driver.reconfigure(settings)
        await call.json(200, settings)

    async def _requests(self, call: Call) -> None:
        await call.json(200, list(self._seen))
