#!/usr/bin/env bash
# refuse_data_loss.sh < plan.json: fail where a plan deletes or replaces what holds users'
# data, or what stored URLs and tokens lead to. Such a change is made by hand, or not at all.
set -euo pipefail

lost=$(jq -r '
    .resource_changes[]?
    | select(.change.actions | index("delete"))
    | select(.type | IN("aws_dynamodb_table", "aws_s3_bucket", "aws_cloudfront_distribution",
        "aws_cognito_user_pool", "aws_ecr_repository", "aws_route53_zone"))
    | .address')

if [ -n "$lost" ]; then
    echo "::error::The plan would delete or replace: ${lost//$'\n'/, }"
    exit 1
fi
