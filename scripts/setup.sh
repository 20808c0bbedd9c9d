#!/usr/bin/env bash
# Makes .venv hold exactly what pyproject.toml and constraints.txt say, for the extras named as arguments.
# Safe to repeat: a stamp holds what was installed, so a second call does nothing. An environment that was made by another
# Python, moved, or left half-made is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

extras="${1:-}"
pick_python() {
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  echo "revetl needs Python 3.11, 3.12 or 3.13 on the PATH (or make PYTHON=/path/to/python3.11)" >&2; exit 2
}
python="$(pick_python)"
wanted="$("$python" - "$extras" <<'PY'
import hashlib, pathlib, sys
h = hashlib.sha256(sys.version.encode())
for name in ("pyproject.toml", "constraints.txt"):
    h.update(pathlib.Path(name).read_bytes())
h.update(str(pathlib.Path.cwd()).encode())  # a moved environment has scripts that point nowhere
print(h.hexdigest()[:16])
PY
)"
stamp=".venv/.revetl-stamp"
have="$(cat "$stamp" 2>/dev/null || true)"
if [ "${have%% *}" = "$wanted" ] && .venv/bin/python -c 'import revetl' 2>/dev/null; then
  missing=no
  for e in ${extras//,/ }; do case " ${have#* } " in *" $e "*) ;; *) missing=yes ;; esac; done
  [ "$missing" = no ] && exit 0
  extras="$(printf '%s\n' ${have#* } ${extras//,/ } | grep -v '^-$' | sort -u | paste -sd, -)"
else
  echo "setting up .venv with $("$python" --version) (once; about a minute)" >&2
  "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}" \
  2> >(grep -v '^WARNING: Location' >&2 || true)
echo "$wanted - ${extras//,/ }" > "$stamp"
