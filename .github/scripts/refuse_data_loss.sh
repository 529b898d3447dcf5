#!/usr/bin/env bash
# refuse_data_loss.sh < plan.json: fail where a plan deletes or replaces what holds users'
# data, or what stored URLs and tokens lead to, drops an index, or stops versioning. Such a
# change is made by hand, or not at all.
set -euo pipefail

plan=$(cat)

# No plan is no promise: what should have written it has failed.
if [ "$(jq 'has("format_version") and has("planned_values")' <<<"$plan")" != true ]; then
    echo "::error::There is no plan to look at"
    exit 1
fi

lost=$(jq -r '
    def indexes: [.global_secondary_index[]?.name];
    .resource_changes[]?
    | select(
        (.type | IN("aws_dynamodb_table", "aws_s3_bucket", "aws_cloudfront_distribution",
            "aws_cognito_user_pool", "aws_ecr_repository", "aws_route53_zone"))
        and (.change.actions | index("delete"))
        or .type == "aws_dynamodb_table"
        and ((.change.before // {} | indexes) - (.change.after // {} | indexes) != [])
        or .type == "aws_s3_bucket_versioning"
        and .change.before != null
        and .change.after.versioning_configuration[0].status != "Enabled")
    | .address' <<<"$plan")

if [ -n "$lost" ]; then
    echo "::error::The plan would delete, replace or weaken: ${lost//$'\n'/, }"
    exit 1
fi
