output "topic_arn" {
  description = "The SNS topic of the alarms."
  value       = aws_sns_topic.alarms.arn
  depends_on  = [aws_sns_topic_policy.alarms]
}

output "log_groups" {
  description = "Name and ARN of each log group: service, reconcile, and telemetry where it is on."
  value = {
    for key, group in aws_cloudwatch_log_group.this : key => { name = group.name, arn = group.arn }
  }
}

output "namespace" {
  description = "Where the service's own metrics are."
  value       = local.namespace
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    log_groups     = aws_cloudwatch_log_group.this
    alarms         = aws_cloudwatch_metric_alarm.simple
    rates          = aws_cloudwatch_metric_alarm.rate
    cache_hits     = aws_cloudwatch_metric_alarm.cache_hits
    worker_stalled = aws_cloudwatch_metric_alarm.worker_stalled
    metric_filters = aws_cloudwatch_log_metric_filter.this
    topic_policy   = aws_sns_topic_policy.alarms
    budget         = aws_budgets_budget.this
    dashboard      = aws_cloudwatch_dashboard.this
  }
}
