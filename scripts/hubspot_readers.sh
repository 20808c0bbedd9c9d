#!/usr/bin/env bash
# Installs programs that read HubSpot and that nobody here wrote, each into an environment of its own under .cache/readers, where
# the tests look for them: the vendor's Node client, the Singer tap of Meltano, and the HubSpot source of dlt. Safe to repeat: a stamp
# holds what was installed. Needs npm for the first and Python 3.11 or newer for the others; what is missing is skipped by the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
pins="$PWD/tests/support/hubspot_readers"
mkdir -p .cache/readers

installed() { [ "$(cat ".cache/readers/$1/.stamp" 2>/dev/null)" = "$(cksum <"$2")" ]; }
done_with() { cksum <"$2" >".cache/readers/$1/.stamp"; }

if command -v npm >/dev/null && ! installed node "$pins/package.json"; then
  rm -rf .cache/readers/node && mkdir .cache/readers/node
  cp "$pins/package.json" .cache/readers/node/
  (cd .cache/readers/node && npm install --silent --no-audit --no-fund --no-package-lock)
  done_with node "$pins/package.json"
fi
for reader in meltano dlt; do
  installed "$reader" "$pins/$reader.txt" && continue
  "${PYTHON:-python3}" -m venv --clear ".cache/readers/$reader"
  ".cache/readers/$reader/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$pins/$reader.txt" \
    2> >(grep -v '^WARNING: Location' >&2 || true)
  done_with "$reader" "$pins/$reader.txt"
done
