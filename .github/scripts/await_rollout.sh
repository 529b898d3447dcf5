#!/usr/bin/env bash
# await_rollout.sh CLUSTER SERVICE DIGEST: return once the service is stable on that image.
# Stable alone is not enough: ECS's circuit breaker makes it stable on the old one.
set -euo pipefail

cluster=$1 service=$2 digest=$3

# 10 minutes a time; a new task may have to wait for a draining one.
aws ecs wait services-stable --cluster "$cluster" --services "$service" ||
    aws ecs wait services-stable --cluster "$cluster" --services "$service"

# shellcheck disable=SC2016 # the back-ticks are JMESPath's
definition=$(aws ecs describe-services --cluster "$cluster" --services "$service" \
    --query 'services[0].deployments[?status==`PRIMARY`].taskDefinition | [0]' --output text)
image=$(aws ecs describe-task-definition --task-definition "$definition" \
    --query 'taskDefinition.containerDefinitions[0].image' --output text)

if [ "${image#*@}" != "$digest" ]; then
    echo "::error::The service runs $image, not $digest: ECS rolled the deployment back"
    exit 1
fi
echo "Stable on $image"
