#!/bin/bash
# Last steps on the image's environment: tests of packages go, the licences are listed, and a short run of both levels
# shows that it works and leaves byte code of what it imported.
set -euo pipefail
venv=$1
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# h5py and numba import their tests.
find "$site" -type d \( -name tests -o -name test \) ! -path "$site/h5py/*" ! -path "$site/numba/*" -prune -exec rm -rf {} +
# Remote stores and Flight of Arrow (nothing is fetched at run time), example data.
rm -rf "$site"/pyarrow/{include,*flight*,libarrow_s3*,_s3fs*} "$site"/pip "$site"/pip-*.dist-info "$site"/traits/examples "$site"/nipype/testing/data
find "$site/statsmodels/datasets" -name '*.csv' -delete
"$venv/bin/python" -B - > "$venv/licences.tsv" <<'PYTHON'
from importlib.metadata import distributions

print("package", "version", "licence", sep="\t")
for package in sorted(distributions(), key=lambda each: each.name.lower()):
    said = package.metadata
    kinds = [kind.rpartition("::")[2].strip() for kind in said.get_all("Classifier", []) if kind.startswith("License")]
    licence = said.get("License-Expression") or ", ".join(kinds) or (said.get("License") or "?").splitlines()[0]
    print(package.name, package.version, licence, sep="\t")
PYTHON
export PATH=$venv/bin:$PATH OMP_NUM_THREADS=1 NO_ET=1 TEMPLATEFLOW_AUTOUPDATE=off
demo=$(mktemp -d)
normvol-demo "$demo/study" --data-only
normvol "$demo/study/bids" "$demo/out" participant --participant-label 07 08 --nprocs 1 -q
normvol "$demo/study/bids" "$demo/out" group --nprocs 1 -q || [ $? = 4 ]
normvol-model list > /dev/null
normvol-status "$demo/out" > /dev/null || [ $? = 4 ]
if [ -d "$site/pcntoolkit" ]; then python -B -c 'import pcntoolkit'; fi
rm -rf "$demo"
