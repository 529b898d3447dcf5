# Logs, alarms, tags and the budget.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

# What the tfvars leave to whoever applies. Dev makes a user pool of its own.
variables {
  image_digest         = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cognito_user_pool_id = var.stage == "dev" ? null : "us-east-1_TestsTest"
  cognito_client_ids   = var.stage == "dev" ? [] : ["1234567890abcdefghij"]
  github_repository    = "lego-moc/image-service"
  state_bucket         = "lego-moc-terraform-state"
}

run "kept_as_long_as_the_stage_says" {
  command = plan

  assert {
    condition = alltrue([
      for group in module.observability.resources.log_groups : group.retention_in_days == { dev = 7, staging = 14, prod = 90 }[var.stage]
    ]) && length(module.observability.resources.log_groups) == 2
    error_message = "Logs are kept 7, 14 or 90 days."
  }

  assert {
    condition     = output.tags == { Project = "lego-moc", Component = "image-service", Environment = var.stage, CostCenter = "platform" }
    error_message = "Everything carries the four tags."
  }

  assert {
    condition     = tolist(module.observability.resources.budget.cost_filter)[0].values == tolist([format("user:Environment$%s", var.stage)])
    error_message = "The budget counts this stage, in the notation AWS has for tags."
  }
}

run "alarms" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(values(module.observability.resources.alarms), [module.observability.resources.failures]) :
      toset(alarm.alarm_actions) == toset(["arn:aws:sns:us-east-1:111122223333:tests"]) && length(alarm.alarm_description) > 0
    ])
    error_message = "Every alarm tells somebody, and says what it means."
  }

  assert {
    condition = (
      module.observability.resources.alarms["reconcile-findings"].threshold == 0 &&
      module.observability.resources.alarms["reconcile-findings"].comparison_operator == "GreaterThanThreshold" &&
      module.observability.resources.metric_filters["ReconcileFindings"].metric_transformation[0].value == "$.findings"
    )
    error_message = "Whatever reconcile finds is an alarm."
  }

  # A check that has stopped running finds nothing, for ever.
  assert {
    condition     = module.observability.resources.alarms["reconcile-missing"].treat_missing_data == "breaching"
    error_message = "Silence of reconcile is an alarm."
  }

  assert {
    condition = (
      module.observability.resources.alarms["healthy-tasks"].threshold == { dev = 1, staging = 1, prod = 2 }[var.stage] &&
      module.observability.resources.alarms["healthy-tasks"].treat_missing_data == "breaching"
    )
    error_message = "Fewer tasks than there should be is an alarm; so are none."
  }

  assert {
    condition     = module.observability.resources.alarms["latency-p95"].extended_statistic == "p95"
    error_message = "Answer time is watched at the 95th percentile."
  }

  assert {
    condition     = length(jsondecode(module.observability.resources.dashboard.dashboard_body).widgets) == 8
    error_message = "The dashboard has its graphs."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.observability.resources.topic_policy.policy).Statement :
      can(statement.Principal.Service) && statement.Action == "sns:Publish"
    ])
    error_message = "Only services publish alarms."
  }
}
