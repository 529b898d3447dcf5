#!/usr/bin/env bash
# Runs the image as production does (read-only, no capabilities, 512 MiB) against the embedded
# emulator, and proves what docs/containers.md says of it. Prints what it measures.
#
#   make setup; docker build -t image-service:local .
#   tests/container/check.sh                  # ENGINE=podman IMAGE=… for others
set -euo pipefail
cd "$(dirname "$0")/../.."

engine=${ENGINE:-docker}
image=${IMAGE:-image-service:local}
python=${PYTHON:-.venv/bin/python}
aws_port=${AWS_PORT:-14566}
port=${PORT:-18000}
ops_port=${OPS_PORT:-19090}
name=image-service-check-$$
volume=$name-issuer
scratch=$(mktemp --directory)

aws=http://127.0.0.1:$aws_port
base=http://127.0.0.1:$port
hardened=(--read-only --cap-drop=ALL --security-opt=no-new-privileges --network=host)
environment=(
    -e AWS_ACCESS_KEY_ID=local -e AWS_SECRET_ACCESS_KEY=local -e AWS_REGION=us-east-1
    -e AWS_ENDPOINT_URL_S3="$aws" -e AWS_ENDPOINT_URL_DYNAMODB="$aws"
    -e IMAGE_SERVICE_STAGE=local -e IMAGE_SERVICE_PORT="$port"
    -e IMAGE_SERVICE_TABLE_NAME=ImageMetadata-local -e IMAGE_SERVICE_BUCKET=images-lego-moc-local
    -e IMAGE_SERVICE_CDN_BASE_URL="$aws/images-lego-moc-local"
    -e IMAGE_SERVICE_COGNITO_ISSUER=https://issuer.image-service.localhost
    -e IMAGE_SERVICE_COGNITO_CLIENT_IDS=local-client
    -e IMAGE_SERVICE_JWKS_URL="$aws/image-service-issuer/jwks.json"
)

fail() { echo "FAILED $*" >&2; exit 1; }
ok() { echo "ok     $*"; }
now() { date +%s%3N; }
inside() { "$engine" run --rm --network=none --entrypoint sh "$image" -c "$1"; }

clean_up() {
    "$engine" rm --force "$name" >/dev/null 2>&1 || true
    "$engine" volume rm "$volume" >/dev/null 2>&1 || true
    kill "$emulator" 2>/dev/null || true
    rm -r "$scratch"
}

wait_for() { # what, url, options of curl
    for _ in $(seq 600); do
        curl --silent --max-time 2 --output /dev/null "${@:2}" && return
        sleep 0.05
    done
    "$engine" logs "$name" 2>&1 | tail -n 5 >&2 || true
    fail "$1 did not answer in 30 s"
}

"$python" -m image_service.devstack.emulator --port "$aws_port" >/dev/null &
emulator=$!
trap clean_up EXIT
wait_for "the emulator" "$aws"

# What is in it
[ "$(inside 'id -u')" = 10001 ] || fail "it runs as another user than 10001"
for tool in pip gcc cc curl; do
    ! inside "command -v $tool" >/dev/null || fail "$tool is in the image"
done
! inside 'python -c "import pip"' 2>/dev/null || fail "pip can be imported"
[ -z "$(inside 'find / -xdev -user 10001 ! -path /var/lib/image-service 2>/dev/null')" ] ||
    fail "the service owns files it could change"
[ -z "$(inside 'ls -A /var/lib/apt/lists /root/.cache 2>/dev/null | grep -v :')" ] ||
    fail "a cache is left in the image"
ok "non-root; no pip, compiler, curl or cache; nothing of it is writable"

# Set up, twice: it is safe to repeat
"$engine" volume create "$volume" >/dev/null
for _ in 1 2; do
    "$engine" run --rm "${hardened[@]}" "${environment[@]}" -v "$volume:/var/lib/image-service" \
        --entrypoint python "$image" -m image_service.devstack.provision >/dev/null
done
ok "table, bucket and issuer are made, twice"

# Start
started=$(now)
"$engine" run --detach --name "$name" "${hardened[@]}" "${environment[@]}" \
    --memory=512m --memory-swap=512m --cpus="${CPUS:-1}" \
    -e IMAGE_SERVICE_MAX_UPLOADS=1 -e IMAGE_SERVICE_OPS_PORT="$ops_port" \
    -v "$volume:/var/lib/image-service:ro" "$image" >/dev/null
wait_for "the service" "$base/health/ready" --fail
echo "       cold start to first answer: $(($(now) - started)) ms"

"$engine" exec "$name" grep -q libjemalloc /proc/1/maps || fail "jemalloc is not loaded"
"$engine" exec "$name" grep -Eq '^CapBnd:\s+0+$' /proc/1/status || fail "it has capabilities"
"$engine" exec "$name" healthcheck || fail "the health check says no"
! "$engine" exec "$name" touch /var/lib/image-service/x 2>/dev/null || fail "it can write files"
! "$engine" exec -e IMAGE_SERVICE_PORT=1 "$name" healthcheck 2>/dev/null ||
    fail "the health check says yes to a dead port"
ok "jemalloc, no capabilities, read-only, health check"

token=$("$engine" exec "$name" image-service token --user alice)
SMOKE_TOKEN=$token "$python" tests/container/smoke.py "$base"
echo "       memory: $("$engine" exec "$name" grep VmRSS /proc/1/status | tr -s '\t ' ' ')"

status_of() { curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "$@" || true; }
gone() { # since
    local code
    code=$("$engine" inspect --format '{{.State.ExitCode}}' "$name")
    [ "$code" = 0 ] || fail "it ended with $code"
    echo "       SIGTERM to exit, $2: $(($(now) - $1)) ms, of which it serves on for 10,000"
}

[ "$(status_of "http://127.0.0.1:$ops_port/metrics")" = 200 ] || fail "no metrics on their port"

# Stop, while an upload comes in so slowly that it ends after the ten seconds of serving on: it
# is still answered, and the exit code tells a clean end from a kill
"$python" -c 'import sys; sys.path.insert(0, "tests/container"); import smoke
sys.stdout.buffer.write(smoke.png(640, 480))' >"$scratch/slow.png"
curl --silent --limit-rate "$(($(stat --format %s "$scratch/slow.png") / 14))" --max-time 50 \
    --output "$scratch/answer" --write-out '%{http_code}' -H "Authorization: Bearer $token" \
    -F "file=@$scratch/slow.png" "$base/images" >"$scratch/status" &
upload=$!
sleep 1
[ "$(status_of -H "Authorization: Bearer $token" -F "file=@$scratch/slow.png" "$base/images")" = 503 ] ||
    fail "a second upload is let in, where one is all there may be"
started=$(now)
"$engine" stop --time 90 "$name" >/dev/null &
stopping=$!
sleep 3
[ "$(status_of "$base/health/ready")" = 503 ] || fail "it is still ready after SIGTERM"
[ "$(status_of -H "Authorization: Bearer $token" "$base/images")" = 200 ] ||
    fail "it no longer serves 3 s after SIGTERM"
wait "$stopping"
gone "$started" "an upload of 14 s being under way"
wait "$upload" || true
[ "$(cat "$scratch/status")" = 201 ] || fail "the upload under way was cut off: $(cat "$scratch/status")"
"$engine" logs "$name" 2>/dev/null | "$python" tests/container/metric_filters.py UploadTime Overloaded
"$engine" start "$name" >/dev/null
wait_for "the service, started again" "$base/health/ready" --fail
started=$(now)
"$engine" stop --time 90 "$name" >/dev/null
gone "$started" "idle"
ok "SIGTERM ends it cleanly, and cuts off no upload"
