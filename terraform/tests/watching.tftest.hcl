# Logs, alarms, tags and the budget.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "watching" {
  command = plan

  variables {
    telemetry_enabled = false
    redis_enabled     = true
    redis_nodes       = 2
  }

  assert {
    condition = alltrue([
      for group in module.observability.resources.log_groups : group.retention_in_days == var.log_retention_days
    ]) && toset(keys(module.observability.resources.log_groups)) == toset(["service", "reconcile"])
    error_message = "Logs are kept as long as the stage says."
  }

  assert {
    condition     = output.tags == { Project = "lego-moc", Component = "image-service", Environment = var.stage, CostCenter = var.cost_center }
    error_message = "Everything carries the four tags."
  }

  assert {
    condition     = tolist(module.observability.resources.budget.cost_filter)[0].values == tolist([format("user:Environment$%s", var.stage)])
    error_message = "The budget counts this stage, in the notation AWS has for tags."
  }

  # Metric and statistic, when it goes off, over how many periods of how many seconds, and
  # what silence means. No metric of a check that has stopped running is bad for ever.
  assert {
    condition = {
      for name, alarm in module.observability.resources.alarms : name => join(" ", [
        alarm.namespace, alarm.metric_name, try(coalesce(alarm.statistic, alarm.extended_statistic), ""),
        alarm.comparison_operator == "GreaterThanThreshold" ? ">" : alarm.comparison_operator == "LessThanThreshold" ? "<" : alarm.comparison_operator,
        alarm.threshold, "${alarm.evaluation_periods}x${alarm.period}", alarm.treat_missing_data,
      ])
      } == {
      upload-p95                         = "ImageService/${var.stage} UploadTime p95 > 1000 3x300 notBreaching"
      latency-p95                        = "AWS/ApplicationELB TargetResponseTime p95 > 1 3x300 notBreaching"
      overloaded                         = "ImageService/${var.stage} Overloaded Sum > 10 2x300 notBreaching"
      outbox-set-aside                   = "ImageService/${var.stage} OutboxSetAside Sum > 0 1x300 notBreaching"
      outbox-age                         = "ImageService/${var.stage} OutboxDelayed Sum > 0 1x3600 notBreaching"
      healthy-tasks                      = "AWS/ApplicationELB HealthyHostCount Minimum < ${var.min_tasks} 5x60 breaching"
      cpu                                = "AWS/ECS CPUUtilization Average > 85 3x300 notBreaching"
      memory                             = "AWS/ECS MemoryUtilization Maximum > 85 2x300 notBreaching"
      logged-errors                      = "ImageService/${var.stage} Errors Sum > 5 1x300 notBreaching"
      edge-5xx                           = "AWS/CloudFront 5xxErrorRate Average > 1 3x300 notBreaching"
      reconcile-findings                 = "ImageService/${var.stage} ReconcileFindings Sum > 0 1x3600 notBreaching"
      reconcile-not-started              = "AWS/Scheduler TargetErrorCount Sum > 0 1x300 notBreaching"
      reconcile-missing                  = "ImageService/${var.stage} ReconcileRuns Sum < 1 2x86400 breaching"
      table-throttled-getitem            = "AWS/DynamoDB ThrottledRequests Sum > 10 1x300 notBreaching"
      table-throttled-query              = "AWS/DynamoDB ThrottledRequests Sum > 10 1x300 notBreaching"
      table-throttled-transactwriteitems = "AWS/DynamoDB ThrottledRequests Sum > 10 1x300 notBreaching"

      "redis-memory-image-service-${var.stage}-001" = "AWS/ElastiCache DatabaseMemoryUsagePercentage Average > 85 3x300 notBreaching"
      "redis-memory-image-service-${var.stage}-002" = "AWS/ElastiCache DatabaseMemoryUsagePercentage Average > 85 3x300 notBreaching"
    }
    error_message = "Each alarm, and when it goes off."
  }

  # A line in the log is an event: five minutes without another one don't undo it.
  assert {
    condition = toset([
      for name, alarm in module.observability.resources.alarms : name if length(alarm.ok_actions) == 0
    ]) == toset(["outbox-set-aside", "reconcile-findings", "reconcile-not-started"])
    error_message = "No mail says that it is over where nobody knows."
  }

  # An alarm on dimensions nobody sends is quiet for ever.
  assert {
    condition = {
      for name, alarm in module.observability.resources.alarms : name => alarm.dimensions if startswith(alarm.namespace, "AWS/") && !startswith(name, "table-") && !startswith(name, "redis-")
      } == {
      latency-p95           = tomap({ LoadBalancer = "app/tests/0123456789abcdef", TargetGroup = "targetgroup/tests/0123456789abcdef" })
      healthy-tasks         = tomap({ LoadBalancer = "app/tests/0123456789abcdef", TargetGroup = "targetgroup/tests/0123456789abcdef" })
      cpu                   = tomap({ ClusterName = "image-service-${var.stage}", ServiceName = "image-service-${var.stage}" })
      memory                = tomap({ ClusterName = "image-service-${var.stage}", ServiceName = "image-service-${var.stage}" })
      edge-5xx              = tomap({ DistributionId = "E1TESTS", Region = "Global" })
      reconcile-not-started = tomap({ ScheduleGroup = "image-service-${var.stage}" })
    }
    error_message = "Each alarm looks at this stage's part."
  }

  assert {
    condition     = module.reconcile.resources.schedule.group_name == "image-service-${var.stage}"
    error_message = "The scheduler's metrics are by group: the schedule has one of its own."
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(module.observability.resources.alarms), values(module.observability.resources.rates)) :
      toset(alarm.alarm_actions) == toset(["arn:aws:sns:us-east-1:111122223333:tests"]) && can(regex("^[A-Z].{20,}\\. docs/runbooks/[a-z0-9-]+\\.md$", alarm.alarm_description))
    ])
    error_message = "Every alarm tells somebody, says what it means, and where to read on."
  }

  # Patterns against real log lines: tests/container/metric_filters.py.
  assert {
    condition = {
      for key, filter in module.observability.resources.metric_filters :
      key => "${filter.pattern} -> ${filter.metric_transformation[0].namespace} ${filter.metric_transformation[0].name} ${filter.metric_transformation[0].value} ${filter.metric_transformation[0].unit}"
      } == {
      service-Errors              = "{ $.level = \"error\" } -> ImageService/${var.stage} Errors 1 Count"
      service-Overloaded          = "{ ($.event = \"request\") && ($.route = \"/images\") && ($.code = \"OVERLOADED\") } -> ImageService/${var.stage} Overloaded 1 Count"
      service-UnknownKeysRefused  = "{ ($.event = \"request\") && ($.reason = \"TOO_MANY_UNKNOWN_KEYS\") } -> ImageService/${var.stage} UnknownKeysRefused 1 Count"
      service-UploadTime          = "{ ($.event = \"request\") && ($.method = \"POST\") && ($.route = \"/images\") && ($.status = 201) && ($.duration_ms >= 0) } -> ImageService/${var.stage} UploadTime $.duration_ms Milliseconds"
      service-OutboxDelayed       = "{ $.waited_s > 900 } -> ImageService/${var.stage} OutboxDelayed 1 Count"
      service-OutboxSetAside      = "{ $.event = \"outbox_entry_set_aside\" } -> ImageService/${var.stage} OutboxSetAside 1 Count"
      reconcile-OutboxSetAside    = "{ $.event = \"outbox_entry_set_aside\" } -> ImageService/${var.stage} OutboxSetAside 1 Count"
      reconcile-ReconcileRuns     = "{ $.event = \"reconcile_finished\" } -> ImageService/${var.stage} ReconcileRuns 1 Count"
      reconcile-ReconcileFindings = "{ ($.event = \"reconcile_finished\") && ($.findings > 0) } -> ImageService/${var.stage} ReconcileFindings $.findings Count"
    }
    error_message = "What is counted in the logs."
  }

  # RequestCount knows only requests that found a task: without the balancer's own 5xx below
  # the line, the worst outage would have no rate at all. Numbers put into the expressions:
  # tests/unit/telemetry/test_observability.py.
  assert {
    condition = {
      for name, alarm in module.observability.resources.rates : name => merge(
        { when = "${alarm.comparison_operator} ${alarm.threshold}, ${alarm.datapoints_to_alarm} of ${alarm.evaluation_periods}, ${alarm.treat_missing_data}" },
        { for query in alarm.metric_query : query.id => try("${query.metric[0].namespace} ${query.metric[0].metric_name} ${query.metric[0].stat} ${query.metric[0].period} ${join(" ", values(query.metric[0].dimensions))}", query.expression) },
      )
      } == {
      failures = {
        when     = "GreaterThanThreshold 1, 2 of 3, notBreaching"
        rate     = "IF((FILL(service, 0) - FILL(forged, 0) + FILL(balancer, 0)) >= 2, 100 * (FILL(service, 0) - FILL(forged, 0) + FILL(balancer, 0)) / (FILL(requests, 0) + FILL(balancer, 0)), 0)"
        requests = "AWS/ApplicationELB RequestCount Sum 300 app/tests/0123456789abcdef"
        service  = "AWS/ApplicationELB HTTPCode_Target_5XX_Count Sum 300 app/tests/0123456789abcdef"
        balancer = "AWS/ApplicationELB HTTPCode_ELB_5XX_Count Sum 300 app/tests/0123456789abcdef"
        forged   = "ImageService/${var.stage} UnknownKeysRefused Sum 300 "
      }
      edge-4xx = {
        when     = "GreaterThanThreshold 20, 2 of 3, notBreaching"
        rate     = "IF(FILL(requests, 0) >= 20, FILL(refused, 0), 0)"
        requests = "AWS/CloudFront Requests Sum 300 E1TESTS Global"
        refused  = "AWS/CloudFront 4xxErrorRate Average 300 E1TESTS Global"
      }
    }
    error_message = "More than one API request in a hundred failing is an alarm, also when no task is there; and so are pictures that are not shown."
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
