"""Run a graph: plugin, nipype settings, progress callback, crash files without host or user names."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nipype import config as nipype_config
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins

from bids_app.errors import NormvolError, SchedulerError, UsageError
from bids_app.interfaces.base import HANDED_OVER
from bids_app.processes import WORKER_KILLED, temporary_folder
from bids_app.run.config import RunConfig
from bids_app.tables import read_yaml
from bids_app.workflows.plugin import PatientMultiProc

# A cluster's scheduler is asked rarely, nipype's pools on this machine often; ours waits and does not poll.
POLL_SECONDS = {"PatientMultiProc": 0, "MultiProcPlugin": 0.01, "LegacyMultiProcPlugin": 0.01}
CLUSTER_POLL_SECONDS = 2
MOST_ASKED = 10_000


@dataclass(frozen=True)
class Crash:
    """One node that failed: its full name, what is wrong and what to do, the whole traceback.

    `expected` errors are those that a user may see (`errors.NormvolError`); anything else is a bug or a loss.
    `unfit` ones say that a scan cannot be scored, whoever tries (`errors.CovariateError`).
    """

    node: str
    reason: str
    remedy: str
    expected: bool
    text: str
    unfit: bool = False


def run_graph(
    graph: pe.Workflow,
    config: RunConfig,
    on_status: Callable[[Any, str], None] | None = None,
    nprocs: int | None = None,
    here: bool = False,
) -> list[Crash]:
    """Run `graph` to its end and return the nodes that failed (empty when all went well).

    With `here` nodes run one after the other in this process.
    `on_status(node, event)` is called with ``start``, ``end`` or ``exception``.
    Nodes that do not depend on a failed one run all the same, unless ``stop_on_first_crash``.
    """
    crash_dir = temporary_folder("normvol-crash-")
    _quiet(config.verbose)
    if config.resource_monitor:
        nipype_config.enable_resource_monitor()
    failure: Exception | None = None
    try:
        # Workers and monitors of nipype leave files where they are started: not in the user's folder.
        with contextlib.chdir(crash_dir):
            linear = plugins.LinearPlugin({"status_callback": on_status} if on_status else {})
            try:
                plugin = linear if here else _plugin(config, nprocs or config.nprocs, on_status)
                graph.config["execution"] = _execution_settings(config, crash_dir, type(plugin).__name__)
                graph.run(plugin=plugin)
            except Exception as error:  # nipype raises whatever the first failed node raised
                failure = error
        crashes = _collect(crash_dir)
    finally:
        shutil.rmtree(crash_dir, ignore_errors=True)
    if failure is not None and not crashes:
        if config.nipype_plugin_file is None or here or isinstance(failure, NormvolError):
            raise failure
        raise SchedulerError(
            f"the plugin of {config.nipype_plugin_file} did not run the graph ({type(failure).__name__}: {failure})",
            "see that its jobs can be submitted from here, and its plugin_args",
        ) from failure
    return crashes


def _execution_settings(config: RunConfig, crash_dir: Path, plugin: str) -> dict[str, Any]:
    return {
        "poll_sleep_duration": POLL_SECONDS.get(plugin, CLUSTER_POLL_SECONDS),
        "stop_on_first_crash": config.stop_on_first_crash,
        "crashdump_dir": str(crash_dir),
        "crashfile_format": "txt",
        "check_version": False,
        "hash_method": "content",
        "create_report": False,
    }


def _plugin(config: RunConfig, nprocs: int, on_status: Callable[[Any, str], None] | None) -> Any:
    arguments: dict[str, Any] = {"status_callback": on_status} if on_status else {}
    name, given = "MultiProc", {}
    if config.nipype_plugin_file is not None:
        name, given = plugin_settings(config.nipype_plugin_file)
    if name == "MultiProc":
        memory = (config.mem_mb or 4096) / 1024
        return PatientMultiProc(
            {**arguments, "n_procs": nprocs, "memory_gb": memory, **given, "raise_insufficient": False}
        )
    return getattr(plugins, f"{name}Plugin")(plugin_args={**arguments, **given, "raise_insufficient": False})


def plugin_settings(path: Path) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the nipype plugin that the file asks for.

    Raises
    ------
    UsageError
        When it cannot be read, has another form, or nipype has no such plugin.
    """
    settings = read_yaml(path, "nipype plugin file")
    settings = settings if isinstance(settings, dict) else {}
    name, arguments = settings.get("plugin"), settings.get("plugin_args") or {}
    strange = [key for key in settings if key not in ("plugin", "plugin_args")]
    strange += [key for key in arguments if not isinstance(key, str)] if isinstance(arguments, dict) else []
    if not isinstance(name, str) or not isinstance(arguments, dict) or strange:
        raise UsageError(
            f"the nipype plugin file {path} must hold 'plugin: NAME' and optionally 'plugin_args:' with "
            f"names and values{f', and nothing like {strange[0]!r}' if strange else ''}"
        )
    if not hasattr(plugins, f"{name}Plugin"):
        raise UsageError(f"nipype has no plugin {name!r} (asked for in {path})", "write for example MultiProc or SLURM")
    for argument, kinds in {"n_procs": (int,), "memory_gb": (int, float)}.items():
        value = arguments.get(argument, 1)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= MOST_ASKED:
            raise UsageError(
                f"{argument} is {str(value)[:40]} in the nipype plugin file {path}, with which nothing could start",
                f"write a number above 0, at most {MOST_ASKED:,}, or leave it out",
            )
    return name, arguments


def _quiet(verbose: int) -> None:
    level = "INFO" if verbose > 1 else "CRITICAL"
    nipype_config.update_config(
        {"logging": {"workflow_level": level, "interface_level": level, "utils_level": level, "log_to_file": "false"}}
    )
    for name in ("nipype.workflow", "nipype.interface", "nipype.utils"):
        logging.getLogger(name).setLevel(level)


def _collect(crash_dir: Path) -> list[Crash]:
    paths = sorted(crash_dir.glob("crash-*.txt"))
    return [_crash(path.read_text(encoding="utf-8", errors="replace")) for path in paths]


def _crash(text: str) -> Crash:
    _, _, body = text.partition("Traceback")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    found = re.search(r"^Node: (\S+)", text, flags=re.MULTILINE)
    node = found[1] if found else "unknown"
    remedy, unfit, handed = "", False, _handed_over(text)
    if handed is not None:
        reason, remedy, unfit = handed
    elif WORKER_KILLED in text:
        reason = WORKER_KILLED
    else:
        last = (errors or lines or ["no message"])[-1]
        reason = f"unexpected error in {node.rsplit('.', 1)[-1]}: {last}"
    # Without a traceback everything after the node's inputs is all there is
    body = "\n".join(line for line in body.splitlines() if not line.strip().startswith(HANDED_OVER))
    kept = "Traceback" + body if body else "\n".join(errors) or reason
    return Crash(node, reason, remedy, handed is not None, f"Node: {node}\n\n{kept.rstrip()}\n", unfit)


def _handed_over(text: str) -> tuple[str, str, bool] | None:
    """Reason, remedy and whether the scan is unfit, of an error of ours that `interfaces.base` handed over."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith(HANDED_OVER)]
    if not lines:
        return None
    fields = json.loads(lines[-1].removeprefix(HANDED_OVER))
    return fields["reason"], fields["remedy"], bool(fields.get("unfit"))
