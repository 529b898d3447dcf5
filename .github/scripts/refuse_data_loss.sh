#!/usr/bin/env bash
# refuse_data_loss.sh < plan.json: fail where a plan deletes, replaces or weakens what holds
# users' data, what guards it, what stored URLs and tokens lead to, or what serves them. Such a
# change is made by hand, or not at all. test.sh has the cases.
set -euo pipefail

plan=$(cat)

# No plan is no promise: what should have written it has failed.
if [ "$(jq 'has("format_version") and has("planned_values")' <<<"$plan")" != true ]; then
    echo "::error::There is no plan to look at"
    exit 1
fi

lost=$(jq -r '
    def before: .change.before // {};
    def after: .change.after // {};
    def goes: .change.actions | any(. == "delete" or . == "forget");
    # What is not known to be on after it is off.
    def turned_off(value): (before | value) == true and (after | value) != true;
    def turned_on(value): (before | value) != true and (after | value) == true;
    def block(name): .[name][0]? // {};

    def indexes: [.global_secondary_index[]? | {name, hash_key, range_key, projection_type, non_key_attributes}];
    def recovery_days: block("point_in_time_recovery").recovery_period_in_days // 35;
    def pictures: (.filter[0].prefix? // .filter[0].and[0].prefix? // .prefix? // "") | startswith("temp/") | not;
    def rules: [.rule[]? | select(.status == "Enabled" and pictures)];
    def expires: rules | any(.[]; any(.expiration[]?; (.days // 0) > 0 or (.date // "") != ""));
    def archives: rules | any(.[]; any(.transition[]?, .noncurrent_version_transition[]?; .storage_class | IN("GLACIER", "DEEP_ARCHIVE")));
    def kept_days: [rules[].noncurrent_version_expiration[]?.noncurrent_days | numbers] | min // infinite;

    # Type, what happens to it, and when.
    def losses:
        (select(goes and (.type | IN("aws_dynamodb_table", "aws_s3_bucket", "aws_cloudfront_distribution",
            "aws_cloudfront_origin_access_control", "aws_cognito_user_pool", "aws_cognito_user_pool_client",
            "aws_ecr_repository", "aws_ecs_cluster", "aws_ecs_service", "aws_lb", "aws_lb_listener",
            "aws_route53_zone", "aws_s3_bucket_policy", "aws_s3_bucket_public_access_block",
            "aws_s3_bucket_versioning", "aws_vpc"))) | "is deleted or replaced"),
        # These have a successor beside them, or the way in is cut. What is deposed has one.
        (select(goes and (.type | IN("aws_lb_target_group", "aws_cloudfront_vpc_origin"))
            and .change.actions != ["create", "delete"] and .deposed == null) | "is deleted before another is there"),
        (select(goes and .type == "aws_route53_record" and (before.type | IN("A", "AAAA"))) | "is a name that stored URLs have"),

        (select(.type == "aws_dynamodb_table") | (
            (select((before | indexes) - (after | indexes) != []) | "loses or rebuilds an index"),
            (select(turned_off(block("point_in_time_recovery").enabled)) | "loses point-in-time recovery"),
            (select((after | recovery_days) < (before | recovery_days)) | "can be restored for less long"),
            (select(turned_off(block("ttl").enabled)
                or (before | block("ttl").enabled) == true and (before | block("ttl").attribute_name) != (after | block("ttl").attribute_name)) | "loses its TTL"),
            (select(turned_off(.deletion_protection_enabled)) | "loses its protection from deletion"))),

        (select(.type == "aws_s3_bucket" and turned_on(.force_destroy)) | "may be deleted with all it holds"),
        (select(.type == "aws_ecr_repository" and turned_on(.force_delete)) | "may be deleted with all it holds"),
        (select(.type == "aws_lb" and turned_off(.enable_deletion_protection)) | "loses its protection from deletion"),
        (select(.type == "aws_cognito_user_pool" and turned_off(.deletion_protection == "ACTIVE")) | "loses its protection from deletion"),
        (select(.type == "aws_s3_bucket_versioning" and turned_off(block("versioning_configuration").status == "Enabled")) | "stops versioning"),
        (select(.type == "aws_s3_bucket_public_access_block" and (turned_off(.block_public_acls) or turned_off(.block_public_policy)
            or turned_off(.ignore_public_acls) or turned_off(.restrict_public_buckets))) | "opens the bucket"),

        # Access logs are meant to expire.
        (select(.type == "aws_s3_bucket_lifecycle_configuration" and (.address | startswith("module.access_logs.") | not)) | (
            (select(after | expires) | "expires pictures"),
            (select(after | archives) | "archives pictures, which take hours to come back"),
            (select((after | kept_days) < (before | kept_days) and .change.before != null) | "keeps old versions for less long"))),
        (select(.type == "aws_s3_bucket_intelligent_tiering_configuration" and (after | any(.tiering[]?; true))) | "archives pictures, which take hours to come back"),

        (select(.type == "aws_cloudfront_distribution") | (
            (select((before.aliases // []) - (after.aliases // []) != []) | "loses a name that stored URLs have"),
            (select(turned_off(.enabled)) | "is switched off")));

    .resource_changes[]? | .address as $address | losses | "\($address) \(.)"
' <<<"$plan")

if [ -n "$lost" ]; then
    echo "::error::The plan must not be applied: ${lost//$'\n'/; }"
    exit 1
fi
