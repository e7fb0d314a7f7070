"""What may hold the loop of a gateway, each made to happen from outside: over HTTP, by a signal, by a file."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from loadtests.path import check, wrk
from loadtests.peers.commands import API_KEY
from loadtests.stall import bodies, provider, translations
from loadtests.stall.bodies import MIB
from loadtests.stall.stage import KEYS, Place, StallError, Watched, key_of
from loadtests.stall.table import LIMIT_MS, SMALL_MS, STEP_MS

DONE_S = 60.0
LIMIT_BYTES = 16 * MIB - 1
SMALL_BYTES = MIB - 1
LOG_S = 3.0
FREED_S = 1.0
"""For what a reload does after its answer: what is out of use is let go of."""


@dataclass(frozen=True, slots=True)
class Cause:
    """`happen` returns when it is over; `place` says which gateway it happens to. Raises StallError."""

    name: str
    bar_ms: float
    place: Place
    happen: Callable[[Watched], None]
    times: int = 3


def ask(
    watched: Watched,
    body: bytes,
    expected: int = 200,
    path: str = "/v1/chat/completions",
    content_type: str = "application/json",
) -> bytes:
    """One request, answered whole. Raises StallError for another status, and for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", watched.port, timeout=DONE_S)
    try:
        headers = {"content-type": content_type, "authorization": f"Bearer {API_KEY}"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StallError(f"no answer: {error!r}") from None
    finally:
        connection.close()
    if answer.status != expected:
        raise StallError(f"status {answer.status}: {text[:200]!r}")
    return text


def get(watched: Watched, path: str, key: str = API_KEY) -> bytes:
    """The body of a GET. Raises StallError."""
    connection = http.client.HTTPConnection("127.0.0.1", watched.port, timeout=DONE_S)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"})
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise StallError(f"no answer: {error!r}") from None
    finally:
        connection.close()


@lru_cache(1)
def _made(make: bodies.Maker, size: int) -> bytes:
    """Once for all repetitions, and not at all for a cause that is not asked for."""
    return make(size)


def _body(make: bodies.Maker, size: int, expected: int = 200) -> Callable[[Watched], None]:
    def happen(watched: Watched) -> None:
        ask(watched, _made(make, size), expected)

    return happen


def _form(size: int) -> Callable[[Watched], None]:
    def happen(watched: Watched) -> None:
        body = _made(bodies.sound, size)
        ask(watched, body, path="/v1/audio/transcriptions", content_type=bodies.FORM)

    return happen


def stream_in_pieces(watched: Watched) -> None:
    """One event of 7 MiB, whole at the other end."""
    text = ask(watched, b'{"model":"pieces","stream":true,"messages":[{"role":"user","content":"hello"}]}')
    if not text.endswith(b"data: [DONE]\n\n") or len(text) < 7 * MIB:
        raise StallError(f"the stream ends after {len(text)} bytes: {text[-200:]!r}")


def reload(watched: Watched) -> None:
    """The configuration with one model more; over when that model is served."""
    watched.changes += 1
    name = f"fresh-{watched.changes}"
    watched.configure(extra_model=name)
    os.kill(watched.process.pid, signal.SIGHUP)
    _until_served(watched, name)


def replica_replaced(watched: Watched) -> None:
    """The same with another replica in one engine; the new model says when it has been taken."""
    watched.changes += 1
    name = f"fresh-{watched.changes}"
    watched.configure(extra_model=name, replaced_replica=watched.changes)
    os.kill(watched.process.pid, signal.SIGHUP)
    _until_served(watched, name)


def _until_served(watched: Watched, model: str) -> None:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]}).encode()
    deadline = time.monotonic() + DONE_S
    while True:
        try:
            ask(watched, body)
        except StallError as error:
            if "404" not in str(error):
                return  # the model is known; whether its engine answers is not the question
            if time.monotonic() > deadline:
                raise StallError(f"the change was not taken within {DONE_S:g} s") from None
            time.sleep(0.1)
        else:
            return


def keys_replaced(watched: Watched) -> None:
    """Ten thousand keys, and nothing else, are others; over when one of the new is known."""
    watched.changes += 1
    watched.configure(keys=watched.changes)
    os.kill(watched.process.pid, signal.SIGHUP)
    _until_known(watched, key_of(watched.changes, KEYS - 1))


def keys_dropped(watched: Watched) -> None:
    """They come with one model more, and leave with another."""
    for keys in (1, 0):
        watched.changes += 1
        watched.configure(extra_model=f"fresh-{watched.changes}", keys=keys * watched.changes)
        os.kill(watched.process.pid, signal.SIGHUP)
        _until_served(watched, f"fresh-{watched.changes}")
    time.sleep(FREED_S)


def _until_known(watched: Watched, key: str) -> None:
    deadline = time.monotonic() + DONE_S
    while b'"object":"list"' not in get(watched, "/v1/models", key):
        if time.monotonic() > deadline:
            raise StallError(f"the keys were not taken within {DONE_S:g} s")
        time.sleep(0.1)
    time.sleep(FREED_S)


def unknown_model(watched: Watched) -> None:
    """Names that nobody has, each of them new; the nearest are looked for."""
    for number in range(50):
        body = {"model": f"m-{number:02d}x", "messages": [{"role": "user", "content": "hello"}]}
        ask(watched, json.dumps(body).encode(), expected=404)


def exposition(watched: Watched) -> None:
    """A scrape."""
    if b"penstock_requests_total" not in get(watched, "/metrics"):
        raise StallError("no metrics")


def standing_by(watched: Watched) -> None:
    """Three seconds of what it does by itself: tells its counters, its load, its age."""
    time.sleep(LOG_S)


def log_flush(watched: Watched) -> None:
    """Sixteen closed-loop connections for three seconds, each request with its line."""
    argv = wrk.command(f"http://127.0.0.1:{watched.port}", check.body(stream=False), API_KEY, 16, LOG_S)
    result = wrk.finish(wrk.start(argv, watched.load_cores))
    if result.errors:
        raise StallError(result.problem(0))


def _translation(path: str, make: Callable[[], bytes], status: int) -> Callable[[Watched], None]:
    def happen(watched: Watched) -> None:
        ask(watched, make(), status, path)

    return happen


def causes() -> list[Cause]:
    """All of them, in the order of the table."""
    shapes: list[tuple[str, bodies.Maker]] = [
        ("one long message", bodies.long_message),
        ("a tool property named `model`", bodies.property_named_model),
        ("as many keys as fit", bodies.many_keys),
        ("messages of many parts", bodies.many_objects),
        ("one long message, not ASCII", bodies.not_ascii),
        ("one long message of control characters", bodies.controls),
    ]
    found = [
        Cause(f"body of {said}: {name}", bar, Place.SMALL, _body(make, size))
        for said, bar, size in (("16 MiB", LIMIT_MS, LIMIT_BYTES), ("1 MiB", SMALL_MS, SMALL_BYTES))
        for name, make in shapes
    ]
    return [
        *found,
        *(
            Cause(name, bar, Place.SMALL, _translation(path, make, status))
            for name, bar, path, make, status in translations.rows()
        ),
        Cause("body of 16 MiB: nothing but models", LIMIT_MS, Place.SMALL, _body(bodies.many_models, LIMIT_BYTES, 400)),
        Cause("body of 4 MiB: halves of pairs", LIMIT_MS, Place.SMALL, _body(bodies.lone_surrogates, 4 * MIB)),
        Cause("body of 1 MiB: halves of pairs", SMALL_MS, Place.SMALL, _body(bodies.lone_surrogates, SMALL_BYTES)),
        Cause("form of 16 MiB: a file of near boundaries", LIMIT_MS, Place.SMALL, _form(LIMIT_BYTES)),
        Cause("a model that is not there, beside 1,000", SMALL_MS, Place.MODELS, unknown_model),
        Cause("an event of 7 MiB in pieces of 1 KiB", LIMIT_MS, Place.SMALL, stream_in_pieces, times=1),
        Cause("the access log at full rate", SMALL_MS, Place.SMALL, log_flush, times=1),
        Cause("reload: 1,000 models and one more", SMALL_MS, Place.MODELS, reload),
        Cause("a scrape with 1,000 models", SMALL_MS, Place.MODELS, exposition),
        Cause("10,000 keys are others", STEP_MS, Place.KEYS, keys_replaced),
        Cause("10,000 keys come and leave", STEP_MS, Place.KEYS, keys_dropped),
        Cause("a scrape with 300 models x 64 that tell", SMALL_MS, Place.SCALED, exposition),
        Cause("nothing asked, 300 models x 64 that tell", SMALL_MS, Place.SCALED, standing_by, times=1),
        Cause("nothing asked, 300 models x 64", SMALL_MS, Place.FLEET, standing_by, times=1),
        Cause("one replica of 300 models x 64", STEP_MS, Place.FLEET, replica_replaced),
    ]


def warm(watched: Watched) -> None:
    """Ask every model once, so that what is made at first use is there: its series, its connections."""
    for name in watched.models:
        if name != "pieces" and name != "ranks" and (name == "small" or name not in provider.ANSWERS):
            body = json.dumps({"model": name, "messages": [{"role": "user", "content": "hello"}]}).encode()
            ask(watched, body, expected=200)
