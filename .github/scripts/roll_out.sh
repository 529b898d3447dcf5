#!/usr/bin/env bash
# roll_out.sh CLUSTER SERVICE TASK_DEFINITION: have the service run that revision, and return
# once it is stable on it. Stable alone is not enough: ECS's circuit breaker makes it stable
# on the old one.
set -euo pipefail

cluster=$1 service=$2 definition=$3

# Nothing new where Terraform has just said the same. After a rollback it has not: it believes
# its state, in which the service never went back.
aws ecs update-service --cluster "$cluster" --service "$service" \
    --task-definition "$definition" --query service.taskDefinition --output text

# 10 minutes a time; a new task may have to wait for a draining one.
aws ecs wait services-stable --cluster "$cluster" --services "$service" ||
    aws ecs wait services-stable --cluster "$cluster" --services "$service"

# shellcheck disable=SC2016 # the back-ticks are JMESPath's
running=$(aws ecs describe-services --cluster "$cluster" --services "$service" \
    --query 'services[0].deployments[?status==`PRIMARY`].taskDefinition | [0]' --output text)

if [ "$running" != "$definition" ]; then
    echo "::error::The service runs $running, not $definition: ECS rolled the deployment back"
    exit 1
fi
echo "Stable on $running"
