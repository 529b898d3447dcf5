#!/usr/bin/env bash
# plan.sh STAGE DIGEST [FINGERPRINT]: plan that stage with that image, against the state and not
# against AWS; show the plan in the run's summary; fail where it loses data. Leaves tfplan, and a
# fingerprint of its changes in the step's outputs. With one given, another plan than that fails:
# applied is what was approved. The plan itself is no artifact, since it can hold secrets.
set -euo pipefail

stage=$1 digest=$2 approved=${3:-}
scripts=$(cd "$(dirname "$0")" && pwd)
json=$(mktemp) text=$(mktemp)
trap 'rm "$json" "$text"' EXIT

terraform -chdir=terraform plan -refresh=false -out=tfplan \
    -var-file="environments/$stage.tfvars" -var="image_digest=$digest"
terraform -chdir=terraform show -json tfplan >"$json"
terraform -chdir=terraform show -no-color tfplan >"$text"

{
    echo "### Plan for $stage"
    echo '```'
    head --bytes=900000 "$text" # a summary takes 1 MiB
    echo '```'
} >>"$GITHUB_STEP_SUMMARY"

"$scripts/refuse_data_loss.sh" <"$json"

fingerprint=$(jq --sort-keys --compact-output \
    '[.resource_changes[]? | select(.change.actions != ["no-op"]) | {address, change}]' "$json" |
    sha256sum | cut -d ' ' -f 1)
echo "fingerprint=$fingerprint" | tee -a "$GITHUB_OUTPUT"

if [ -n "$approved" ] && [ "$fingerprint" != "$approved" ]; then
    echo "::error::This is not the plan that was approved: the state has changed since. Run the workflow again"
    exit 1
fi
