#!/usr/bin/env bash
# push_image.sh REPOSITORY_URL TAG ARCHIVE: push a saved image, and write its digest to the
# step's outputs. Tags are immutable: a run that is repeated takes what it pushed before.
set -euo pipefail

repository=$1 tag=$2 archive=$3
name=${repository#*/}

digest() {
    aws ecr describe-images --repository-name "$name" --image-ids "imageTag=$tag" \
        --query 'imageDetails[0].imageDigest' --output text
}

if ! digest >/dev/null 2>&1; then
    aws ecr get-login-password |
        docker login --username AWS --password-stdin "${repository%%/*}"
    docker load --quiet --input "$archive"
    docker tag image-service:release "$repository:$tag"
    docker push --quiet "$repository:$tag"
fi
echo "digest=$(digest)" | tee -a "$GITHUB_OUTPUT"
