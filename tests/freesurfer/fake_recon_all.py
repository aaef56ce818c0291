#!/usr/bin/env python3
"""An executable that honours recon-all's contract in a second: arguments, tree, logs, markers, exit codes.

What it accepts and refuses goes by version as FreeSurfer's own scripts do: 6.0.0, 7.1.0 to 7.4.1, 8.0.0 and 8.1.0.

Told by the environment: ``FAKE_RECON_FAIL``, ``FAKE_RECON_KILL``, ``FAKE_RECON_HANG`` name the step (one of `STEPS`)
at which it fails with an error, kills itself, or sleeps; ``FAKE_RECON_SILENT`` makes it end well without statistics;
``FAKE_RECON_VERSION`` is its FreeSurfer version. Statistics are synthetic (`bids_app.freesurfer.synthetic`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

TEMPLATE = "template-subject"
# What SynthSeg has no label for, as in aseg.stats; the rows are there, with 0
LACKS = {30, 31, 62, 63, 72, 77, 80, 85}
STEPS = ("MotionCor", "Talairach", "SkullStripping", "CA_Reg", "Surfaces", "ASegStats")
_WITH_VALUE = {
    "-s": "subject",
    "-subjid": "subject",
    "-sd": "subjects_dir",
    "-openmp": "openmp",
    "-base": "base",
    "-T2": "t2",
    "-FLAIR": "flair",
    "-expert": "expert",
    "-hemi": "hemi",
}
_FLAGS = {
    "-all",
    "-parallel",
    "-cm",
    "-3T",
    "-T2pial",
    "-FLAIRpial",
    "-hires",
    "-notal-check",
    "-cw256",
    "-no-isrunning",
    "-dontrun",
}
# Flags that only some versions know, and the first of these
_SINCE = {"-synthseg": (7, 3), "-no-synthseg": (7, 3), "-synthstrip": (8, 0), "-synthmorph": (8, 0), "-threads": (7, 1)}


def install(home: Path, *, licensed: bool = True, **settings: str) -> dict[str, str]:
    """Make a FREESURFER_HOME with this program as recon-all; returns the environment to run it in."""
    from bids_app.freesurfer.synthetic import write_subject

    (home / "bin").mkdir(parents=True)
    (home / "subjects" / "fsaverage").mkdir(parents=True)
    version = settings.get("FAKE_RECON_VERSION", "7.4.1")
    (home / "build-stamp.txt").write_text(f"freesurfer-linux-fake_x86_64-{version}-20230613-fake\n")
    program = home / "bin" / "recon-all"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
    program.chmod(0o755)
    if licensed:
        (home / "license.txt").write_text("somebody@example.org\n1\n *x\n Fx\n")
    if not settings.get("FAKE_RECON_WITHOUT_UPTIME"):
        (home / "bin" / "uptime").write_text("#!/bin/sh\necho up\n")
        (home / "bin" / "uptime").chmod(0o755)
    write_subject(home / TEMPLATE, {}, etiv=1.5e6, fs_version=version)
    return {"PATH": f"{home / 'bin'}:/usr/bin:/bin", "FREESURFER_HOME": str(home)} | settings


def parse(words: list[str]) -> dict:
    """Arguments as a dict; exits 1 on an unknown one, as recon-all does."""
    found: dict = {"images": [], "time_points": [], "long": None, "flags": []}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "-i":
            found["images"].append(rest.pop(0))
        elif word == "-tp":
            found["time_points"].append(rest.pop(0))
        elif word == "-long":
            found["long"] = (rest.pop(0), rest.pop(0))
        elif word in _WITH_VALUE:
            found[_WITH_VALUE[word]] = rest.pop(0)
        elif word in _FLAGS or numbers(os.environ.get("FAKE_RECON_VERSION", "7.4.1")) >= _SINCE.get(word, (99,)):
            found["flags"].append(word)
        else:
            stop(f"ERROR: Flag {word} unrecognized.")
    return found


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))


def stop(message: str) -> None:
    print(message)
    raise SystemExit(1)


def subject_of(given: dict) -> str:
    if given["long"]:
        return ".long.".join(given["long"])
    return given.get("base") or given.get("subject") or stop("ERROR: must specify a subject id")


def check_licence() -> None:
    if not Path(os.environ.get("FS_LICENSE", "/nowhere")).is_file():
        print("ERROR: FreeSurfer license file not found.")
        raise SystemExit(255)


def check_inputs(given: dict, folder: Path, root: Path) -> None:
    """What recon-all refuses before it starts."""
    started = (folder / "mri" / "orig" / "001.mgz").exists()
    if given["images"] and started:
        stop("ERROR: You are trying to re-run an existing subject with (possibly)\n new input data (-i).")
    if given.get("subject") and not given["images"] and not started:
        stop(f"ERROR: cannot find {folder}")
    needed = [root / name for name in given["time_points"]] + [root / name for name in given["long"] or ()]
    for tree in needed:
        if not (tree / "scripts" / "recon-all.done").exists():
            stop(f"ERROR: {tree} is not a finished subject")
    if list((folder / "scripts").glob("IsRunning*")) and "-no-isrunning" not in given["flags"]:
        stop("ERROR: it appears that recon-all is already running")


class Run:
    """One running recon-all."""

    def __init__(self, subject: str, folder: Path, words: list[str]) -> None:
        self.subject, self.folder, self.words = subject, folder, words
        self.scripts = folder / "scripts"
        for name in ("scripts", "mri/orig", "stats", "surf", "label", "touch"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def log(self, name: str, text: str) -> None:
        with open(self.scripts / name, "a") as stream:
            stream.write(text + "\n")

    def start(self) -> None:
        for name in ("recon-all.error", "recon-all.done"):
            (self.scripts / name).unlink(missing_ok=True)
        stamp = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())
        (self.scripts / "IsRunning.lh+rh").write_text(
            f"------------------------------\nSUBJECT {self.subject}\nHEMI    lh rh\nDATE {stamp}\nUSER nobody\n"
            f"HOST {socket.gethostname()}\nPROCESSID {os.getpid()}\n"
        )
        self.log("recon-all.cmd", "recon-all " + " ".join(self.words))
        self.log("recon-all.log", "New invocation of recon-all " + stamp)
        self.log("recon-all-status.log", "status file for recon-all\n" + stamp)

    def step(self, name: str) -> None:
        stamp = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())
        self.log("recon-all-status.log", f"#@# {name} {stamp}")
        print(f"#@# {name}", flush=True)
        if os.environ.get("FAKE_RECON_FAIL") == name:
            self.fail(name)
        if os.environ.get("FAKE_RECON_KILL") == name:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("FAKE_RECON_HANG") == name:
            time.sleep(120)

    def fail(self, name: str) -> None:
        stamp = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())
        (self.scripts / "recon-all.error").write_text(
            f"------------------------------\nSUBJECT {self.subject}\nDATE {stamp}\nCMD mri_{name.lower()} --fake\n"
        )
        (self.scripts / "recon-all.done").write_text("1\n")
        self.log("recon-all-status.log", f"recon-all -s {self.subject} exited with ERRORS at {stamp}")
        (self.scripts / "IsRunning.lh+rh").unlink(missing_ok=True)
        stop(f"recon-all -s {self.subject} exited with ERRORS at {stamp}")

    def finish(self) -> None:
        (self.scripts / "IsRunning.lh+rh").unlink(missing_ok=True)


def before_anything(words: list[str], major: int) -> list[str]:
    """What the scripts do before they read their words, as FreeSurfer's csh does it."""
    if any("-help" in word for word in words):
        print("USAGE: recon-all")
        raise SystemExit(1)
    if any("-version" in word for word in words):
        print("freesurfer-linux-fake")
        raise SystemExit(0)
    blanks = [word for word in words if " " in word]
    if any(word.startswith("-") for word in blanks):
        if major < 8:
            raise SystemExit(0)  # nothing is done
        return [part for word in words for part in word.split()]
    if blanks and major >= 7:
        stop("pushd: Too many arguments.")
    if major >= 7 and not on_path("recon-all"):
        stop("rca-config: Command not found.")
    if major >= 8 and "FREESURFER" not in os.environ:
        stop("FREESURFER: Undefined variable.")
    if synthseg(words, major) and (os.environ.get("FAKE_RECON_WITHOUT_UPTIME") or not on_path("uptime")):
        stop("uptime: Command not found.")
    return words


def on_path(program: str) -> bool:
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in os.environ["PATH"].split(":"))


def synthseg(words: list[str], major: int) -> bool:
    """Whether SynthSeg segments: the last option that tells, else the version's default."""
    told = [word for word in words if word in ("-synthseg", "-no-synthseg")]
    if told:
        return told[-1] == "-synthseg"
    return major >= 8 and os.environ.get("FS_V8_XOPTS") != "0"


def refuse_by_version(given: dict, folder: Path, major: int) -> None:
    """What only some versions refuse."""
    if given.get("base") and major >= 7 and folder.exists() and not (folder / "base-tps").exists():
        stop(f"ERROR: existing regular (cross sectional) run in {folder}")


def dimensions(image: str) -> bytes:
    """The bytes of a NIfTI header that hold dimensions; of other files nothing."""
    import gzip

    content = Path(image).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return content[40:56] if len(content) >= 348 else b""


def take_inputs(run: Run, given: dict, root: Path, version: str) -> None:
    """Convert the images and compare them, and note whose time points these are."""
    major = numbers(version)[0]
    for number, image in enumerate(given["images"], start=1):
        if not Path(image).is_file():
            run.fail("convert")
        (run.folder / "mri" / "orig" / f"{number:03d}.mgz").write_bytes(b"fake")
    if len({dimensions(image) for image in given["images"]}) > 1 and major >= 7:
        print("ERROR: inputs have mismatched dimensions!")
        run.fail("convert")
    if synthseg(run.words, major) and "-synthseg" not in run.words:
        run.log("recon-all.log", "added -synthstrip -synthseg -synthmorph")
    if given.get("base"):
        (run.folder / "base-tps").write_text("\n".join(given["time_points"]) + "\n")
    if given["long"] and major >= 7:
        (run.scripts / "long.base-tps").write_bytes((root / given["long"][1] / "base-tps").read_bytes())
    for key, name in (("t2", "T2raw.mgz"), ("flair", "FLAIRraw.mgz")):
        if key in given:
            (run.folder / "mri" / "orig" / name).write_bytes(b"fake")


def do_steps(run: Run, given: dict, major: int) -> None:
    """Every step with its trace in the logs."""
    for name in STEPS:
        run.step(name)
        if name == "MotionCor":
            for image in ("rawavg.mgz", "orig.mgz"):
                (run.folder / "mri" / image).write_bytes(b"fake")
        if name == "Surfaces" and not given["long"] and {"-T2pial", "-FLAIRpial"} & set(given["flags"]):
            run.step("Refine Pial Surfs w/ T2/FLAIR")
            image = "T2raw" if "-T2pial" in given["flags"] else "FLAIRraw"
            run.log("recon-all.cmd", f"bbregister --mov {run.folder}/mri/orig/{image}.mgz")
        if name == "Surfaces" and given["long"] and "-parallel" in given["flags"] and major >= 7:
            print("ERROR: fs_time: no commands in the list")
            run.fail("sphere")


def main(words: list[str]) -> int:
    version = os.environ.get("FAKE_RECON_VERSION", "7.4.1")
    major = int(version.split(".")[0])
    words = before_anything(words, major)
    given = parse(words)
    root = Path(given.get("subjects_dir") or os.environ["SUBJECTS_DIR"])
    subject = subject_of(given)
    check_licence()
    refuse_by_version(given, root / subject, major)
    check_inputs(given, root / subject, root)
    if "-dontrun" in given["flags"]:
        print("\n".join(f"#@# {name}" for name in STEPS))
        return 0
    run = Run(subject, root / subject, words)
    run.start()
    take_inputs(run, given, root, version)
    do_steps(run, given, major)
    if not os.environ.get("FAKE_RECON_SILENT"):
        write_results(run, given, without_labels=synthseg(words, major))
    run.finish()
    print(f"recon-all -s {subject} finished without error")
    return 0


def write_results(run: Run, given: dict, *, without_labels: bool) -> None:
    """Copy the template's statistics under the subject's name."""
    template = Path(os.environ["FREESURFER_HOME"]) / TEMPLATE
    other = {"lh": "rh.", "rh": "lh."}.get(given.get("hemi", ""), "\0")
    for source in [path for path in template.rglob("*") if path.is_file() and not path.name.startswith(other)]:
        lines = source.read_text().replace(TEMPLATE, run.subject).splitlines(keepends=True)
        if given["long"]:
            lines = [line for line in lines if "SurfaceHoles" not in line]
        if without_labels and source.name == "aseg.stats":
            lines = [without_volume(line) for line in lines]
        target = run.folder / source.relative_to(template)
        if target.name == "recon-all-status.log":
            run.log(target.name, lines[-1].rstrip())
        else:
            target.write_text("".join(lines))
    if given["long"]:
        (run.scripts / "long.base").write_text(given["long"][1] + "\n")
    if given.get("base"):
        (run.folder / "base-tps").write_text("\n".join(given["time_points"]) + "\n")


def without_volume(line: str) -> str:
    """A row of ``aseg.stats`` with nothing in it, when SynthSeg does not have the label."""
    words = line.split()
    if line.startswith("#") or len(words) < 5 or int(words[1]) not in LACKS:
        return line
    return " ".join([words[0], words[1], "0", "0.0", words[4], *["0.0"] * (len(words) - 5)]) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
