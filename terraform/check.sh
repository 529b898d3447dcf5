#!/bin/sh
# Format, validity, tests for all three stages, and checkov where it is installed.
#
#   terraform/check.sh            everything
#   STAGES=prod terraform/check.sh
#
# The provider comes from the ordinary registry where there is network, else from a
# file-system mirror on this machine: TERRAFORM_MIRROR names one, or it is looked for.
# With neither, it says so and fails.
set -eu
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
die() { printf '\n!! %s\n' "$*" >&2; exit 1; }

command -v terraform >/dev/null || die "terraform is not installed; 1.11 or newer is needed."

# A setting left over from elsewhere: terraform would warn about it at every call.
if [ -n "${TF_CLI_CONFIG_FILE:-}" ] && [ ! -f "$TF_CLI_CONFIG_FILE" ]; then
    unset TF_CLI_CONFIG_FILE
fi
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

# init leaves a lock file with this platform's hashes only; one that is there is kept.
scratch=$(mktemp -d)
[ -f .terraform.lock.hcl ] && had_lock=yes || had_lock=no
clean() {
    rm -rf "$scratch" .tests-dev .tests-staging
    [ "$had_lock" = yes ] || rm -f .terraform.lock.hcl
}
trap clean EXIT
trap 'exit 1' INT TERM

init() { terraform init -backend=false -input=false -no-color "$@" >"$scratch/init" 2>&1; }

# HOST/hashicorp/aws/VERSION/PLATFORM/binary, or HOST/hashicorp/aws/archive: the mirror is
# what holds HOST.
find_mirror() {
    find / \( -path /proc -o -path /sys \) -prune -o \
        -path '*/hashicorp/aws/*' -name 'terraform-provider-aws_*' ! -path '*/.terraform/*' -print 2>/dev/null |
        sed -n 's|/[^/]*/hashicorp/aws/.*||p' | head -n 1
}

say "Provider"
if [ -z "${TERRAFORM_MIRROR:-}" ] && init; then
    echo "from the registry"
else
    mirror=${TERRAFORM_MIRROR:-$(find_mirror)}
    [ -n "$mirror" ] || {
        cat "$scratch/init" >&2
        die "The registry can't be reached, and this machine has no mirror of the AWS provider: NOTHING WAS CHECKED."
    }
    init -plugin-dir="$mirror" || {
        cat "$scratch/init" >&2
        die "The registry can't be reached, and the mirror in $mirror doesn't serve: NOTHING WAS CHECKED."
    }
    echo "no network; from the mirror in $mirror"
fi

say "Format"
terraform fmt -check -recursive -diff || die "Run: terraform fmt -recursive"

say "Validity"
terraform validate -no-color

say "Function at the edge"
command -v node >/dev/null || die "Node is not installed; the function at the edge can't be tested."
node --test tests/pictures.test.mjs >"$scratch/node" 2>&1 || {
    cat "$scratch/node"
    die "The function at the edge fails its tests."
}
grep '^# pass' "$scratch/node" || grep 'pass ' "$scratch/node"

# The tests folder is production's (tests/stage.auto.tfvars leads there). The other stages
# get a copy with their own settings; bad inputs are refused the same way everywhere, and
# what is replaced is planned for a stage of its own.
for stage in ${STAGES:-dev staging prod}; do
    say "Tests: $stage"
    folder=tests
    if [ "$stage" != prod ]; then
        folder=.tests-$stage
        rm -rf "$folder"
        mkdir "$folder"
        cp tests/*.tftest.hcl tests/tests.auto.tfvars "$folder"
        rm "$folder/inputs.tftest.hcl" "$folder/redis_password.tftest.hcl" "$folder/replacements.tftest.hcl"
        ln -s "../environments/$stage.tfvars" "$folder/stage.auto.tfvars"
    fi
    terraform test -no-color -test-directory="$folder" >"$scratch/test" 2>&1 || {
        cat "$scratch/test"
        die "Tests fail for $stage."
    }
    tail -n 1 "$scratch/test"
done

say "checkov"
checkov=${CHECKOV:-$(command -v checkov || true)}
if [ -n "$checkov" ]; then
    "$checkov" --directory . --framework terraform --compact --quiet --skip-download \
        --var-file environments/prod.tfvars >"$scratch/checkov" 2>&1 || {
        cat "$scratch/checkov"
        die "checkov finds faults; a skip needs its reason beside it."
    }
    grep '^Passed checks' "$scratch/checkov"
elif [ "${CI:-}" = true ]; then
    die "checkov is not installed."
else
    echo "not installed (pip install --require-hashes -r .github/lint/checkov.txt); left out"
fi
