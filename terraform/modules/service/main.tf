# Images, cluster, task and service. Roles are in iam.tf, the collector in telemetry.tf.

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:Encrypted with ECR's own key (AES-256); the image holds no secret
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep the last 30 images: a rollback needs the ones before"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Container Insights costs more than a small task; the service's own CPU, memory and balancer metrics feed the alarms
  name = var.name

  setting {
    name  = "containerInsights"
    value = "disabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

locals {
  capacity_provider = var.use_spot ? "FARGATE_SPOT" : "FARGATE"

  image = join("@", [aws_ecr_repository.this.repository_url, coalesce(var.image_digest, "none")])

  # How large the task is, from which the service derives what it takes at once: docs/scaling.md,
  # "Size a task". It can't rely on seeing it: on Fargate the limits are the task's, and Python
  # sees two CPUs even on a quarter of one. Metrics are for the collector alone, which shares the
  # task's loopback.
  size = {
    IMAGE_SERVICE_TASK_CPUS         = tostring(var.cpu / 1024)
    IMAGE_SERVICE_TASK_MEMORY_BYTES = tostring(var.memory * 1024 * 1024)
  }
  environment = merge(local.size, var.environment, {
    IMAGE_SERVICE_HOST     = "0.0.0.0"
    IMAGE_SERVICE_PORT     = tostring(var.ports.api)
    IMAGE_SERVICE_OPS_HOST = "127.0.0.1"
    IMAGE_SERVICE_OPS_PORT = tostring(var.ports.operations)
  })

  service = {
    name       = "service"
    image      = local.image
    essential  = true
    entryPoint = ["image-service"]
    command    = ["serve"]
    user       = var.container_user

    environment = [for name, value in merge(local.environment, local.tracing) : { name = name, value = value }]
    secrets     = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]

    portMappings = [{ name = "api", containerPort = var.ports.api, protocol = "tcp" }]

    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_timeout
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }

    # Non-blocking: a CloudWatch that stalls must cost log lines, not requests.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_groups.service.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "task"
        mode                  = "non-blocking"
        max-buffer-size       = "16m"
      }
    }

    # Stopped before the collector, which gets its last metrics and traces.
    dependsOn = local.telemetry_on ? [{ containerName = "collector", condition = "START" }] : null

    # No container health check: the balancer's does the same work, without starting a
    # Python twice a minute on a quarter of a CPU.
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(concat([local.service], local.collectors))

  # Terraform would deregister the revision before, and ECS goes back to no such one.
  skip_destroy = true

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = var.image_digest != null
      error_message = "Give image_digest. On the very first day make the repository, push an image, then come back: docs/deployment.md."
    }
  }

  # A task that can't yet pull, log or read its secrets fails its first deployment.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}

resource "aws_ecs_service" "this" {
  name             = var.name
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this.arn
  desired_count    = var.min_tasks
  platform_version = "LATEST"

  # Both said, because else a change of the capacity provider replaces the service: an outage.
  scheduling_strategy  = "REPLICA"
  force_new_deployment = true

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = local.capacity_provider
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    # A public address is for reaching out; the security group lets in the balancer alone.
    subnets          = var.network.subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = var.network.assign_public_ip
  }

  load_balancer {
    target_group_arn = var.balancer.target_group_arn
    container_name   = local.service.name
    container_port   = var.ports.api
  }

  lifecycle {
    ignore_changes = [desired_count] # autoscaling owns it
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

# Only the balancer reaches a task, and on the API's port; metrics don't leave the task's
# loopback.
resource "aws_security_group" "task" {
  name        = "${var.name}-task"
  description = "Tasks: in from the load balancer, out over HTTPS"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.name}-task" }
}

resource "aws_vpc_security_group_ingress_rule" "from_balancer" {
  security_group_id            = aws_security_group.task.id
  description                  = "Requests from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = var.ports.api
  to_port                      = var.ports.api
  referenced_security_group_id = var.balancer.security_group_id
}

resource "aws_vpc_security_group_egress_rule" "balancer_to_task" {
  security_group_id            = var.balancer.security_group_id
  description                  = "Requests to the tasks"
  ip_protocol                  = "tcp"
  from_port                    = var.ports.api
  to_port                      = var.ports.api
  referenced_security_group_id = aws_security_group.task.id
}

# JWKS, the CloudFront API (it has no endpoint of its own), ECR and CloudWatch.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.task.id
  description       = "HTTPS to AWS and the token issuer"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
}

locals {
  # Uploads are CPU, reads are requests; whichever asks for more tasks wins.
  targets = {
    cpu      = { metric = "ECSServiceAverageCPUUtilization", value = 60, label = null }
    requests = { metric = "ALBRequestCountPerTarget", value = var.requests_per_target, label = "${var.balancer.arn_suffix}/${var.balancer.target_group_arn_suffix}" }
  }
}

resource "aws_appautoscaling_policy" "this" {
  for_each = local.targets

  name               = each.key
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.value
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
      resource_label         = each.value.label
    }
  }
}
