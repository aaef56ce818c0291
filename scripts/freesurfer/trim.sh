#!/bin/bash
# Remove from a FreeSurfer what recon-all does not need: every line of removed.txt is a pattern below FREESURFER_HOME.
set -euo pipefail
list=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/removed.txt
cd "$1"
while read -r pattern; do
  # shellcheck disable=SC2086
  rm -rf -- ./$pattern
done < <(grep . "$list")
