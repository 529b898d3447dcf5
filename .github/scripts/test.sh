#!/usr/bin/env bash
# Tests of the scripts beside it, with tools that answer from a file and note their calls. Needs bash, jq and Python.
set -euo pipefail
cd "$(dirname "$0")"

scratch=$(mktemp --directory)
trap 'rm -r "$scratch"' EXIT
export CALLS=$scratch/calls ANSWERS=$scratch/answers GITHUB_OUTPUT=$scratch/output
export GITHUB_STEP_SUMMARY=$scratch/summary
failures=0

# A line of ANSWERS for each call that succeeds: its first words, ->, what it prints.
mkdir "$scratch/bin"
for tool in aws docker skopeo terraform; do
    cat >"$scratch/bin/$tool" <<'END'
#!/usr/bin/env bash
call="$(basename "$0") $*"
echo "$call" >>"$CALLS"
[[ $call != "docker login"* ]] || cat >/dev/null
while IFS= read -r line; do
    [[ $call != "${line%% -> *}"* ]] || { printf '%s\n' "${line#* -> }"; exit; }
done <"$ANSWERS"
exit 254
END
    chmod +x "$scratch/bin/$tool"
done
export PATH=$scratch/bin:$PATH

fail() { echo "FAILED $*" >&2; failures=$((failures + 1)); }

check() { # what, the exit code that is right, what the output has, command...
    local code=0
    : >"$CALLS"
    "${@:4}" >"$scratch/out" 2>&1 || code=$?
    if [ "$code" != "$2" ] || [[ $(<"$scratch/out") != *"$3"* ]]; then
        fail "$1: exit $code instead of $2; $(tail -n 2 "$scratch/out")"
    fi
}

called() { # what, how often, which call
    [ "$(grep -cF -- "$3" "$CALLS")" = "$2" ] || fail "$1: $(tr '\n' ';' <"$CALLS")"
}

# roll_out.sh
cat >"$ANSWERS" <<'END'
aws ecs update-service -> arn:task:42
aws ecs wait services-stable -> 
aws ecs describe-services -> arn:task:42
END
check "a deployment that holds" 0 "Stable on arn:task:42" ./roll_out.sh cluster service arn:task:42
called "it names the revision" 1 "aws ecs update-service --cluster cluster --service service --task-definition arn:task:42"
check "one that ECS took back" 1 "not arn:task:43" ./roll_out.sh cluster service arn:task:43
sed -i '/^aws ecs wait/d' "$ANSWERS"
check "one that doesn't settle" 254 "" ./roll_out.sh cluster service arn:task:42
called "it is waited for twice" 2 "aws ecs wait"
: >"$ANSWERS"
check "one that is refused" 254 "" ./roll_out.sh cluster service arn:task:42
called "it isn't waited for" 0 "aws ecs wait"

# image.sh push
echo "aws ecr describe-images -> sha256:abc" >"$ANSWERS"
check "an image that is there" 0 "digest=sha256:abc" ./image.sh push registry/name commit archive
called "it isn't pushed again" 0 docker
grep -qx "digest=sha256:abc" "$GITHUB_OUTPUT" || fail "the digest is no output of the step"
cat >"$ANSWERS" <<'END'
aws ecr get-login-password -> secret
docker login -> 
docker load -> 
docker tag -> 
END
check "a push that fails" 254 "" ./image.sh push registry/name commit archive
called "it logs in at the registry" 1 "docker login --username AWS --password-stdin registry"
called "it was tried" 1 "docker push --quiet registry/name:commit"
check "a verb it doesn't know" 1 "push, find, promote or passed" ./image.sh pull

# image.sh find: what may be deployed where
cat >"$ANSWERS" <<'END'
aws ecr describe-images --repository-name image-service-dev --image-ids imageTag=new -> sha256:new
aws ecr describe-images --repository-name image-service-dev --image-ids imageTag=passed-tried -> sha256:tried
aws ecr describe-images --repository-name image-service-staging --image-ids imageTag=onstage -> sha256:onstage
aws ecr describe-images --repository-name image-service-staging --image-ids imageTag=passed-proven -> sha256:proven
END
while read -r stage commit code says; do
    check "$commit on $stage" "$code" "$says" ./image.sh find "$stage" "$commit"
done <<'END'
dev new 0 digest=sha256:new
dev other 1 other has not passed on dev
staging tried 0 digest=sha256:tried
staging new 1 new has not passed on dev
staging proven 1 proven has not passed on dev
prod proven 0 digest=sha256:proven
prod onstage 1 onstage has not passed on staging
prod tried 1 tried has not passed on staging
prod other 1 What was never on staging is not deployed to prod
qa proven 1 There is no stage qa
END

# image.sh promote
login='aws ecr get-login-password -> secret
docker login -> '
printf '%s\n' "$login" "aws ecr describe-images --repository-name image-service-prod -> sha256:abc" >"$ANSWERS"
check "a promotion that was made" 0 "" ./image.sh promote prod registry/image-service-prod commit sha256:abc
called "nothing is copied twice" 0 skopeo
check "another image under the commit" 1 "is sha256:abc, not sha256:def" ./image.sh promote prod registry/image-service-prod commit sha256:def
printf '%s\n' "$login" "skopeo copy -> " >"$ANSWERS"
check "a copy that isn't there afterwards" 254 "" ./image.sh promote prod registry/image-service-prod commit sha256:abc
called "it is copied by digest" 1 "skopeo copy --preserve-digests docker://registry/image-service-staging@sha256:abc docker://registry/image-service-prod:commit"
printf '%s\n' "$login" >"$ANSWERS"
check "a copy that fails" 254 "" ./image.sh promote staging registry/image-service-staging commit sha256:abc
called "it comes from the stage before" 1 "docker://registry/image-service-dev@sha256:abc"

# image.sh passed
cat >"$ANSWERS" <<'END'
aws ecr batch-get-image -> {"manifest": 1}
aws ecr put-image -> done
END
check "an image that passed" 0 "done" ./image.sh passed registry/image-service-dev commit sha256:abc
called "it is marked, by digest" 1 'aws ecr put-image --repository-name image-service-dev --image-tag passed-commit --image-digest sha256:abc --image-manifest {"manifest": 1}'
echo "aws ecr describe-images -> sha256:abc" >"$ANSWERS"
check "one that had passed" 0 "" ./image.sh passed registry/image-service-dev commit sha256:abc
called "it isn't marked again" 0 "put-image"
: >"$ANSWERS"
check "a mark that fails" 254 "" ./image.sh passed registry/image-service-dev commit sha256:abc

# plan.sh
shown() { # the changes, as JSON
    printf '%s\n' "terraform -chdir=terraform plan -> " \
        "terraform -chdir=terraform show -json tfplan -> {\"format_version\": \"1.2\", \"planned_values\": {}, \"resource_changes\": [$1]}" \
        "terraform -chdir=terraform show -no-color -> Plan: 1 to add" >"$ANSWERS"
}
task='{"address": "a.task", "type": "aws_ecs_task_definition", "change": {"actions": ["create"], "after": {"cpu": 1}}}'
quiet='{"address": "b.same", "type": "aws_vpc", "change": {"actions": ["no-op"]}}'
shown "$task, $quiet"
check "a plan" 0 "fingerprint=" ./plan.sh dev sha256:abc
called "it plans the stage with the image" 1 "plan -refresh=false -out=tfplan -var-file=environments/dev.tfvars -var=image_digest=sha256:abc"
grep -q "Plan: 1 to add" "$GITHUB_STEP_SUMMARY" || fail "the plan is not in the summary"
approved=$(sed -n 's/^fingerprint=//p' "$GITHUB_OUTPUT" | tail -n 1)
check "the plan that was approved" 0 "$approved" ./plan.sh dev sha256:abc "$approved"
shown "$task"
check "the same changes beside other things that stay" 0 "$approved" ./plan.sh dev sha256:abc "$approved"
shown "${task/1\}/2\}}"
check "another plan" 1 "not the plan that was approved" ./plan.sh dev sha256:abc "$approved"
shown '{"address": "c.table", "type": "aws_dynamodb_table", "change": {"actions": ["delete"]}}'
check "a plan that loses data" 1 "c.table is deleted" ./plan.sh dev sha256:abc
: >"$ANSWERS"
check "a plan that fails" 254 "" ./plan.sh dev sha256:abc

# refuse_data_loss.sh: the reason it gives (empty: none), the type, what is done, before, after.
planned() { # type, actions, before, after, address
    printf '{"format_version": "1.2", "planned_values": {}, "resource_changes": [
        {"address": "%s", "type": "%s", "change": {"actions": %s, "before": %s, "after": %s}}]}' "$5" "$1" "$2" "$3" "$4" |
        ./refuse_data_loss.sh
}
indexed() { printf '{"global_secondary_index": [%s]}' "$1"; }
index() { printf '{"name": "%s", "hash_key": "%s", "projection_type": "ALL", "write_capacity": %s}' "$@"; }
versioned() { printf '{"versioning_configuration": [{"status": "%s"}]}' "$1"; }
rule() { # status, prefix, the rest
    printf '{"rule": [{"status": "%s", "filter": [{"prefix": "%s"}], %s}]}' "$@"
}
old_versions() { printf '"noncurrent_version_expiration": [{"noncurrent_days": %s}]' "$1"; }
block() { printf '{"%s": [{%s}]}' "$@"; }
closed='{"block_public_acls": true, "block_public_policy": true, "ignore_public_acls": true, "restrict_public_buckets": true}'
cases=0

check "no input" 1 "no plan" ./refuse_data_loss.sh </dev/null
check "something else than a plan" 1 "no plan" ./refuse_data_loss.sh <<<'{"message": "no such file"}'

while IFS='~' read -r reason type actions before after address; do
    [ -n "$type" ] || continue
    cases=$((cases + 1))
    what="$type $actions $before -> $after: ${reason:-passes}"
    if [ -z "$reason" ]; then
        check "$what" 0 "" planned "$type" "$actions" "$before" "$after" "${address:-the.$type}"
    else
        check "$what" 1 "the.$type $reason" planned "$type" "$actions" "$before" "$after" "${address:-the.$type}"
    fi
done <<END
~aws_ecs_task_definition~["create", "delete"]~{}~{}
~aws_acm_certificate~["create", "delete"]~{}~{}
$(for type in aws_dynamodb_table aws_s3_bucket aws_cloudfront_distribution aws_cloudfront_origin_access_control \
    aws_cognito_user_pool aws_cognito_user_pool_client aws_ecr_repository aws_ecs_cluster aws_ecs_service aws_lb \
    aws_lb_listener aws_route53_zone aws_s3_bucket_policy aws_s3_bucket_public_access_block \
    aws_s3_bucket_versioning aws_vpc; do
    for actions in '["delete", "create"]' '["create", "delete"]' '["delete"]' '["forget"]'; do
        echo "is deleted or replaced~$type~$actions~{}~{}"
    done
    echo "~$type~[\"update\"]~{}~{}"
    echo "~$type~[\"create\"]~null~{}"
done)
$(for type in aws_lb_target_group aws_cloudfront_vpc_origin; do
    echo "is deleted before another is there~$type~[\"delete\", \"create\"]~{}~{}"
    echo "is deleted before another is there~$type~[\"delete\"]~{}~null"
    echo "~$type~[\"create\", \"delete\"]~{}~{}"
done)
is a name that stored URLs have~aws_route53_record~["delete"]~{"type": "A"}~null
is a name that stored URLs have~aws_route53_record~["delete", "create"]~{"type": "AAAA"}~{"type": "AAAA"}
~aws_route53_record~["delete"]~{"type": "CNAME"}~null
~aws_dynamodb_table~["create"]~null~$(indexed "$(index A pk 0)")
~aws_dynamodb_table~["update"]~$(indexed "$(index A pk 0)")~$(indexed "$(index A pk 0), $(index B pk 0)")
~aws_dynamodb_table~["update"]~$(indexed "$(index A pk 0), $(index B pk 0)")~$(indexed "$(index B pk 7), $(index A pk 0)")
loses or rebuilds an index~aws_dynamodb_table~["update"]~$(indexed "$(index A pk 0), $(index B pk 0)")~$(indexed "$(index A pk 0)")
loses or rebuilds an index~aws_dynamodb_table~["update"]~$(indexed "$(index A pk 0)")~$(indexed "$(index A other 0)")
loses or rebuilds an index~aws_dynamodb_table~["update"]~$(indexed "$(index A pk 0)")~$(indexed '{"name": "A", "hash_key": "pk", "projection_type": "KEYS_ONLY"}')
loses point-in-time recovery~aws_dynamodb_table~["update"]~$(block point_in_time_recovery '"enabled": true')~$(block point_in_time_recovery '"enabled": false')
loses point-in-time recovery~aws_dynamodb_table~["update"]~$(block point_in_time_recovery '"enabled": true')~{"point_in_time_recovery": []}
~aws_dynamodb_table~["update"]~$(block point_in_time_recovery '"enabled": false')~$(block point_in_time_recovery '"enabled": true')
can be restored for less long~aws_dynamodb_table~["update"]~$(block point_in_time_recovery '"enabled": true')~$(block point_in_time_recovery '"enabled": true, "recovery_period_in_days": 7')
~aws_dynamodb_table~["update"]~$(block point_in_time_recovery '"enabled": true, "recovery_period_in_days": 7')~$(block point_in_time_recovery '"enabled": true, "recovery_period_in_days": 35')
loses its TTL~aws_dynamodb_table~["update"]~$(block ttl '"enabled": true, "attribute_name": "ttl"')~$(block ttl '"enabled": false, "attribute_name": "ttl"')
loses its TTL~aws_dynamodb_table~["update"]~$(block ttl '"enabled": true, "attribute_name": "ttl"')~$(block ttl '"enabled": true, "attribute_name": "createdAt"')
loses its TTL~aws_dynamodb_table~["update"]~$(block ttl '"enabled": true, "attribute_name": "ttl"')~{}
~aws_dynamodb_table~["update"]~{}~$(block ttl '"enabled": true, "attribute_name": "ttl"')
loses its protection from deletion~aws_dynamodb_table~["update"]~{"deletion_protection_enabled": true}~{"deletion_protection_enabled": false}
loses its protection from deletion~aws_dynamodb_table~["update"]~{"deletion_protection_enabled": true}~{}
~aws_dynamodb_table~["update"]~{"deletion_protection_enabled": false}~{"deletion_protection_enabled": false}
loses its protection from deletion~aws_lb~["update"]~{"enable_deletion_protection": true}~{"enable_deletion_protection": false}
loses its protection from deletion~aws_cognito_user_pool~["update"]~{"deletion_protection": "ACTIVE"}~{"deletion_protection": "INACTIVE"}
may be deleted with all it holds~aws_s3_bucket~["update"]~{"force_destroy": false}~{"force_destroy": true}
~aws_s3_bucket~["update"]~{"force_destroy": true}~{"force_destroy": true}
may be deleted with all it holds~aws_ecr_repository~["update"]~{"force_delete": null}~{"force_delete": true}
~aws_s3_bucket_versioning~["create"]~null~$(versioned Enabled)
~aws_s3_bucket_versioning~["no-op"]~$(versioned Enabled)~$(versioned Enabled)
stops versioning~aws_s3_bucket_versioning~["update"]~$(versioned Enabled)~$(versioned Suspended)
~aws_s3_bucket_public_access_block~["no-op"]~$closed~$closed
opens the bucket~aws_s3_bucket_public_access_block~["update"]~$closed~${closed/true/false}
opens the bucket~aws_s3_bucket_public_access_block~["update"]~$closed~${closed/%true?/false\}}
expires pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled images/ '"expiration": [{"days": 365}]')
expires pictures~aws_s3_bucket_lifecycle_configuration~["create"]~null~$(rule Enabled '' '"expiration": [{"days": 365}]')
expires pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled '' '"expiration": [{"date": "2030-01-01T00:00:00Z"}]')
expires pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~{"rule": [{"status": "Enabled", "filter": [{"and": [{"prefix": "images/"}]}], "expiration": [{"days": 9}]}]}
expires pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~{"rule": [{"status": "Enabled", "expiration": [{"days": 9}]}]}
~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled temp/ '"expiration": [{"days": 1}]')
~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Disabled images/ '"expiration": [{"days": 1}]')
~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled '' '"expiration": [{"days": 0, "expired_object_delete_marker": true}]')
~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled '' '"expiration": [{"days": 7}]')~module.access_logs.aws_s3_bucket_lifecycle_configuration.this
archives pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled images/ '"transition": [{"days": 90, "storage_class": "GLACIER"}]')
archives pictures~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled images/ '"noncurrent_version_transition": [{"noncurrent_days": 1, "storage_class": "DEEP_ARCHIVE"}]')
~aws_s3_bucket_lifecycle_configuration~["update"]~{}~$(rule Enabled images/ '"transition": [{"days": 0, "storage_class": "INTELLIGENT_TIERING"}]')
archives pictures~aws_s3_bucket_intelligent_tiering_configuration~["create"]~null~$(block tiering '"access_tier": "ARCHIVE_ACCESS", "days": 90')
keeps old versions for less long~aws_s3_bucket_lifecycle_configuration~["update"]~$(rule Enabled '' "$(old_versions 14)")~$(rule Enabled '' "$(old_versions 1)")
keeps old versions for less long~aws_s3_bucket_lifecycle_configuration~["update"]~{"rule": []}~$(rule Enabled images/ "$(old_versions 14)")
~aws_s3_bucket_lifecycle_configuration~["create"]~null~$(rule Enabled '' "$(old_versions 14)")
~aws_s3_bucket_lifecycle_configuration~["update"]~$(rule Enabled '' "$(old_versions 14)")~$(rule Enabled '' "$(old_versions 30)")
loses a name that stored URLs have~aws_cloudfront_distribution~["update"]~{"aliases": ["a.com", "b.com"], "enabled": true}~{"aliases": ["b.com", "c.com"], "enabled": true}
~aws_cloudfront_distribution~["update"]~{"aliases": ["a.com"], "enabled": true}~{"aliases": ["b.com", "a.com"], "enabled": true}
is switched off~aws_cloudfront_distribution~["update"]~{"enabled": true}~{"enabled": false}
END
[ "$cases" -ge 140 ] || fail "of the table of plans only $cases were looked at"

check "what a swap that was cut off left over" 0 "" ./refuse_data_loss.sh <<<'{"format_version": "1.2",
    "planned_values": {}, "resource_changes": [{"address": "the.group", "type": "aws_lb_target_group", "deposed": "0a",
    "change": {"actions": ["delete"], "before": {}, "after": null}}]}'

# What the pipeline asks AWS for, and what its role may ask for.
permission() { # service, command
    case $2 in
    get-login-password) echo ecr:GetAuthorizationToken ;;
    wait) echo ecs:DescribeServices ;; # until stable
    *) echo "$1:$(sed -E 's/(^|-)([a-z])/\U\2/g' <<<"$2")" ;;
    esac
}
calls=0
while read -r _ service command; do
    calls=$((calls + 1))
    grep -qF "\"$(permission "$service" "$command")\"" ../../terraform/modules/pipeline/main.tf ||
        fail "aws $service $command: the role lacks $(permission "$service" "$command")"
done < <(grep -ohE '\baws (ecr|ecs|s3|s3api|ssm|sts|elbv2|cloudfront) [a-z-]+' ./*.sh ../workflows/*.yml | grep -v "^aws ecr $" | sort -u)
[ "$calls" -ge 8 ] || fail "of the pipeline's calls only $calls were looked at"

# audited.sh
while IFS='~' read -r code says report; do
    check "an audit that says $report" "$code" "$says" ./audited.sh <<<"$report"
done <<'END'
0~Audited: 2 requirements~{"dependencies": [{"name": "a", "vulns": []}, {"name": "b", "vulns": []}]}
1~left out: b, c~{"dependencies": [{"name": "a", "vulns": []}, {"name": "b", "skip_reason": "not on PyPI"}, {"name": "c", "skip_reason": "x"}]}
1~0 requirements were looked up~{"dependencies": [{"name": "b", "skip_reason": "not on PyPI"}]}
1~left out: all of them~{"dependencies": []}
1~left out: all of them~{}
1~0 requirements were looked up~
END

# check.sh: a tool that is missing
eval "$(sed -n '/^installed() {/,/^}/p' ../check.sh)"
asked() { # the value of CI, a tool
    export CI=$1
    (if installed "$2" "a package"; then echo "runs it"; else echo "goes on without"; fi)
}
while read -r ci tool code says; do
    check "$tool with CI=$ci" "$code" "$says" asked "${ci#-}" "$tool"
done <<'END'
true sh 0 runs it
- sh 0 runs it
true no-such-tool 1 ::error::no-such-tool is not installed
- no-such-tool 0 goes on without
END

# smoke.py, whose token comes from a command that may print nothing
check "an empty token" 1 "SMOKE_TOKEN is set, and empty" \
    env SMOKE_TOKEN= python3 ../../tests/container/smoke.py http://127.0.0.1:9

[ "$failures" = 0 ] || exit 1
echo "Scripts of the pipelines: nothing found"
