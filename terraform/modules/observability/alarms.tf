locals {
  balancer = { LoadBalancer = var.watched.balancer }
  target   = { LoadBalancer = var.watched.balancer, TargetGroup = var.watched.target_group }
  service  = { ClusterName = var.watched.cluster, ServiceName = var.watched.service }
  table    = { TableName = var.watched.table }
  edge     = { DistributionId = var.watched.distribution_id, Region = "Global" }

  # Of one metric each: threshold, seconds a period, periods in a row. `runbook` where the page
  # has another name. `clears = false` where what is counted is an event: that none came after
  # it doesn't mean that all is well again, and no mail may say so.
  simple_alarms = merge(
    {
      # From the service's log: the balancer has no figure by route, and CloudWatch no
      # percentiles of the histograms a collector sends.
      upload-p95 = {
        says       = "One upload in 20 takes more than a second, the body's way here included: the target is missed"
        metric     = "UploadTime", namespace = local.namespace, dimensions = {}
        percentile = "p95", compare = "GreaterThanThreshold", threshold = 1000, period = 300, periods = 3
      }
      latency-p95 = {
        says       = "One request in 20 waits more than a second for its response, of all routes"
        metric     = "TargetResponseTime", namespace = "AWS/ApplicationELB", dimensions = local.target
        percentile = "p95", compare = "GreaterThanThreshold", threshold = 1, period = 300, periods = 3
      }
      overloaded = {
        says      = "Uploads are refused for lack of memory or CPU: max_tasks, task_cpu"
        metric    = "Overloaded", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 10, period = 300, periods = 2
      }
      # With a collector, by how many there are; else by the line that one gets when it is made.
      outbox-set-aside = {
        says      = "Work after a deletion was given up after 16 hours: reconcile --fix tries again"
        metric    = var.telemetry_enabled ? "image_service_outbox_set_aside" : "OutboxSetAside", namespace = local.namespace, dimensions = {}
        statistic = var.telemetry_enabled ? "Maximum" : "Sum", compare = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1
        missing   = var.telemetry_enabled ? "ignore" : "notBreaching", clears = var.telemetry_enabled
      }
      # With a collector, by the age of the oldest; else by the lines of work that has waited so
      # long. It fails again every 16 to 38 minutes, or CloudFront is busy every minute.
      outbox-age = {
        says      = "Work after a deletion waits for more than a quarter of an hour: pictures may still be at the edge"
        metric    = var.telemetry_enabled ? "image_service_outbox_oldest_age_seconds" : "OutboxDelayed", namespace = local.namespace, dimensions = {}
        statistic = var.telemetry_enabled ? "Maximum" : "Sum", compare = "GreaterThanThreshold", threshold = var.telemetry_enabled ? 900 : 0
        period    = var.telemetry_enabled ? 300 : 3600, periods = var.telemetry_enabled ? 2 : 1
      }
      healthy-tasks = {
        says      = "Fewer healthy tasks than the least there should be"
        metric    = "HealthyHostCount", namespace = "AWS/ApplicationELB", dimensions = local.target
        statistic = "Minimum", compare = "LessThanThreshold", threshold = var.min_tasks, period = 60, periods = 5
        missing   = "breaching"
      }
      cpu = {
        says      = "CPU stays high: autoscaling is at its ceiling, or too slow"
        metric    = "CPUUtilization", namespace = "AWS/ECS", dimensions = local.service
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 85, period = 300, periods = 3
      }
      memory = {
        says      = "Memory nears the limit at which the kernel kills the task"
        metric    = "MemoryUtilization", namespace = "AWS/ECS", dimensions = local.service
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = 85, period = 300, periods = 2
      }
      logged-errors = {
        says      = "The service logs errors: unknown outcomes, bugs"
        metric    = "Errors", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 5, period = 300, periods = 1
      }
      edge-5xx = {
        says      = "More than 1 % of CloudFront's responses are a 5xx"
        metric    = "5xxErrorRate", namespace = "AWS/CloudFront", dimensions = local.edge
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 1, period = 300, periods = 3
      }
      reconcile-findings = {
        says      = "Reconcile found objects, items, counters or pointers that don't fit"
        metric    = "ReconcileFindings", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0, period = 3600, periods = 1
        clears    = false
      }
      reconcile-not-started = {
        says      = "EventBridge Scheduler could not start reconcile: its role, the task definition, or ECS"
        metric    = "TargetErrorCount", namespace = "AWS/Scheduler", dimensions = { ScheduleGroup = var.watched.schedule_group }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1
        clears    = false
      }
      reconcile-missing = {
        says      = "No reconcile has finished for two days"
        metric    = "ReconcileRuns", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "LessThanThreshold", threshold = 1, period = 86400, periods = 2
        missing   = "breaching"
      }
    },
    {
      for operation in ["GetItem", "Query", "TransactWriteItems"] : "table-throttled-${lower(operation)}" => {
        says      = "DynamoDB throttles ${operation}: a partition is hot", runbook = "table-throttled"
        metric    = "ThrottledRequests", namespace = "AWS/DynamoDB", dimensions = merge(local.table, { Operation = operation })
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 10, period = 300, periods = 1
      }
    },
    # What only the service knows, and a collector tells.
    {
      for name, alarm in {
        telemetry-missing = {
          says      = "No metrics of the service for a quarter of an hour: outbox-age and worker-stalled are blind"
          metric    = "image_service_outbox_depth", namespace = local.namespace, dimensions = {}
          statistic = "SampleCount", compare = "LessThanThreshold", threshold = 1, period = 300, periods = 3
          missing   = "breaching"
        }
      } : name => alarm if var.telemetry_enabled
    },
    {
      for node in var.watched.redis_node_ids : "redis-memory-${node}" => {
        says      = "Redis is nearly full and evicts what would have been hit", runbook = "redis-memory"
        metric    = "DatabaseMemoryUsagePercentage", namespace = "AWS/ElastiCache", dimensions = { CacheClusterId = node }
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 85, period = 300, periods = 3
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  for_each = local.simple_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.says}. docs/runbooks/${try(each.value.runbook, each.key)}.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = try(each.value.statistic, null)
  extended_statistic  = try(each.value.percentile, null)
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = try(each.value.clears, true) ? [aws_sns_topic.alarms.arn] : []
}

# What the outbox's own metrics say of it is worth nothing once they are old. Of the worst task:
# each has a worker. EPOCH is the time of the data point. A task that has just started says 0.
resource "aws_cloudwatch_metric_alarm" "worker_stalled" {
  count = var.telemetry_enabled ? 1 : 0

  alarm_name          = "${var.name}-worker-stalled"
  alarm_description   = "A task's worker has not gone through the outbox, or not measured it, for a quarter of an hour. docs/runbooks/worker-stalled.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 900
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "old"
    label       = "Seconds since the last round, or measurement"
    expression  = "EPOCH(measured) - MIN([measured, round])"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = {
      measured = "image_service_outbox_measured_timestamp_seconds"
      round    = "image_service_outbox_last_round_timestamp_seconds"
    }

    content {
      id = metric_query.key

      metric {
        namespace   = local.namespace
        metric_name = metric_query.value
        stat        = "Minimum"
        period      = 300
      }
    }
  }
}

# Redis is worth its price above 50 %. The other way round, with Redis off, the dashboard
# shows what the rate would be.
resource "aws_cloudwatch_metric_alarm" "cache_hits" {
  count = var.telemetry_enabled && length(var.watched.redis_node_ids) > 0 ? 1 : 0

  alarm_name          = "${var.name}-cache-hits"
  alarm_description   = "Less than half of a day's reads find what they want in Redis, of at least 1,000. docs/runbooks/cache-hits.md"
  comparison_operator = "LessThanThreshold"
  threshold           = 50
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "rate"
    label       = "Hit rate, %"
    expression  = "IF(FILL(hit, 0) + FILL(miss, 0) >= 1000, 100 * FILL(hit, 0) / (FILL(hit, 0) + FILL(miss, 0)), 100)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["hit", "miss"])

    content {
      id = metric_query.value

      metric {
        namespace   = local.namespace
        metric_name = "image_service_cache_requests_total"
        dimensions  = { result = metric_query.value }
        stat        = "Sum"
        period      = 86400
      }
    }
  }
}

locals {
  failed  = "(FILL(service, 0) - FILL(forged, 0) + FILL(balancer, 0))"
  reached = "(FILL(requests, 0) + FILL(balancer, 0))"

  # In percent, in two of three periods of 5 minutes. Few events bound each from below, not many
  # requests: a stage is sized for 17 API requests in 5 minutes, and fewer at night.
  rate_alarms = {
    # The promise is 99.9 % success. Both sides count: what the service answers, and what the
    # balancer answers because nobody is there: RequestCount counts only what found a task, and
    # would be nothing while all are away. A flood of forged tokens is no failure.
    failures = {
      says       = "More than 1 % of API requests fail with a 5xx, two at least"
      expression = "IF(${local.failed} >= 2, 100 * ${local.failed} / ${local.reached}, 0)"
      threshold  = 1
      namespace  = "AWS/ApplicationELB"
      dimensions = local.balancer
      metrics    = { requests = "RequestCount Sum", service = "HTTPCode_Target_5XX_Count Sum", balancer = "HTTPCode_ELB_5XX_Count Sum" }
      logged     = { forged = "UnknownKeysRefused Sum" }
    }
    # Ten pictures are shown for each API request, so that many 4xx are pictures that are not
    # shown: S3's 403 after its policy was changed is no 5xx.
    edge-4xx = {
      says       = "More than 20 % of CloudFront's responses are a 4xx, of 20 requests at least: pictures are not shown"
      expression = "IF(FILL(requests, 0) >= 20, FILL(refused, 0), 0)"
      threshold  = 20
      namespace  = "AWS/CloudFront"
      dimensions = local.edge
      metrics    = { requests = "Requests Sum", refused = "4xxErrorRate Average" }
      logged     = {}
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "rate" {
  for_each = local.rate_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.says}. docs/runbooks/${each.key}.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "rate"
    label       = "%"
    expression  = each.value.expression
    return_data = true
  }

  dynamic "metric_query" {
    for_each = merge(each.value.metrics, each.value.logged)

    content {
      id = metric_query.key

      metric {
        namespace   = contains(keys(each.value.logged), metric_query.key) ? local.namespace : each.value.namespace
        metric_name = split(" ", metric_query.value)[0]
        dimensions  = contains(keys(each.value.logged), metric_query.key) ? {} : each.value.dimensions
        stat        = split(" ", metric_query.value)[1]
        period      = 300
      }
    }
  }
}
