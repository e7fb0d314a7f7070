"""`penstock serve`: the gateway, until it is told to stop."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.ending import end

if TYPE_CHECKING:
    from gateway.serve import Opened
    from gateway.settings import Loaded, Problem


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(serve)


def quickstart() -> pathlib.Path:
    """The configuration that runs when none is given: of the checkout, or packaged with the wheel."""
    here = pathlib.Path(__file__).resolve().parent.parent
    packaged = here / "quickstart.yaml"
    return packaged if packaged.exists() else here.parent / "configs" / "quickstart.yaml"


def serve(
    config: Annotated[
        pathlib.Path | None, typer.Option("--config", "-c", help="configuration file; without one, a simulated model")
    ] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on, in place of server.host")] = None,
    port: Annotated[
        int | None, typer.Option(help="port to listen on, in place of server.port; 0 takes a free one")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes, in place of server.workers")] = None,
    vllm: Annotated[
        str | None, typer.Option(help="launch a local vLLM with this model behind the gateway; needs no file")
    ] = None,
    vllm_python: Annotated[
        str | None, typer.Option(help="with --vllm: the Python of the environment that vLLM is installed in")
    ] = None,
) -> None:
    """Serve the gateway until SIGTERM or Ctrl-C."""
    from gateway.telemetry import logs

    logs.start()

    from gateway.control.configuration.reading import in_child
    from gateway.control.configuration.source import Source
    from gateway.serve import StartFailed, run
    from gateway.settings import ConfigError, format_problems

    if vllm is not None and config is not None:
        end("give --config or --vllm, not both: a configuration names its own engines", 2)
    server = {"host": host, "port": port, "workers": workers}
    overrides = {key: value for key, value in server.items() if value is not None}
    if vllm is not None:
        source = Source(None, vllm_config(vllm, vllm_python), server=overrides)
    else:
        source = Source(config or quickstart(), server=overrides, reading=in_child)
    try:
        begun = source.begin()
        _configure_logging(begun.loaded)
        run(source, begun=begun, started=_greet, wait_for_engines=config is None)
    except ConfigError as error:
        end(mistaken(error.problems, overrides) or format_problems(error), 2)
    except (StartFailed, OSError, ValueError) as error:
        end(f"penstock: {error}", 1)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def mistaken(problems: Sequence[Problem], overrides: Mapping[str, object]) -> str:
    """What the command line itself got wrong, one sentence each: no file says it."""
    said = {f"server.{key}": (f"--{key}", value) for key, value in overrides.items()}
    told = [
        f"penstock serve: {said[problem.path][0]} {said[problem.path][1]} {problem.message}: {problem.hint}"
        for problem in problems
        if problem.path in said
    ]
    if "host" in overrides and any(problem.path == "auth.keys" for problem in problems):
        told.append(
            f"penstock serve: --host {overrides['host']} opens the gateway to other machines, and it has no keys: give "
            "--config FILE with `auth.keys` (penstock new-key NAME makes one), or with `auth: {open: true}` to let "
            "anyone in"
        )
    return "\n".join(told)


def vllm_config(model: str, python: str | None) -> str:
    """The configuration behind `--vllm MODEL`: one launched vLLM, served under the model's own name and as `chat`."""
    import json

    launch: dict[str, object] = {"model": model}
    if python is not None:
        launch["python"] = python
    name = pathlib.PurePath(model).name if model.startswith((".", "/", "~")) else model
    targets = [{"engine": "vllm", "model": name}]
    # JSON is YAML, and cannot be misread.
    return json.dumps(
        {
            "engines": {"vllm": {"kind": "vllm", "launch": launch}},
            "models": {name: {"targets": targets}, "chat": {"targets": targets}},
        }
    )


def _greet(opening: Opened) -> None:
    """What a newcomer sees. Where nobody reads along, the log has it: what reads logs reads nothing else."""
    import structlog

    from gateway.cli.screen import curl, screen
    from gateway.telemetry import logs
    from gateway.telemetry.terminal import takes_colours
    from gateway.version import VERSION

    if logs.readable(opening.settings.telemetry.log_format):
        print(screen(opening, VERSION, colours=takes_colours(2)), file=sys.stderr, flush=True)
        return
    log = structlog.get_logger()
    for found in opening.findings:
        if found.state == "unreachable":
            log.warning("replica_unreachable", engine=found.engine, replica=found.replica, why=found.why)
    log.info("ready", url=opening.url, version=VERSION, models=list(opening.settings.models), curl=curl(opening))


def _configure_logging(loaded: Loaded) -> None:
    import structlog

    from gateway.telemetry import logs

    telemetry = loaded.settings.telemetry
    logs.configure(telemetry.log_level, telemetry.log_format)
    if not logs.readable(telemetry.log_format):  # the first screen has them
        for notice in loaded.notices:
            structlog.get_logger().info("config_notice", notice=notice)
