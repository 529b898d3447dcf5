#!/usr/bin/env bash
# The one image of a commit, on its way through the stages: built and pushed for dev, then
# copied by digest to the next stage, once it has passed on the one before.
#
#   image.sh push REPOSITORY_URL COMMIT ARCHIVE       push a saved image, once
#   image.sh find STAGE COMMIT                        the digest that may be deployed there
#   image.sh promote STAGE REPOSITORY_URL COMMIT DIGEST   have it in that stage's repository
#   image.sh passed REPOSITORY_URL COMMIT DIGEST      it was deployed there, and passed its test
#
# Tags are immutable: COMMIT is what was pushed, passed-COMMIT what passed. `push` and `find`
# write the digest to the step's outputs.
set -euo pipefail

digest() { # repository, tag
    aws ecr describe-images --repository-name "$1" --image-ids "imageTag=$2" \
        --query 'imageDetails[0].imageDigest' --output text
}

log_in() { # registry; for docker, skopeo and gh
    aws ecr get-login-password | docker login --username AWS --password-stdin "$1" >&2
}

found() { echo "digest=$1" | tee -a "$GITHUB_OUTPUT"; }

stop() {
    echo "::error::$*" >&2
    exit 1
}

before() { # stage: the one it is promoted from
    case $1 in
    staging) echo dev ;;
    prod) echo staging ;;
    *) stop "There is no stage $1 to promote to" ;;
    esac
}

push() {
    local repository=$1 commit=$2 archive=$3
    local name=${repository#*/}
    if ! digest "$name" "$commit" >/dev/null 2>&1; then
        log_in "${repository%%/*}"
        docker load --quiet --input "$archive"
        docker tag image-service:release "$repository:$commit"
        docker push --quiet "$repository:$commit"
    fi
    found "$(digest "$name" "$commit")"
}

find() {
    local stage=$1 commit=$2 tag source=$1 digest
    tag=$commit
    if [ "$stage" != dev ]; then
        source=$(before "$stage")
        tag=passed-$commit
    fi
    digest=$(digest "image-service-$source" "$tag") ||
        stop "$commit has not passed on $source: deploy this very commit there first." \
            "What was never on $source is not deployed to $stage"
    found "$digest"
}

promote() {
    local stage=$1 repository=$2 commit=$3 digest=$4 source there
    log_in "${repository%%/*}"
    there=$(digest "${repository#*/}" "$commit" 2>/dev/null) || {
        source=${repository%/*}/image-service-$(before "$stage")
        skopeo copy --preserve-digests "docker://$source@$digest" "docker://$repository:$commit"
        there=$(digest "${repository#*/}" "$commit")
    }
    [ "$there" = "$digest" ] || stop "$repository:$commit is $there, not $digest"
}

passed() {
    local name=${1#*/} commit=$2 digest=$3 manifest
    if ! digest "$name" "passed-$commit" >/dev/null 2>&1; then
        manifest=$(aws ecr batch-get-image --repository-name "$name" \
            --image-ids "imageDigest=$digest" --query 'images[0].imageManifest' --output text)
        aws ecr put-image --repository-name "$name" --image-tag "passed-$commit" \
            --image-digest "$digest" --image-manifest "$manifest" --query image.imageId --output text
    fi
}

case ${1:-} in
push | find | promote | passed) "$@" ;;
*) stop "image.sh push, find, promote or passed" ;;
esac
