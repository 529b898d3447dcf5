# Log groups, what is counted in them, who is told, and the budget. Alarms are in alarms.tf.

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted with CloudWatch's own key; the service writes no token and no file content
  #checkov:skip=CKV_AWS_338:User ids are kept as briefly as the stage needs
  for_each = toset(concat(["service", "reconcile"], var.telemetry_enabled ? ["telemetry"] : []))

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch can't publish to a topic under the AWS-managed key; alarm texts hold metric names and numbers only
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsAndBudgets"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        # On its own: EventBridge supports no condition in the policy of a topic.
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

# One namespace for what is counted in logs and for what the collector sends; stages may
# share an account.
locals {
  namespace = "ImageService/${var.stage}"

  # Each by its group, so that one metric can count in both.
  counted = jsondecode(file("${path.module}/log_metrics.json"))
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = { for counted in local.counted : "${counted.group}-${counted.metric}" => counted }

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this[each.value.group].name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.namespace
    name      = each.value.metric
    value     = each.value.value
    unit      = each.value.unit
  }
}

resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = format("%.1f", var.monthly_budget)
  limit_unit   = "USD"

  # Counts once the tags are switched on as cost allocation tags: docs/deployment.md.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Environment$%s", var.stage)]
  }

  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    notification_type         = "ACTUAL"
    subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
  }

  notification {
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    notification_type         = "FORECASTED"
    subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
