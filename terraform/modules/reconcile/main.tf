# `image-service reconcile`, once a day beside live traffic.

resource "aws_iam_role" "task" {
  name        = "${var.name}-reconcile"
  description = "What reconcile may do"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "task" {
  name = "reconcile"
  role = aws_iam_role.task.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Scan is for reconcile alone, which reads the whole table; no request does.
        Sid    = "Table"
        Effect = "Allow"
        Action = [
          "dynamodb:BatchGetItem",
          "dynamodb:ConditionCheckItem",
          "dynamodb:DeleteItem",
          "dynamodb:DescribeTable", # how many items there are, for its progress
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:Query",
          "dynamodb:Scan",
          "dynamodb:UpdateItem",
        ]
        Resource = [var.storage.table_arn]
      },
      {
        Sid      = "Indexes"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = var.storage.index_arns
      },
      {
        # Reads and deletes, never writes: a picture can't be made up again.
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject"]
        Resource = ["${var.storage.bucket_arn}/images/*"]
      },
      {
        Sid      = "Listing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.storage.bucket_arn]
      },
      {
        Sid      = "Invalidations"
        Effect   = "Allow"
        Action   = ["cloudfront:CreateInvalidation"]
        Resource = [var.distribution_arn]
      },
    ]
  })
}

locals {
  container = {
    name       = "reconcile"
    image      = var.image
    essential  = true
    entryPoint = ["image-service"]
    command    = concat(["reconcile"], var.fix ? ["--fix"] : [])
    user       = var.container_user

    environment = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
    secrets     = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]

    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = 60
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group_name
        awslogs-region        = var.region
        awslogs-stream-prefix = "task"
        mode                  = "non-blocking"
        max-buffer-size       = "16m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-reconcile"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  skip_destroy             = true # as the service's

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  lifecycle {
    create_before_destroy = true # the schedule names it until the next is there
  }
}

resource "aws_iam_role" "scheduler" {
  name        = "${var.name}-scheduler"
  description = "Lets EventBridge Scheduler start reconcile"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "run"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Any revision of this one family: a deployment makes a new one, and must not have
        # to change a role for it.
        Sid       = "Run"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["arn:aws:ecs:${var.region}:${var.account_id}:task-definition/${var.name}-reconcile:*"]
        Condition = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
      },
      {
        Sid       = "HandOverRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.task.arn, var.execution_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        # Without it a task that is to carry tags isn't started.
        Sid       = "TagTask"
        Effect    = "Allow"
        Action    = ["ecs:TagResource"]
        Resource  = ["${replace(var.cluster_arn, ":cluster/", ":task/")}/*"]
        Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
      },
    ]
  })
}

# Of its own, because the scheduler's metrics are by group.
resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:The schedule holds no input; the AWS-owned key encrypts it
  name        = "${var.name}-reconcile"
  group_name  = aws_scheduler_schedule_group.this.name
  description = "Settle what uploads and deletions left behind, and report what doesn't fit"

  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 30
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn     = aws_ecs_task_definition.this.arn
      task_count              = 1
      enable_ecs_managed_tags = true
      propagate_tags          = "TASK_DEFINITION"

      # Never Spot: a run that is taken away half-way has to start over.
      capacity_provider_strategy {
        capacity_provider = "FARGATE"
        weight            = 1
      }

      network_configuration {
        subnets          = var.network.subnet_ids
        security_groups  = [var.network.security_group_id]
        assign_public_ip = var.network.assign_public_ip
      }
    }

    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = 3600
    }
  }

  depends_on = [aws_iam_role_policy.scheduler]
}

# A run that ends with anything but 0 (or never starts its container) is told at once.
resource "aws_cloudwatch_event_rule" "failed" {
  name        = "${var.name}-reconcile-failed"
  description = "A reconcile task stopped without success"

  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.cluster_arn]
      lastStatus = ["STOPPED"]
      group      = ["family:${aws_ecs_task_definition.this.family}"]
      "$or" = [
        { containers = { exitCode = [{ "anything-but" = [0] }] } },
        { stopCode = ["TaskFailedToStart"] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "failed" {
  rule = aws_cloudwatch_event_rule.failed.name
  arn  = var.topic_arn
}
