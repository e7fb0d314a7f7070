"""Locust's page and its workers, our measurement.

`locust -f loadtests/locust/locustfile.py --host URL --model M --rate 50`: Locust starts, stops, distributes and shows.
Each Locust worker runs one `client/worker.py` process, which takes its share of the one schedule: worker w of W sends
arrivals w, w + W, ... What they measure comes back each second, and is
shown in three more tabs; the stock tables get every request's end-to-end time and failure. Locust's own number of
users means nothing to an open loop: leave it at 1.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gevent
import msgspec
from flask import Response, request
from locust import User, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.cli.options import make_plan
from loadtests.client.worker import Progress, Ready
from loadtests.locust.board import Board, key
from loadtests.locust.child import Child, ChildError
from loadtests.schedule.plan import Plan, parse_plan
from loadtests.statistics.histogram import LogHistogram

START_NS = 300_000_000
"""From "go" to the first arrival: the word must reach every host before."""
EXIT_INVALID = 3
log = logging.getLogger("penstock-load")


class Load(User):
    """Stands for the load in Locust's tables; it sends nothing itself."""

    wait_time = constant(3600)

    @task
    def be(self) -> None:
        """Wait until Locust stops the test."""


class Session:
    """What this process knows of the test that runs; one per process."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.unsent: list[Progress] = []
        self.begin(Board(), ())

    def begin(self, board: Board, clients: Iterable[str]) -> None:
        """A new test, which these processes measure; nothing of the one before is left."""
        self.board = board
        self.expected = set(clients)
        self.readies: dict[str, Ready] = {}
        self.done: set[str] = set()


session = Session()


@events.init_command_line_parser.add_listener
def options(parser: Any) -> None:
    """What a run needs beside --host; every one of these is also a field of the start page."""
    parser.add_argument("--model", default="", help="model name to ask for")
    parser.add_argument("--arrivals", default="poisson", help="constant, poisson, gamma:cv=2, mmpp:, ramp: or trace:")
    parser.add_argument("--rate", default="", help="mean requests per second, of all workers together (default 10)")
    parser.add_argument("--closed-users", type=int, default=0, help="closed loop: this many users, in place of a rate")
    parser.add_argument("--duration", default="60s", help="how long requests are sent")
    parser.add_argument("--slo", default="", help="what a good request is: ttft=500ms,tpot=50ms")
    parser.add_argument("--workload", default="", help="a named workload, or a file")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule and of the prompts")
    parser.add_argument("--api-key-env", default="", help="environment variable with the bearer token, on each worker")
    parser.add_argument("--load-out", default="load-locust", help="directory for records, on each worker")


def plan_of(environment: Environment, workers: int) -> Plan:
    """The plan of the options. Raises ValueError."""
    said = environment.parsed_options
    assert said is not None
    if not environment.host or not said.model:
        raise ValueError("give --host URL and --model NAME")
    return make_plan(
        target=environment.host,
        model=said.model,
        arrivals=said.arrivals,
        rate=float(said.rate) if said.rate else None,
        users=int(said.closed_users),
        duration=said.duration,
        slo=said.slo,
        workload=said.workload or None,
        seed=int(said.seed),
        api_key_env=said.api_key_env,
        workers=workers,
    )


@events.init.add_listener
def init(environment: Environment, **_: Any) -> None:
    """Tabs on the page, messages between master and workers."""
    runner = environment.runner
    if environment.web_ui is not None:
        extend_page(environment)
    if isinstance(runner, MasterRunner):
        runner.register_message("llm_ready", lambda environment, msg, **_: on_ready(environment, msg))
        runner.register_message("llm_done", lambda environment, msg, **_: on_done(environment, msg.node_id, msg.data))
    elif isinstance(runner, WorkerRunner):
        runner.register_message("llm_plan", lambda environment, msg, **_: on_plan(environment, msg.data))
        runner.register_message("llm_go", lambda environment, msg, **_: on_go(environment))


@events.test_start.add_listener
def test_start(environment: Environment, **_: Any) -> None:
    """Hand out the plan: to the workers, or to a child of our own."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return  # the plan comes by message
    clients = sorted(runner.clients) if isinstance(runner, MasterRunner) else ["local"]
    try:
        plan = plan_of(environment, len(clients))
        session.begin(Board(str(plan.slo), len(plan.offsets()) if plan.open_loop else 0), clients)
    except ValueError as error:
        fail(environment, str(error))
        return
    plain = msgspec.to_builtins(plan)
    for worker, client in enumerate(clients):
        if isinstance(runner, MasterRunner):
            runner.send_message("llm_plan", {"plan": plain, "worker": worker}, client)
        else:
            gevent.spawn(on_plan, environment, {"plan": plain, "worker": worker})


def fail(environment: Environment, message: str) -> None:
    """End the test with a sentence and status 2."""
    log.error(message)
    environment.process_exit_code = 2
    gevent.spawn(finish, environment)


def finish(environment: Environment) -> None:
    """Stop the test on the page, or leave when there is none."""
    runner = environment.runner
    if runner is None:
        return
    if environment.web_ui is not None:
        runner.stop()
    else:
        runner.quit()


# -- the process that measures ---------------------------------------------------------------------------------------


def on_plan(environment: Environment, data: dict[str, Any]) -> None:
    """Start the child, and say that it is ready."""
    said = environment.parsed_options
    assert said is not None
    child = Child(parse_plan(data["plan"]), data["worker"], Path(said.load_out))
    session.child = child
    try:
        ready = child.start()
    except (ChildError, OSError) as error:
        tell(environment, "llm_done", {"error": str(error)})
        return
    tell(environment, "llm_ready", msgspec.to_builtins(ready))


def on_go(environment: Environment) -> None:
    """The schedule begins: follow the child until its end."""
    child = session.child
    if child is None:
        return
    child.go(START_NS)

    def follow() -> None:
        status = child.follow(lambda progress: on_progress(environment, progress))
        tell(environment, "llm_done", {"error": "" if status == 0 else f"worker {child.worker} ended with {status}"})

    gevent.spawn(follow)


def tell(environment: Environment, name: str, data: dict[str, Any]) -> None:
    """Say something to the master, which may be this process."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        if name == "llm_done":
            flush(runner)
        runner.send_message(name, data)
    elif name == "llm_ready":
        session.readies["local"] = msgspec.convert(data, Ready)
        go_when_all_are_ready(environment)
    else:
        on_done(environment, "local", data)


def on_progress(environment: Environment, progress: Progress) -> None:
    """One second of the child: for the stock tables, and for our own."""
    ended = LogHistogram.from_json(progress.latency["e2e"]) if "e2e" in progress.latency else LogHistogram()
    for low, high, count in ended.buckets():
        for _ in range(count):
            fire(environment, (low + high) / 2e6, None)
    for kind, count in progress.errors.items():
        for _ in range(count):
            fire(environment, 0.0, RuntimeError(kind))
    if isinstance(environment.runner, WorkerRunner):
        session.unsent.append(progress)
    else:
        session.board.take(progress)


def fire(environment: Environment, milliseconds: float, failure: Exception | None) -> None:
    environment.events.request.fire(
        request_type="LLM",
        name="end to end, from intended send",
        response_time=milliseconds,
        response_length=0,
        exception=failure,
        context={},
    )


@events.report_to_master.add_listener
def report_to_master(data: dict[str, Any], **_: Any) -> None:
    """Locust's own report, every three seconds, carries ours."""
    data["llm"] = [msgspec.to_builtins(progress) for progress in session.unsent]
    session.unsent = []


def flush(runner: WorkerRunner) -> None:
    """The last seconds, before the word that we are done."""
    runner.send_message("stats", _last_report(runner))


def _last_report(runner: WorkerRunner) -> dict[str, Any]:
    data: dict[str, Any] = {}
    runner.environment.events.report_to_master.fire(client_id=runner.client_id, data=data)
    data.setdefault("user_classes_count", runner.user_classes_count)
    data.setdefault("user_count", runner.user_count)
    return data


# -- the process that shows --------------------------------------------------------------------------------------------


def on_ready(environment: Environment, message: Any) -> None:
    session.readies[message.node_id] = msgspec.convert(message.data, Ready)
    go_when_all_are_ready(environment)


def go_when_all_are_ready(environment: Environment) -> None:
    """All shares are of one schedule, or there is no start."""
    if set(session.readies) != session.expected:
        return
    if len({ready.fingerprint for ready in session.readies.values()}) != 1:
        fail(environment, "the workers have different schedules")
    elif isinstance(environment.runner, MasterRunner):
        environment.runner.send_message("llm_go")
    else:
        on_go(environment)


@events.worker_report.add_listener
def worker_report(data: dict[str, Any], **_: Any) -> None:
    for progress in data.get("llm", ()):
        session.board.take(msgspec.convert(progress, Progress))


def on_done(environment: Environment, client: str, data: dict[str, Any]) -> None:
    """When the last one is done, the test is."""
    if data["error"]:
        fail(environment, data["error"])
        return
    session.done.add(client)
    if session.done >= session.expected and not session.board.over:
        session.board.over = True
        gevent.spawn(finish, environment)


@events.test_stopping.add_listener
def test_stopping(environment: Environment, **_: Any) -> None:
    if session.child is not None:
        session.child.stop()


@events.quitting.add_listener
def quitting(environment: Environment, **_: Any) -> None:
    """The tables for the terminal, and the status for CI: 3 when the figures must not be believed."""
    if session.child is not None:
        session.child.stop()
    if isinstance(environment.runner, WorkerRunner) or not session.board.elapsed_s:
        return
    print(session.board.text())
    if environment.process_exit_code is None and session.board.reasons():
        environment.process_exit_code = EXIT_INVALID


# -- the page ----------------------------------------------------------------------------------------------------------


def extend_page(environment: Environment) -> None:
    """Three tabs with tables, refreshed with Locust's own; one download with all of them."""
    web = environment.web_ui
    assert web is not None
    assert web.app is not None
    titles = {key(title): (title, columns) for title, (columns, _) in Board().tables().items()}
    web.template_args["extended_tabs"] = [{"title": title, "key": name} for name, (title, _) in titles.items()]
    web.template_args["extended_tables"] = [
        {"key": name, "structure": [{"key": key(column), "title": column} for column in columns]}
        for name, (_, columns) in titles.items()
    ]
    web.template_args["extended_csv_files"] = [{"href": "/llm.csv", "title": "Download LLM tables CSV"}]

    @web.app.after_request
    def add_tables(response: Response) -> Response:
        if request.path == "/stats/requests" and response.is_json:
            tables = [{"key": key(title), "data": rows} for title, (_, rows) in session.board.tables().items()]
            response.set_data(json.dumps({**response.get_json(), "extended_stats": tables}))
        return response

    @web.app.route("/llm.csv")
    def llm_csv() -> Response:
        text = io.StringIO()
        writer = csv.writer(text)
        for title, (columns, rows) in session.board.tables().items():
            writer.writerow([title, *columns[1:]])
            writer.writerows([row[key(column)] for column in columns] for row in rows)
        disposition = f"attachment; filename=llm-{time.strftime('%Y%m%d-%H%M%S')}.csv"
        return Response(text.getvalue(), mimetype="text/csv", headers={"content-disposition": disposition})
