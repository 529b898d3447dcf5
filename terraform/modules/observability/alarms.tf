locals {
  balancer = { LoadBalancer = var.watched.balancer }
  target   = { LoadBalancer = var.watched.balancer, TargetGroup = var.watched.target_group }
  service  = { ClusterName = var.watched.cluster, ServiceName = var.watched.service }
  table    = { TableName = var.watched.table }
  edge     = { DistributionId = var.watched.distribution_id, Region = "Global" }

  # Of one metric each: threshold, seconds a period, periods in a row.
  simple_alarms = merge(
    {
      latency-p95 = {
        says       = "95 % of requests take up to a second or more: the target of uploads is missed"
        metric     = "TargetResponseTime", namespace = "AWS/ApplicationELB", dimensions = local.target
        percentile = "p95", compare = "GreaterThanThreshold", threshold = 1, period = 300, periods = 3
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
        says      = "The service logs errors: unknown outcomes, work set aside, bugs"
        metric    = "Errors", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 5, period = 300, periods = 1
      }
      edge-5xx = {
        says      = "More than 1 % of what CloudFront answers is a 5xx"
        metric    = "5xxErrorRate", namespace = "AWS/CloudFront", dimensions = local.edge
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 1, period = 300, periods = 3
      }
      reconcile-findings = {
        says      = "Reconcile found objects, items, counters or pointers that don't fit: docs/operations.md"
        metric    = "ReconcileFindings", namespace = local.namespace, dimensions = {}
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0, period = 3600, periods = 1
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
        says      = "DynamoDB throttles ${operation}: a partition is hot"
        metric    = "ThrottledRequests", namespace = "AWS/DynamoDB", dimensions = merge(local.table, { Operation = operation })
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 10, period = 300, periods = 1
      }
    },
    {
      for node in var.watched.redis_node_ids : "redis-memory-${node}" => {
        says      = "Redis is nearly full and evicts what would have been hit"
        metric    = "DatabaseMemoryUsagePercentage", namespace = "AWS/ElastiCache", dimensions = { CacheClusterId = node }
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 85, period = 300, periods = 3
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  for_each = local.simple_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.says
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
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# The promise is 99.9 % success. Both sides count: what the service answers, and what the
# balancer answers because nobody is there.
resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "${var.name}-failures"
  alarm_description   = "More than 1 % of API requests fail with a 5xx, of at least 20"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "rate"
    label       = "Failed requests, %"
    expression  = "IF(requests >= 20, 100 * (FILL(service, 0) + FILL(balancer, 0)) / requests, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = {
      requests = "RequestCount"
      service  = "HTTPCode_Target_5XX_Count"
      balancer = "HTTPCode_ELB_5XX_Count"
    }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = local.balancer
        stat        = "Sum"
        period      = 300
      }
    }
  }
}
