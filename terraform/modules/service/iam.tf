# Exactly what the service calls. No s3:DeleteObjectVersion anywhere: what a stolen task
# deletes can be brought back for as long as old versions are kept.

locals {
  trust_ecs_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  description        = "What the image service may do"
  assume_role_policy = local.trust_ecs_tasks
}

resource "aws_iam_role_policy" "task" {
  name = "service"
  role = aws_iam_role.task.id

  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.service_statements, local.telemetry_statements) })
}

locals {
  service_statements = [
    {
      # A transaction is allowed by the actions it is made of.
      Sid    = "Table"
      Effect = "Allow"
      Action = [
        "dynamodb:BatchGetItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
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
      Sid      = "Objects" # written and deleted; CloudFront is who reads them
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:PutObject"]
      Resource = ["${var.storage.bucket_arn}/images/*"]
    },
    {
      Sid      = "BucketHealth" # HeadBucket, which GET /health asks, goes by this action
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [var.storage.bucket_arn]
    },
    {
      Sid      = "Invalidations" # made, and asked for by `image-service doctor`
      Effect   = "Allow"
      Action   = ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
      Resource = [var.distribution_arn]
    },
  ]

  # The collector acts as the task it is in.
  telemetry_statements = flatten([for settings in var.telemetry[*] : [
    {
      Sid      = "Metrics"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${settings.log_group.arn}:log-stream:${local.metric_stream}"]
    },
    {
      Sid      = "Traces" # X-Ray's writing knows no resource
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = ["*"]
    },
  ]])
}

# What ECS itself does before the container runs. Narrower than AWS's ready-made policy.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "Lets ECS pull the image, write the logs and read the secrets, of the service and of reconcile"
  assume_role_policy = local.trust_ecs_tasks
}

locals {
  execution_statements = concat(
    [
      {
        Sid      = "RegistryLogin" # knows no resource
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid      = "Image"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = [aws_ecr_repository.this.arn]
      },
      {
        Sid    = "Logs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = concat(
          [for group in [var.log_groups.service, var.log_groups.reconcile] : "${group.arn}:log-stream:task/*"],
          [for settings in var.telemetry[*] : "${settings.log_group.arn}:log-stream:collector/*"],
        )
      },
    ],
    length(var.secrets) == 0 ? [] : [
      {
        Sid      = "Secrets"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = values(var.secrets)
      },
    ],
  )
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id

  policy = jsonencode({ Version = "2012-10-17", Statement = local.execution_statements })
}
