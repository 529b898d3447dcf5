#!/usr/bin/env bash
# Tests of the scripts beside it, with an `aws` and a `docker` that answer from a file and note
# their calls. Needs bash, jq and Python.
set -euo pipefail
cd "$(dirname "$0")"

scratch=$(mktemp --directory)
trap 'rm -r "$scratch"' EXIT
export CALLS=$scratch/calls ANSWERS=$scratch/answers GITHUB_OUTPUT=$scratch/output
failures=0

# A line of ANSWERS for each call that succeeds: its first words, =, what it prints.
mkdir "$scratch/bin"
for tool in aws docker; do
    cat >"$scratch/bin/$tool" <<'END'
#!/usr/bin/env bash
call="$(basename "$0") $*"
echo "$call" >>"$CALLS"
[[ $call != "docker login"* ]] || cat >/dev/null
while IFS='=' read -r start answer; do
    [[ $call != "$start"* ]] || { echo "$answer"; exit; }
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
aws ecs update-service=arn:task:42
aws ecs wait services-stable=
aws ecs describe-services=arn:task:42
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

# push_image.sh
echo "aws ecr describe-images=sha256:abc" >"$ANSWERS"
check "an image that is there" 0 "digest=sha256:abc" ./push_image.sh registry/name tag archive
called "it isn't pushed again" 0 docker
grep -qx "digest=sha256:abc" "$GITHUB_OUTPUT" || fail "the digest is no output of the step"
cat >"$ANSWERS" <<'END'
aws ecr get-login-password=secret
docker login=
docker load=
docker tag=
END
check "a push that fails" 254 "" ./push_image.sh registry/name tag archive
called "it logs in at the registry" 1 "docker login --username AWS --password-stdin registry"
called "it was tried" 1 "docker push --quiet registry/name:tag"

# refuse_data_loss.sh
refuse() { # the changes, as JSON
    printf '{"format_version": "1.2", "planned_values": {}, "resource_changes": [%s]}' "$1" | ./refuse_data_loss.sh
}
change() { # type, actions, before, after
    printf '{"address": "the.%s", "type": "%s", "change": {"actions": %s, "before": %s, "after": %s}}' "$1" "$@"
}
two='{"global_secondary_index": [{"name": "A"}, {"name": "B"}]}'
one='{"global_secondary_index": [{"name": "A"}]}'
on='{"versioning_configuration": [{"status": "Enabled"}]}'
off='{"versioning_configuration": [{"status": "Suspended"}]}'

check "no input" 1 "no plan" ./refuse_data_loss.sh </dev/null
check "something else than a plan" 1 "no plan" ./refuse_data_loss.sh <<<'{"message": "no such file"}'
check "a plan that changes nothing" 0 "" refuse ""
check "a new task" 0 "" refuse "$(change aws_ecs_task_definition '["create", "delete"]' '{}' '{}')"
for type in aws_dynamodb_table aws_s3_bucket aws_cloudfront_distribution aws_cognito_user_pool aws_ecr_repository; do
    check "$type replaced" 1 "the.$type" refuse "$(change $type '["delete", "create"]' '{}' '{}')"
    check "$type replaced, the new one first" 1 "the.$type" refuse "$(change $type '["create", "delete"]' '{}' '{}')"
    check "$type gone" 1 "the.$type" refuse "$(change $type '["delete"]' '{}' null)"
    check "$type changed in place" 0 "" refuse "$(change $type '["update"]' '{}' '{}')"
done
check "a table on its first day" 0 "" refuse "$(change aws_dynamodb_table '["create"]' null "$two")"
check "an index more" 0 "" refuse "$(change aws_dynamodb_table '["update"]' "$one" "$two")"
check "an index less" 1 "the.aws_dynamodb_table" refuse "$(change aws_dynamodb_table '["update"]' "$two" "$one")"
check "versioning on its first day" 0 "" refuse "$(change aws_s3_bucket_versioning '["create"]' null "$on")"
check "versioning as it was" 0 "" refuse "$(change aws_s3_bucket_versioning '["no-op"]' "$on" "$on")"
check "versioning suspended" 1 "versioning" refuse "$(change aws_s3_bucket_versioning '["update"]' "$on" "$off")"
check "versioning gone" 1 "versioning" refuse "$(change aws_s3_bucket_versioning '["delete"]' "$on" null)"

# smoke.py, whose token comes from a command that may print nothing
check "an empty token" 1 "SMOKE_TOKEN is set, and empty" \
    env SMOKE_TOKEN= python3 ../../tests/container/smoke.py http://127.0.0.1:9

[ "$failures" = 0 ] || exit 1
echo "Scripts of the pipelines: nothing found"
