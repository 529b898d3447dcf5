#!/usr/bin/env bash
# Checks what the Python linters don't see: Dockerfile, compose file, workflows, scripts.
# Needs nothing but Python; the tools go into .cache/lint-tools. No request leaves the machine
# but for pip's, and for `check.sh audit`, which asks for known vulnerabilities. With CI=true a
# tool that is missing is a failure; on a developer's machine it is a warning.
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

# What runs in production, and what builds the image. Strict: a requirement that could not be
# looked up is no requirement without holes. And at least one must have been.
if [ "${1:-}" = audit ]; then
    report=$(mktemp)
    trap 'rm "$report"' EXIT
    "$bin/pip-audit" --strict --require-hashes --disable-pip --format json --output "$report" \
        --requirement requirements/runtime.txt --requirement requirements/build.txt
    .github/scripts/audited.sh <"$report"
    exit
fi

"$bin/python" -m tools.locks "$requirements"
"$bin/hadolint" Dockerfile
stages=$(sed -n 's/^FROM .* AS //p' Dockerfile)
base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | grep --invert-match --line-regexp --fixed-strings "$stages" | sort --unique)
[[ $base =~ ^[a-z]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}$ ]] ||
    { echo "Dockerfile: all stages are to be from one image, with tag and digest; found $base" >&2; exit 1; }
"$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec docker-compose*.yml
"$bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$bin/check-jsonschema" --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
"$bin/actionlint"
"$bin/zizmor" --offline --quiet --no-progress .github
installed() { # tool, where from
    command -v "$1" >/dev/null && return
    echo "${CI:+::error::}$1 is not installed ($2): what it checks was not checked" >&2
    [ "${CI:-}" != true ] || exit 1
    return 1
}
if installed promtool "Debian's package prometheus"; then
    promtool check config docker/observability/prometheus.yml
    promtool test rules docker/observability/alerts.test.yml
fi
if installed shellcheck "Debian's package shellcheck"; then
    shellcheck .github/check.sh .github/scripts/*.sh tests/container/*.sh examples/curl/tour.sh terraform/check.sh
fi
.github/scripts/test.sh
echo "Dockerfile, compose file, workflows: nothing found"
