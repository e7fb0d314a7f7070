"""An engine that answers at once and always the same, so that whatever is in front of it is what gets measured.

`POST` of a chat completion is answered plain (about 600 bytes) or as a stream of a role chunk, 100 content chunks,
a finish chunk, a usage chunk when asked, and `[DONE]`, in the bytes and headers vLLM on uvicorn sends; one of
`/v1/messages` with the same content in Anthropic's format. All streams advance together, one chunk each per turn of the
event loop, as an engine's step does; so each chunk is its own segment while the reader keeps up. A prompt with the word
`hold-open` gets one chunk and then one more every HOLD_S seconds until the client leaves.

Replies are bytes made once, and no header is looked at. Nothing in front of it may be faster, or its figures mean
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

CHUNKS = 100
HOLD_S = 5.0
MODEL = "bench"
CONTENT = (
    "A penstock is the pipe that carries water from the gate to the turbines of a power station. It is closed under "
    "pressure, so its walls, its valves and its anchors are built for the surge that follows a sudden stop."
)
USAGE = {
    "prompt_tokens": 87,
    "total_tokens": 187,
    "completion_tokens": CHUNKS,
    "prompt_tokens_details": None,
}
_ID = "chatcmpl-9f2c41d8a7b64e0d8c1f5e3ab2706d94"
_CREATED = 1_750_000_000
_DATE = b"date: Sun, 15 Jun 2025 15:06:40 GMT\r\nserver: uvicorn\r\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def reply(status: str, content_type: str, body: bytes) -> bytes:
    """A whole HTTP/1.1 answer with the headers uvicorn sends."""
    head = f"content-length: {len(body)}\r\ncontent-type: {content_type}\r\n\r\n".encode()
    return b"HTTP/1.1 " + status.encode() + b"\r\n" + _DATE + head + body


def plain_body() -> bytes:
    """The chat completion that every plain request gets."""
    message: dict[str, object] = {
        "role": "assistant",
        "content": CONTENT,
        "refusal": None,
        "tool_calls": [],
        "reasoning": None,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    head = {"id": _ID, "object": "chat.completion", "created": _CREATED, "model": MODEL, "choices": [choice]}
    return _json(head | {"service_tier": None, "system_fingerprint": None, "usage": USAGE})


def _event(choices: list[dict[str, object]], **more: object) -> bytes:
    head = {"id": _ID, "object": "chat.completion.chunk", "created": _CREATED, "model": MODEL, "choices": choices}
    return b"data: " + _json(head | more) + b"\n\n"


def _delta(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_writes(include_usage: bool) -> list[bytes]:
    """The writes of one stream: head and role chunk, 100 content chunks, then all that ends it.

    vLLM's last events leave its generator without a pause, so they share a write there too.
    """
    head = b"HTTP/1.1 200 OK\r\n" + _DATE
    head += b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    tail = _framed(_delta({"content": ""}, "stop"))
    if include_usage:
        tail += _framed(_event([], usage=USAGE))
    tail += _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    first = head + _framed(_delta({"role": "assistant", "content": ""}))
    return [first, *(_framed(_delta({"content": f" token{n:02d}"})) for n in range(CHUNKS)), tail]


def _message(content: list[dict[str, str]], usage: dict[str, int], stop: str | None) -> dict[str, object]:
    head = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": MODEL}
    return head | {"content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def message_body() -> bytes:
    """What a plain request gets in Anthropic's format."""
    usage = {"input_tokens": USAGE["prompt_tokens"] or 0, "output_tokens": CHUNKS}
    return _json(_message([{"type": "text", "text": CONTENT}], usage, "end_turn"))


def message_writes() -> list[bytes]:
    """The writes of one stream in Anthropic's format: as many as of one in OpenAI's, with the same content."""

    def event(kind: str, **more: object) -> bytes:
        return _framed(f"event: {kind}\ndata: ".encode() + _json({"type": kind} | more) + b"\n\n")

    head = b"HTTP/1.1 200 OK\r\n" + _DATE
    head += b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    begun = {"input_tokens": USAGE["prompt_tokens"] or 0, "output_tokens": 1}
    first = event("message_start", message=_message([], begun, None))
    first += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    tail = event("content_block_stop", index=0)
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    tail += event("message_delta", delta=ended, usage={"output_tokens": CHUNKS}) + event("message_stop") + b"0\r\n\r\n"
    texts = [{"type": "text_delta", "text": f" token{n:02d}"} for n in range(CHUNKS)]
    return [head + first, *(event("content_block_delta", index=0, delta=text) for text in texts), tail]


_MODELS = {
    "object": "list",
    "data": [{"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "vllm", "max_model_len": 32768}],
}
_METRICS = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="bench"} 0.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="bench"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="bench"} 0.0
"""
_INFO = _json({"model_path": MODEL, "served_model_name": MODEL, "is_generation": True, "tp_size": 1, "dp_size": 1})
_JSON = "application/json"
GET = {
    b"/health": reply("200 OK", "text/plain", b""),
    b"/health_generate": reply("200 OK", "text/plain", b""),
    b"/v1/models": reply("200 OK", _JSON, _json(_MODELS)),
    b"/metrics": reply("200 OK", "text/plain; version=0.0.4; charset=utf-8", _METRICS),
    b"/version": reply("200 OK", _JSON, b'{"version":"0.30.0"}'),
    b"/get_model_info": reply("200 OK", _JSON, _INFO),
    b"/model_info": reply("200 OK", _JSON, _INFO),
    b"/get_server_info": reply("200 OK", _JSON, _INFO),
    b"/server_info": reply("200 OK", _JSON, _INFO),
    b"/get_load": reply("200 OK", _JSON, b'[{"dp_rank":0,"num_reqs":0,"num_waiting_reqs":0,"num_tokens":0}]'),
}
NOT_FOUND = reply("404 Not Found", _JSON, b'{"detail":"Not Found"}')
PLAIN = reply("200 OK", _JSON, plain_body())
STREAM = stream_writes(include_usage=False)
MESSAGE = reply("200 OK", _JSON, message_body())
MESSAGE_STREAM = message_writes()
STREAM_WITH_USAGE = stream_writes(include_usage=True)


class Steps:
    """Moves every open stream by one write per step; sleeps while there is none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, step_s: float) -> None:
        self.loop = loop
        self.step_s = step_s
        self.streams: list[Connection] = []
        self.scheduled = False

    def add(self, connection: Connection) -> None:
        self.streams.append(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            if self.step_s:
                self.loop.call_later(self.step_s, self._step)
            else:
                self.loop.call_soon(self._step)

    def _step(self) -> None:
        self.scheduled = False
        self.streams = [stream for stream in self.streams if stream.advance()]
        if self.streams:
            self._schedule()


class Connection(asyncio.Protocol):
    """One client connection; requests are answered one after the other."""

    __slots__ = ("body", "feed", "hold_s", "hold_timer", "next_write", "steps", "transport", "url", "writes")

    transport: asyncio.Transport

    def __init__(self, steps: Steps, hold_s: float) -> None:
        self.steps = steps
        self.hold_s = hold_s
        self.feed = httptools.HttpRequestParser(self).feed_data
        self.url = b""
        self.body = b""
        self.writes: list[bytes] = []
        self.next_write = 0
        self.hold_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        self.writes = []
        if self.hold_timer is not None:
            self.hold_timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self.feed(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body = self.body
        self.body = b""
        if not body:
            self.transport.write(GET.get(self.url, NOT_FOUND))
        elif b'"stream":true' not in body and b'"stream": true' not in body:
            self.transport.write(MESSAGE if self.url == b"/v1/messages" else PLAIN)
        elif self.url == b"/v1/messages":
            self._begin(MESSAGE_STREAM)
        elif b"hold-open" in body:
            self.transport.write(STREAM[0])
            self._hold()
        else:
            usage = b'"include_usage":true' in body or b'"include_usage": true' in body
            self._begin(STREAM_WITH_USAGE if usage else STREAM)

    def _begin(self, writes: list[bytes]) -> None:
        self.writes = writes
        self.next_write = 0
        self.steps.add(self)

    def advance(self) -> bool:
        """Send the next write; False when that was the last, or the client has left."""
        writes, position = self.writes, self.next_write
        if position >= len(writes):
            return False
        self.next_write = position + 1
        self.transport.write(writes[position])
        return position + 1 < len(writes)

    def _hold(self) -> None:
        self.hold_timer = self.steps.loop.call_later(self.hold_s, self._hold_step)

    def _hold_step(self) -> None:
        self.transport.write(STREAM[1])
        self._hold()


async def serve(host: str, port: int, step_s: float, hold_s: float) -> None:
    """Listen until cancelled; the port in use is the first line on standard output."""
    loop = asyncio.get_running_loop()
    steps = Steps(loop, step_s)
    server = await loop.create_server(lambda: Connection(steps, hold_s), host, port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Fixed-reply OpenAI chat backend for the path benchmark.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--step-ms", type=float, default=0.0, help="time between a stream's chunks; 0: every loop turn")
    parser.add_argument("--hold-s", type=float, default=HOLD_S, help="time between the chunks of a held stream")
    options = parser.parse_args(argv)
    uvloop.run(serve(options.host, options.port, options.step_ms / 1000, options.hold_s))


if __name__ == "__main__":
    main(sys.argv[1:])
