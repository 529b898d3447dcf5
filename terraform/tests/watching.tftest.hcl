# Logs, alarms, tags and the budget.

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
      for alarm in concat(values(module.observability.resources.alarms), [module.observability.resources.failures], module.observability.resources.cache_hits) :
      toset(alarm.alarm_actions) == toset(["arn:aws:sns:us-east-1:111122223333:tests"]) && length(alarm.alarm_description) > 0
    ])
    error_message = "Every alarm tells somebody, and says what it means."
  }

  assert {
    condition = (
      module.observability.resources.alarms["reconcile-findings"].threshold == 0 &&
      module.observability.resources.alarms["reconcile-findings"].comparison_operator == "GreaterThanThreshold" &&
      module.observability.resources.metric_filters["reconcile-ReconcileFindings"].metric_transformation[0].value == "$.findings"
    )
    error_message = "Whatever reconcile finds is an alarm."
  }

  # An alarm on a metric nobody writes is quiet for ever. Those of AWS's own are AWS's word.
  assert {
    condition = alltrue([
      for alarm in module.observability.resources.alarms :
      contains([
        for filter in module.observability.resources.metric_filters :
        "${filter.metric_transformation[0].namespace} ${filter.metric_transformation[0].name}"
      ], "${alarm.namespace} ${alarm.metric_name}")
      if !startswith(alarm.namespace, "AWS/")
    ])
    error_message = "What an alarm reads, a filter writes."
  }

  assert {
    condition = alltrue([
      for filter in module.observability.resources.metric_filters :
      filter.metric_transformation[0].value == "1" || strcontains(filter.pattern, filter.metric_transformation[0].value)
    ])
    error_message = "A field whose value is taken has to be in the pattern."
  }

  assert {
    condition = (
      module.observability.resources.alarms["upload-p95"].extended_statistic == "p95" &&
      module.observability.resources.alarms["upload-p95"].threshold == 1000 &&
      module.observability.resources.metric_filters["service-UploadTime"].metric_transformation[0].value == "$.duration_ms" &&
      module.observability.resources.metric_filters["service-UploadTime"].metric_transformation[0].unit == "Milliseconds"
    )
    error_message = "One upload in 20 above a second is an alarm."
  }

  assert {
    condition = alltrue([
      for name, most in { overloaded = 10, outbox-set-aside = 0, logged-errors = 5, edge-5xx = 1 } :
      module.observability.resources.alarms[name].threshold == most &&
      module.observability.resources.alarms[name].comparison_operator == "GreaterThanThreshold"
    ])
    error_message = "Overload, work given up, errors and 5xx are alarms."
  }

  # 100 % and more of 5xx are 5xx of both: what the service answers, and the balancer itself.
  assert {
    condition = toset(flatten([
      for query in module.observability.resources.failures.metric_query : [for metric in query.metric : metric.metric_name]
    ])) == toset(["RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"])
    error_message = "The rate of 5xx is the balancer's count, which outlives the tasks."
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
    condition     = length(jsondecode(module.observability.resources.dashboard.dashboard_body).widgets) == 10
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
