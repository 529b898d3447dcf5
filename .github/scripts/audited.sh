#!/usr/bin/env bash
# audited.sh < report.json: fail where pip-audit has looked nothing up, or left something out. An
# audit of nothing finds nothing.
set -euo pipefail

report=$(cat)
looked_up=$(jq '[.dependencies[]? | select(has("vulns"))] | length' <<<"$report")
left_out=$(jq --raw-output '[.dependencies[]? | select(has("skip_reason")) | .name] | join(", ")' <<<"$report")

if [ "${looked_up:-0}" = 0 ] || [ -n "$left_out" ]; then
    echo "::error::${looked_up:-0} requirements were looked up; left out: ${left_out:-all of them}" >&2
    exit 1
fi
echo "Audited: $looked_up requirements"
