"""Write boutiques.json and nipoppy's copy of it from the parser, so that they cannot drift from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bids_app import __version__
from bids_app.cli import exitcodes
from bids_app.cli.parser import build_parser
from bids_app.tables import write_json

FILES_WRITTEN = ("boutiques.json", "platforms/nipoppy/descriptor.json")
IMAGE = f"normvol/normvol:{__version__}"
FILES = {
    "--bids-filter-file",
    "--participants-file",
    "--fs-license-file",
    "--nipype-plugin-file",
    "--config-file",
    "--pool",
}
FOLDERS = {"--fs-subjects-dir"}
NOT_INPUTS = ("help", "version", "print_completion")


def descriptor() -> dict[str, Any]:
    """The Boutiques descriptor (schema 0.5) of ``normvol``."""
    actions = [
        action
        for action in build_parser()._actions
        if action.dest not in NOT_INPUTS and action.help != argparse.SUPPRESS
    ]
    inputs = [_input(action) for action in actions]
    keys = [item["value-key"] for item in inputs]
    position = keys.index("[OUTPUT_DIR]")
    inputs[position]["optional"] = True
    inputs.insert(position + 1, _existing_output(inputs[position]))
    return {
        "name": "normvol",
        "description": "Regional brain volumes from FreeSurfer against a healthy reference by age, sex and "
        "intracranial volume: z-scores, critical deviations, clinical statistics and reports. For research use only.",
        "author": "The normvol developers",
        "tool-version": __version__,
        "schema-version": "0.5",
        "command-line": _command_line(keys),
        "container-image": {"type": "docker", "image": IMAGE, "index": "docker://"},
        "inputs": inputs,
        "groups": [
            {
                "id": "output",
                "name": "output folder",
                "members": ["output_dir", "output_dir_existing"],
                "mutually-exclusive": True,
                "one-is-required": True,
            }
        ],
        "output-files": [{"id": "dataset", "name": "The derivative dataset", "path-template": "[OUTPUT_DIR]"}],
        "error-codes": [{"code": code, "description": meaning} for code, meaning in exitcodes.MEANING.items() if code],
        "suggested-resources": {"cpu-cores": 2, "ram": 4, "walltime-estimate": 3600},
        "tags": {"domain": ["neuroinformatics", "bids", "mri"]},
    }


def _command_line(keys: list[str]) -> str:
    """The command, and behind it, as a comment, the form that Boutiques asks of BIDS-Apps.

    Boutiques fills in one input after the other: an output folder that is not given takes every `` [OUTPUT_DIR]``
    with it before the other one is looked at. Behind ``=`` the key stays.
    """
    command = " ".join(["normvol", *keys])
    form = " ".join(["mkdir -p [OUTPUT_DIR]; normvol", *keys[: keys.index("[SESSION_LABEL]") + 1]])
    return f'out=[OUTPUT_DIR]; mkdir -p "$out"; {command.replace("[OUTPUT_DIR]", chr(34) + "$out" + chr(34))} # {form}'


def _existing_output(output: dict[str, Any]) -> dict[str, Any]:
    """The same option for an output folder that is there already; BIDS-App descriptors list both."""
    return {**output, "id": "output_dir_existing", "name": "existing output dir", "type": "File"}


def _input(action: argparse.Action) -> dict[str, Any]:
    flag = next((option for option in action.option_strings if option.startswith("--")), None)
    content: dict[str, Any] = {
        "id": action.dest,
        "name": (flag or action.dest).lstrip("-").replace("-", " ").replace("_", " ").lower(),
        "description": action.help,
        "type": _type(action, flag),
        "value-key": f"[{action.dest.upper()}]",
        "optional": flag is not None,
    }
    if flag:
        content["command-line-flag"] = flag
    if action.nargs == "+":
        content["list"] = True
    if action.choices:
        content["value-choices"] = list(action.choices)
    if action.type is not None and getattr(action.type, "__name__", "") == "positive":
        content.update({"integer": True, "minimum": 1})
    return content


def _type(action: argparse.Action, flag: str | None) -> str:
    if action.nargs == 0:
        return "Flag"
    if getattr(action.type, "__name__", "") == "positive":
        return "Number"
    if flag in FILES or flag in FOLDERS or action.dest == "bids_dir":
        return "File"
    return "String"


if __name__ == "__main__":
    for name in FILES_WRITTEN:
        write_json(descriptor(), Path(__file__).resolve().parents[1] / name)
