#!/bin/bash
# Whether a trimmed FreeSurfer can still run recon-all: each program that the script names, or that a script named by it names, must
# be there and start (-version, then --help): no lost library, interpreter or perl module. Also the programs beyond FreeSurfer's own.
set -euo pipefail
home=${FREESURFER_HOME:?}
bad=0
starts() {  # what a program says of itself does not matter, whether the system can load it does
  local said code=0
  said=$(timeout 60 "$1" "$2" 2>&1 </dev/null) || code=$?
  if [ "$code" = 126 ] || [ "$code" = 127 ] || [[ $said == *"error while loading shared libraries"* || $said == *"Can't locate "*"@INC"* ]]; then
    echo "$1 $2: $(tail -n 1 <<<"$said")"
    return 1
  fi
}
queue=("$home/bin/recon-all" "$home/mni/bin/nu_correct" "$home/mni/bin/mritotal")
declare -A seen
while [ "${#queue[@]}" -gt 0 ]; do
  program=${queue[0]}
  queue=("${queue[@]:1}")
  [ -z "${seen[$program]:-}" ] || continue
  seen[$program]=1
  [ "$program" = "$home/bin/recon-all" ] || { starts "$program" -version && starts "$program" --help; } || bad=1
  # Scripts name other programs; compiled ones hold words by chance.
  [ "$(head -c 2 "$program" 2>/dev/null | tr -d '\0')" = '#!' ] || continue
  for name in $(grep -oE '[A-Za-z][A-Za-z0-9_.+-]+' "$program" | sort -u); do
    for place in bin mni/bin; do
      [ -f "$home/$place/$name" ] && [ -x "$home/$place/$name" ] && queue+=("$home/$place/$name")
    done
  done
done
for name in $(grep -oE '^ *(set cmd = \(?|)(mri|mris|mrisp|fs|talairach|vertexvol|tkregister|lta)[A-Za-z0-9_.-]*' "$home/bin/recon-all" \
  | grep -oE '[A-Za-z0-9_.-]+$' | sort -u); do
  command -v "$name" >/dev/null || { echo "$name: recon-all calls it, and it is not here"; bad=1; }
done
for name in tcsh bc gawk perl time uptime ps hostname uname tee nu_correct mritotal; do
  command -v "$name" >/dev/null || { echo "$name is not here"; bad=1; }
done
for folder in average models subjects/fsaverage mni/data; do
  [ -d "$home/$folder" ] || { echo "$home/$folder is not here"; bad=1; }
done
echo "${#seen[@]} programs of FreeSurfer were looked at"
exit "$bad"
