# Who may do what: exact actions on exact resources.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

# What the tfvars leave open. Dev makes a user pool of its own.
variables {
  image_digest         = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cognito_user_pool_id = var.stage == "dev" ? null : "us-east-1_TestsTest"
  cognito_client_ids   = var.stage == "dev" ? [] : ["1234567890abcdefghij"]
  github_repository    = "lego-moc/image-service"
  state_bucket         = "lego-moc-terraform-state"
}

run "service_role" {
  command = plan

  assert {
    condition = toset(flatten([
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement : statement.Action
      ])) == toset([
      "cloudfront:CreateInvalidation",
      "dynamodb:BatchGetItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListBucket",
      "s3:PutObject",
    ])
    error_message = "The service may do what it does, and nothing else: no scan, no DeleteObjectVersion."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement : statement.Resource
      ])) == toset([
      "arn:aws:cloudfront::111122223333:distribution/E1TESTS",
      "arn:aws:dynamodb:us-east-1:111122223333:table/tests",
      "arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/AlbumIndex",
      "arn:aws:dynamodb:us-east-1:111122223333:table/tests/index/UserIndex",
      "arn:aws:s3:::tests",
      "arn:aws:s3:::tests/images/*",
      "arn:aws:s3:::tests/temp/*",
    ])
    error_message = "One table, its two indexes, two folders of one bucket, one distribution."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement :
      toset(statement.Action) == toset(["s3:DeleteObject", "s3:PutObject"]) if contains(statement.Resource, "arn:aws:s3:::tests/images/*")
    ])
    error_message = "Pictures are written and deleted; who reads them is CloudFront."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.service.resources.task_policy.policy).Statement :
      strcontains(jsonencode(statement.Resource), "/index/") == (statement.Sid == "Indexes")
    ])
    error_message = "An index is queried, and nothing else is done with it."
  }
}

run "reconcile_role" {
  command = plan

  # It alone may scan, and it can't write objects.
  assert {
    condition = toset(flatten([
      for statement in jsondecode(module.reconcile.resources.task_policy.policy).Statement : statement.Action
      ])) == toset([
      "cloudfront:CreateInvalidation",
      "dynamodb:BatchGetItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:DescribeTable",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:Scan",
      "dynamodb:UpdateItem",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListBucket",
    ])
    error_message = "Reconcile may do what it does, and nothing else."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(module.reconcile.resources.scheduler_policy.policy).Statement : statement.Action
    ])) == toset(["ecs:RunTask", "iam:PassRole"])
    error_message = "The scheduler starts a task, and hands over its roles."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.reconcile.resources.scheduler_policy.policy).Statement :
      try(statement.Condition.ArnEquals["ecs:cluster"], statement.Condition.StringEquals["iam:PassedToService"], "") != ""
    ])
    error_message = "In this cluster only, and to ECS tasks only."
  }
}

run "no_wildcards" {
  command = plan

  # The deploy role's reading is in here too: every action by its name.
  assert {
    condition = alltrue([
      for action in flatten([
        for policy in [
          module.service.resources.task_policy.policy,
          module.service.resources.execution_policy.policy,
          module.reconcile.resources.task_policy.policy,
          module.reconcile.resources.scheduler_policy.policy,
          module.pipeline[0].resources.deploy_policy.policy,
          module.pipeline[0].resources.plan_policy.policy,
        ] : [for statement in jsondecode(policy).Statement : statement.Action]
      ]) : !strcontains(action, "*")
    ])
    error_message = "No action has a wildcard."
  }

  # A version that can be deleted is a backup that can be deleted.
  assert {
    condition = !strcontains(join("", [
      module.service.resources.task_policy.policy,
      module.reconcile.resources.task_policy.policy,
      module.pipeline[0].resources.deploy_policy.policy,
      module.pipeline[0].resources.plan_policy.policy,
    ]), "DeleteObjectVersion")
    error_message = "Nobody may delete old versions: they are what a stolen task can't take."
  }

  assert {
    condition = [
      for statement in concat(
        jsondecode(module.service.resources.task_policy.policy).Statement,
        jsondecode(module.service.resources.execution_policy.policy).Statement,
        jsondecode(module.reconcile.resources.task_policy.policy).Statement,
        jsondecode(module.reconcile.resources.scheduler_policy.policy).Statement,
      ) : statement.Sid if contains(flatten([statement.Resource]), "*")
    ] == ["RegistryLogin"]
    error_message = "Only ecr:GetAuthorizationToken, which knows no resource, is on all of them."
  }

  # What a pipeline could make its own permissions with.
  assert {
    condition = alltrue([
      for action in flatten([
        for statement in jsondecode(module.pipeline[0].resources.deploy_policy.policy).Statement : statement.Action
      ]) : !startswith(action, "iam:") || action == "iam:PassRole"
    ])
    error_message = "The pipeline can't change roles, its own least of all."
  }

  assert {
    condition = alltrue([
      for action in flatten([
        for statement in jsondecode(module.pipeline[0].resources.plan_policy.policy).Statement : statement.Action
      ]) : can(regex(":(Describe|Get|List|View)", action)) && !contains(["s3:GetObject", "dynamodb:GetItem", "logs:GetLogEvents", "secretsmanager:GetSecretValue"], action)
    ])
    error_message = "Planning reads configuration, and nothing users put in."
  }
}

run "trust" {
  command = plan

  # AWS's services act for every customer: without the account, for another one's too.
  assert {
    condition = alltrue([
      for role in concat(module.service.resources.roles, module.reconcile.resources.roles) :
      jsondecode(role.assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "111122223333" } }
    ]) && length(concat(module.service.resources.roles, module.reconcile.resources.roles)) == 4
    error_message = "Roles are taken on for this account only."
  }

  # A wildcard in `sub` would let any branch, or any pull request, deploy.
  assert {
    condition = jsondecode(module.pipeline[0].resources.role.assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = "repo:lego-moc/image-service:environment:${var.stage}"
      }
    }
    error_message = "One repository, one environment, compared whole."
  }
}

run "no_pipeline" {
  command = plan

  variables {
    github_repository = null
    state_bucket      = null
  }

  assert {
    condition     = length(module.pipeline) == 0 && output.deploy_role_arn == null
    error_message = "Without a repository there is no role to deploy with."
  }
}
