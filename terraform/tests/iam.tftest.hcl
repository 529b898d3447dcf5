# Who may do what: each statement of each role, whole. Whoever widens one has to say so here.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "roles" {
  command = plan

  variables {
    redis_enabled     = false
    redis_nodes       = 2
    telemetry_enabled = false
    extra_secrets     = {}
  }

  # No scan, no reading of pictures (that is CloudFront's), no DeleteObjectVersion.
  assert {
    condition = {
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement : statement.Sid => statement
      } == {
      Table = {
        Sid    = "Table"
        Effect = "Allow"
        Action = [
          "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem",
          "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
        ]
        Resource = ["arn:aws:dynamodb:us-east-1:111122223333:table/tests"]
      }
      Indexes = {
        Sid      = "Indexes"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = ["arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/UserIndex", "arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/AlbumIndex"]
      }
      Objects = {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:PutObject"]
        Resource = ["arn:aws:s3:::tests/images/*"]
      }
      BucketHealth = {
        Sid      = "BucketHealth"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::tests"]
      }
      Invalidations = {
        Sid      = "Invalidations"
        Effect   = "Allow"
        Action   = ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
        Resource = ["arn:aws:cloudfront::111122223333:distribution/E1TESTS"]
      }
    }
    error_message = "The service may do what it does, and nothing else."
  }

  # Of the service and of reconcile, which it starts too.
  assert {
    condition = {
      for statement in jsondecode(module.service.resources.execution_policy.policy).Statement : statement.Sid => statement
      } == {
      RegistryLogin = {
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      }
      Image = {
        Sid      = "Image"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = ["arn:aws:ecr:us-east-1:111122223333:repository/tests"]
      }
      Logs = {
        Sid    = "Logs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "arn:aws:logs:us-east-1:111122223333:log-group:/tests/service:log-stream:task/*",
          "arn:aws:logs:us-east-1:111122223333:log-group:/tests/reconcile:log-stream:task/*",
        ]
      }
    }
    error_message = "ECS pulls one image, and writes to the log groups of both tasks."
  }

  # It alone may scan, and it can't write objects.
  assert {
    condition = {
      for statement in jsondecode(module.reconcile.resources.task_policy.policy).Statement : statement.Sid => statement
      } == {
      Table = {
        Sid    = "Table"
        Effect = "Allow"
        Action = [
          "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable",
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem",
        ]
        Resource = ["arn:aws:dynamodb:us-east-1:111122223333:table/tests"]
      }
      Indexes = {
        Sid      = "Indexes"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = ["arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/UserIndex", "arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/AlbumIndex"]
      }
      Objects = {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject"]
        Resource = ["arn:aws:s3:::tests/images/*"]
      }
      Listing = {
        Sid      = "Listing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::tests"]
      }
      Invalidations = {
        Sid      = "Invalidations"
        Effect   = "Allow"
        Action   = ["cloudfront:CreateInvalidation"]
        Resource = ["arn:aws:cloudfront::111122223333:distribution/E1TESTS"]
      }
    }
    error_message = "Reconcile may do what it does, and nothing else."
  }

  # It reads pictures and writes others, and no request's role does both.
  assert {
    condition = {
      for statement in jsondecode(module.reconcile.resources.rerender_policy.policy).Statement : statement.Sid => statement
      } == {
      Table = {
        Sid    = "Table"
        Effect = "Allow"
        Action = [
          "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem",
          "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem",
        ]
        Resource = ["arn:aws:dynamodb:us-east-1:111122223333:table/tests"]
      }
      Objects = {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["arn:aws:s3:::tests/images/*"]
      }
      Listing = {
        Sid      = "Listing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::tests"]
      }
    }
    error_message = "Rerender may do what it does, and nothing else."
  }

  # ECS refuses to start a task with tags for somebody who may not put them.
  assert {
    condition = {
      for statement in jsondecode(module.reconcile.resources.scheduler_policy.policy).Statement : statement.Sid => statement
      } == {
      Run = {
        Sid       = "Run"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["arn:aws:ecs:us-east-1:111122223333:task-definition/image-service-${var.stage}-reconcile:*"]
        Condition = { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:us-east-1:111122223333:cluster/tests" } }
      }
      HandOverRoles = {
        Sid       = "HandOverRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = ["arn:aws:iam::111122223333:role/reconcile", "arn:aws:iam::111122223333:role/execution"]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      }
      TagTask = {
        Sid       = "TagTask"
        Effect    = "Allow"
        Action    = ["ecs:TagResource"]
        Resource  = ["arn:aws:ecs:us-east-1:111122223333:task/tests/*"]
        Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
      }
    }
    error_message = "The scheduler starts one task in one cluster, tags it, and hands over its roles."
  }

  # It can change no role, its own least of all, deregister nothing a rollback needs, and read
  # nothing users put in.
  assert {
    condition = {
      for statement in jsondecode(module.pipeline[0].resources.deploy_policy.policy).Statement : statement.Sid => statement
      } == {
      RegistryLogin = {
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      }
      PushImage = {
        Sid    = "PushImage"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = ["arn:aws:ecr:us-east-1:111122223333:repository/tests"]
      }
      PullWhatPassed = {
        Sid      = "PullWhatPassed"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = ["arn:aws:ecr:us-east-1:111122223333:repository/image-service-${var.stage == "prod" ? "staging" : "dev"}"]
      }
      RegisterTask = {
        Sid      = "RegisterTask"
        Effect   = "Allow"
        Action   = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"]
        Resource = ["*"]
      }
      TagTask = {
        Sid    = "TagTask"
        Effect = "Allow"
        Action = ["ecs:TagResource"]
        Resource = [
          "arn:aws:ecs:us-east-1:111122223333:task-definition/image-service-${var.stage}:*",
          "arn:aws:ecs:us-east-1:111122223333:task-definition/image-service-${var.stage}-reconcile:*",
        ]
      }
      RollOut = {
        Sid      = "RollOut"
        Effect   = "Allow"
        Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
        Resource = ["arn:aws:ecs:us-east-1:111122223333:service/tests/tests"]
      }
      RescheduleReconcile = {
        Sid      = "RescheduleReconcile"
        Effect   = "Allow"
        Action   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"]
        Resource = ["arn:aws:scheduler:us-east-1:111122223333:schedule/image-service-${var.stage}/image-service-${var.stage}-reconcile"]
      }
      HandOverRoles = {
        Sid    = "HandOverRoles"
        Effect = "Allow"
        Action = ["iam:PassRole"]
        Resource = [
          "arn:aws:iam::111122223333:role/image-service-${var.stage}-task",
          "arn:aws:iam::111122223333:role/image-service-${var.stage}-reconcile",
          "arn:aws:iam::111122223333:role/image-service-${var.stage}-execution",
          "arn:aws:iam::111122223333:role/image-service-${var.stage}-scheduler",
        ]
        Condition = { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "scheduler.amazonaws.com"] } }
      }
      FindImage = {
        Sid      = "FindImage"
        Effect   = "Allow"
        Action   = ["ecr:DescribeImages"]
        Resource = ["arn:aws:ecr:us-east-1:111122223333:repository/image-service-${var.stage == "prod" ? "staging" : "dev"}"]
      }
      StateWriting = {
        Sid      = "StateWriting"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["arn:aws:s3:::lego-moc-terraform-state/image-service/${var.stage}.tfstate"]
      }
      State = {
        Sid      = "State"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["arn:aws:s3:::lego-moc-terraform-state/image-service/${var.stage}.tfstate"]
      }
      StateLock = {
        Sid      = "StateLock"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["arn:aws:s3:::lego-moc-terraform-state/image-service/${var.stage}.tfstate.tflock"]
      }
      StateListing = {
        Sid      = "StateListing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::lego-moc-terraform-state"]
      }
      PlanLooksUp = {
        Sid    = "PlanLooksUp"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAvailabilityZones", "ec2:DescribeManagedPrefixLists", "ec2:GetManagedPrefixListEntries",
          "route53:GetHostedZone", "route53:ListHostedZones", "route53:ListTagsForResource",
        ]
        Resource = ["*"]
      }
    }
    error_message = "The pipeline may do what a deployment does, and nothing else."
  }

  # Whoever may push a branch can have it plan: it can write nothing, not even a lock.
  assert {
    condition = { for statement in jsondecode(module.pipeline[0].resources.plan_policy.policy).Statement : statement.Sid => statement.Action } == {
      State        = ["s3:GetObject"]
      FindImage    = ["ecr:DescribeImages"]
      StateListing = ["s3:ListBucket"]
      PlanLooksUp = [
        "ec2:DescribeAvailabilityZones", "ec2:DescribeManagedPrefixLists", "ec2:GetManagedPrefixListEntries",
        "route53:GetHostedZone", "route53:ListHostedZones", "route53:ListTagsForResource",
      ]
    }
    error_message = "Who plans can look, and nothing else."
  }

  assert {
    condition     = one(jsondecode(module.pipeline[0].resources.plan_role.assume_role_policy).Statement).Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:lego-moc/image-service:environment:${var.stage}-plan"
    error_message = "Who plans is in an environment of its own, without approval; the deployment's is another."
  }

  # AWS's services act for every customer: without the account, for another one's too.
  assert {
    condition = [
      for role in concat(module.service.resources.roles, module.reconcile.resources.roles) : one(jsondecode(role.assume_role_policy).Statement)
      ] == [
      for service in ["ecs-tasks", "ecs-tasks", "ecs-tasks", "scheduler", "ecs-tasks"] : {
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "aws:SourceAccount" = "111122223333" } }
      }
    ]
    error_message = "Roles are taken on for this account only."
  }

  # A wildcard in `sub` would let any branch, or any pull request, deploy.
  assert {
    condition = one(jsondecode(module.pipeline[0].resources.role.assume_role_policy).Statement) == {
      Effect    = "Allow"
      Principal = { Federated = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:lego-moc/image-service:environment:${var.stage}"
        }
      }
    }
    error_message = "One repository, one environment, compared whole."
  }

  # Which role is whose: the wrong one makes every task fail, or lets it do too much.
  assert {
    condition = (
      module.service.resources.task_definition.task_role_arn == "arn:aws:iam::111122223333:role/task" &&
      module.service.resources.task_definition.execution_role_arn == "arn:aws:iam::111122223333:role/execution" &&
      module.reconcile.resources.task_definition.task_role_arn == "arn:aws:iam::111122223333:role/reconcile" &&
      module.reconcile.resources.task_definition.execution_role_arn == "arn:aws:iam::111122223333:role/execution" &&
      module.reconcile.resources.schedule.target[0].role_arn == "arn:aws:iam::111122223333:role/scheduler"
    )
    error_message = "Each task has its own role, and both are started with the same."
  }
}

# With Redis and the collector there is more to read and to write.
run "roles_with_everything_on" {
  command = plan

  variables {
    task_cpu          = 1024
    task_memory       = 2048
    redis_enabled     = true
    redis_nodes       = 2
    telemetry_enabled = true
    extra_secrets     = {}
    github_repository = "lego-moc@123456/image-service@456789"
  }

  assert {
    condition = [
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement : statement if contains(["Metrics", "Traces"], statement.Sid)
      ] == [
      { Sid = "Metrics", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["arn:aws:logs:us-east-1:111122223333:log-group:/tests/telemetry:log-stream:metrics"] },
      { Sid = "Traces", Effect = "Allow", Action = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], Resource = ["*"] },
    ]
    error_message = "The collector writes metrics to one stream, and traces; X-Ray's writing knows no resource."
  }

  assert {
    condition = [
      for statement in jsondecode(module.service.resources.execution_policy.policy).Statement : statement.Resource if contains(["Logs", "Secrets"], statement.Sid)
      ] == [
      [
        "arn:aws:logs:us-east-1:111122223333:log-group:/tests/service:log-stream:task/*",
        "arn:aws:logs:us-east-1:111122223333:log-group:/tests/reconcile:log-stream:task/*",
        "arn:aws:logs:us-east-1:111122223333:log-group:/tests/telemetry:log-stream:collector/*",
      ],
      ["arn:aws:ssm:us-east-1:111122223333:parameter/tests"],
    ]
    error_message = "ECS writes down what the collector says, and reads one secret."
  }

  assert {
    condition = [
      for statement in jsondecode(module.pipeline[0].resources.deploy_policy.policy).Statement : statement if startswith(statement.Sid, "PlanReads")
      ] == [
      { Sid = "PlanReadsRedisPassword", Effect = "Allow", Action = ["ssm:GetParameter"], Resource = ["arn:aws:ssm:us-east-1:111122223333:parameter/image-service/${var.stage}/redis-token"] },
    ]
    error_message = "The plan reads the one parameter it needs."
  }

  # A repository with immutable subjects has ids in its name.
  assert {
    condition     = jsondecode(module.pipeline[0].resources.role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:lego-moc@123456/image-service@456789:environment:${var.stage}"
    error_message = "The subject is taken as GitHub writes it."
  }
}

run "no_pipeline" {
  command = plan

  variables {
    github_repository = null
    state_bucket      = null
  }

  assert {
    condition     = length(module.pipeline) == 0 && output.deploy_role_arn == null && output.plan_role_arn == null
    error_message = "Without a repository there is no role to deploy with."
  }
}
