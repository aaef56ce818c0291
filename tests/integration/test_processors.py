"""Two kinds of processors: the demo as this machine computes, and with the oldest kernels that its libraries have."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_app.tables import read_table

# OpenBLAS' kernels of 2008, and numpy's loops without AVX
OLD = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"}
# Documented in docs/usage.md
AGREE = 1e-8


def start(out: Path, **environment: str) -> subprocess.Popen[bytes]:
    log = out.with_suffix(".log").open("wb")
    command = [sys.executable, "-m", "bids_app.cli.demo", str(out)]
    return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernels of another processor are for x86-64 only")
def test_what_is_written_does_not_hang_on_the_processor(tmp_path):
    outs = tmp_path / "here", tmp_path / "old"
    runs = start(outs[0]), start(outs[1], **OLD)
    assert [run.wait() for run in runs] == [0, 0], outs[1].with_suffix(".log").read_text()
    one, other = (out / "derivatives/normvol" for out in outs)
    names = sorted(path.relative_to(one) for path in one.rglob("*.tsv") if not {"log", "logs"} & set(path.parts))
    assert len(names) > 100
    assert names == sorted(
        path.relative_to(other) for path in other.rglob("*.tsv") if not {"log", "logs"} & set(path.parts)
    )
    for name in names:
        first, second = read_table(one / name), read_table(other / name)
        numbers = first.select_dtypes("number").columns
        assert first.drop(columns=numbers).equals(second.drop(columns=numbers)), name
        # What is a rounding error of zero has no digits to agree in
        np.testing.assert_allclose(second[numbers], first[numbers], rtol=AGREE, atol=1e-12, err_msg=str(name))
