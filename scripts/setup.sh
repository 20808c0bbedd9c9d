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
# Two marks: which Python made the environment and where (another one means: anew), and what was to be installed.
made_by="$("$python" -c 'import hashlib, os, sys; print(hashlib.sha256((sys.version + os.getcwd()).encode()).hexdigest()[:16])')"
files="$("$python" -c 'import hashlib, pathlib; print(hashlib.sha256(b"".join(pathlib.Path(n).read_bytes() for n in ("pyproject.toml", "constraints.txt"))).hexdigest()[:16])')"
stamp=".venv/.revetl-stamp"
read -r had_made_by had_files had_extras < <(cat "$stamp" 2>/dev/null; echo) || true
works() { .venv/bin/python -c 'import revetl, pip' 2>/dev/null; }

if [ "${had_made_by:-}" = "$made_by" ] && works; then
  # Extras that were asked for before stay: `make demo` after `make test` takes nothing away.
  extras="$(printf '%s\n' ${extras//,/ } ${had_extras//,/ } | sort -u | paste -sd, -)"
  [ "$had_files" = "$files" ] && [ "$extras" = "${had_extras:-}" ] && exit 0
else
  echo "setting up .venv with $("$python" --version) (once; about a minute)" >&2
  "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}" \
  2> >(grep -v '^WARNING: Location' >&2 || true)
echo "$made_by $files $extras" > "$stamp"
