# The roles GitHub Actions deploys one stage with. One plans, before anyone has approved and for
# pull requests: it can look, and nothing else. The other brings the image, plans again, and
# changes what a deployment changes. A change of the infrastructure itself shows in its plan and is refused
# at apply; an administrator applies it (or `extra_policy_arns` says otherwise).
#
# It plans with -refresh=false: against the state, not against AWS. So it needs to read
# nothing of what it doesn't change, and what an operator turned by hand stays as it is.

locals {
  # An account has one, for all its stages and projects: made by hand, docs/deployment.md.
  provider_arn = "arn:aws:iam::${var.account_id}:oidc-provider/token.actions.githubusercontent.com"

  state_arn = "arn:aws:s3:::${var.state_bucket}"
  ecs       = "arn:aws:ecs:${var.region}:${var.account_id}"
  iam       = "arn:aws:iam::${var.account_id}"

  # Where its images come from: a stage deploys what has passed on the one before.
  source_stage = { dev = "dev", staging = "dev", prod = "staging" }[var.stage]
  source_arn   = "arn:aws:ecr:${var.region}:${var.account_id}:repository/image-service-${local.source_stage}"

  # The whole subject, no wildcard: one repository, one environment. A pull request, or another
  # branch than the environment allows, gets no token with this subject.
  trust = {
    for role, environment in { deploy = var.stage, plan = "${var.stage}-plan" } : role => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Federated = local.provider_arn }
        Action    = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
            "token.actions.githubusercontent.com:sub" = "repo:${var.repository}:environment:${environment}"
          }
        }
      }]
    })
  }
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  description          = "GitHub Actions deploys ${var.stage}"
  max_session_duration = 3600
  assume_role_policy   = local.trust.deploy
}

resource "aws_iam_role" "plan" {
  name                 = "${var.name}-plan"
  description          = "GitHub Actions plans ${var.stage}"
  max_session_duration = 3600
  assume_role_policy   = local.trust.plan
}

locals {
  deploy_statements = [
    {
      Sid      = "RegistryLogin" # knows no resource
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"]
    },
    {
      Sid    = "PushImage"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:DescribeRepositories", # where to push to
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
      Resource = [var.repository_arn]
    },
    {
      Sid      = "PullWhatPassed"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = [local.source_arn]
    },
    {
      # Registering knows no resource; what a definition can do is bounded by the roles
      # that may be handed over below. Deregistering is nobody's: a rollback goes back to them.
      Sid      = "RegisterTask"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"]
      Resource = ["*"]
    },
    {
      Sid      = "TagTask" # with the default tags, as it is registered
      Effect   = "Allow"
      Action   = ["ecs:TagResource"]
      Resource = ["${local.ecs}:task-definition/${var.name}:*", "${local.ecs}:task-definition/${var.name}-reconcile:*"]
    },
    {
      Sid      = "RollOut"
      Effect   = "Allow"
      Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
      Resource = [var.service_arn]
    },
    {
      Sid      = "RescheduleReconcile"
      Effect   = "Allow"
      Action   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"]
      Resource = ["arn:aws:scheduler:${var.region}:${var.account_id}:schedule/${var.name}/${var.name}-reconcile"]
    },
    {
      Sid    = "HandOverRoles"
      Effect = "Allow"
      Action = ["iam:PassRole"]
      Resource = [
        "${local.iam}:role/${var.name}-task",
        "${local.iam}:role/${var.name}-reconcile",
        "${local.iam}:role/${var.name}-execution",
        "${local.iam}:role/${var.name}-scheduler",
      ]
      Condition = {
        StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "scheduler.amazonaws.com"] }
      }
    },
    {
      Sid      = "StateWriting"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = ["${local.state_arn}/${var.state_key}"]
    },
    {
      Sid      = "StateLock"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Resource = ["${local.state_arn}/${var.state_key}.tflock"]
    },
  ]

  # What every plan asks.
  plan_statements = [
    {
      Sid      = "State"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${local.state_arn}/${var.state_key}"]
    },
    {
      Sid      = "FindImage"
      Effect   = "Allow"
      Action   = ["ecr:DescribeImages"]
      Resource = [local.source_arn]
    },
    {
      Sid      = "StateListing"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [local.state_arn]
    },
    {
      # The data sources. None of these is about what users put in.
      Sid    = "PlanLooksUp"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeManagedPrefixLists",
        "ec2:GetManagedPrefixListEntries",
        "route53:GetHostedZone",
        "route53:ListHostedZones",
        "route53:ListTagsForResource",
      ]
      Resource = ["*"]
    },
  ]

  # One more data source, where Redis is on; the password is in the state anyway.
  redis_statements = [for parameter in var.redis_parameter[*] : {
    Sid      = "PlanReadsRedisPassword"
    Effect   = "Allow"
    Action   = ["ssm:GetParameter"]
    Resource = ["arn:aws:ssm:${var.region}:${var.account_id}:parameter${parameter}"]
  }]
}

resource "aws_iam_role_policy" "deploy" {
  name = "deploy"
  role = aws_iam_role.deploy.id

  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.deploy_statements, local.plan_statements, local.redis_statements) })
}

resource "aws_iam_role_policy" "plan" {
  name = "plan"
  role = aws_iam_role.plan.id

  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.plan_statements, local.redis_statements) })
}

resource "aws_iam_role_policy_attachment" "extra" {
  for_each = toset(var.extra_policy_arns)

  role       = aws_iam_role.deploy.name
  policy_arn = each.key
}
