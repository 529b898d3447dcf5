#!/usr/bin/env bash
# Checks what the Python linters don't see: Dockerfile, compose file, workflows, scripts.
# Needs nothing but Python; the tools go into .cache/lint-tools. No request leaves the machine
# but for pip's, and for `check.sh audit`, which asks for known vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=.github/lint/requirements.txt
tools=.cache/lint-tools
bin=$tools/bin

if ! cmp --silent "$requirements" "$tools/installed.txt"; then
    "${PYTHON:-python3}" -m venv --clear "$tools"
    "$bin/python" -m pip --disable-pip-version-check --quiet install \
        --require-hashes --only-binary :all: --requirement "$requirements"
    cp "$requirements" "$tools/installed.txt"
fi

if [ "${1:-}" = audit ]; then
    exec "$bin/pip-audit" --require-hashes --disable-pip --requirement requirements/runtime.txt
fi

"$bin/python" -m tools.locks "$requirements"
"$bin/hadolint" Dockerfile
"$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec docker-compose.yml
"$bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$bin/check-jsonschema" --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
"$bin/actionlint"
"$bin/zizmor" --offline --quiet --no-progress .github
if command -v promtool >/dev/null; then # of Debian's package prometheus
    promtool check config docker/observability/prometheus.yml
    promtool test rules docker/observability/alerts.test.yml
else
    echo "WARNING: promtool is not installed; Prometheus' configuration was not checked" >&2
fi
if command -v shellcheck >/dev/null; then
    shellcheck .github/check.sh .github/scripts/*.sh tests/container/*.sh examples/curl/tour.sh terraform/check.sh
else
    echo "WARNING: shellcheck is not installed; shell scripts were not checked" >&2
fi
.github/scripts/test.sh
echo "Dockerfile, compose file, workflows: nothing found"
