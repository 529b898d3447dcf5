locals {
  graphs = [
    { title = "Requests and failures", stat = "Sum", metrics = [
      ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_Target_4XX_Count", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "LoadBalancer", var.watched.balancer],
    ] },
    { title = "Answer time, p95 (s)", stat = "p95", metrics = [
      ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.watched.balancer],
    ] },
    { title = "Tasks: CPU and memory (%)", stat = "Average", metrics = [
      ["AWS/ECS", "CPUUtilization", "ClusterName", var.watched.cluster, "ServiceName", var.watched.service],
      ["AWS/ECS", "MemoryUtilization", "ClusterName", var.watched.cluster, "ServiceName", var.watched.service],
    ] },
    { title = "Healthy tasks", stat = "Minimum", metrics = [
      ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", var.watched.target_group, "LoadBalancer", var.watched.balancer],
    ] },
    { title = "Table: units used", stat = "Sum", metrics = [
      ["AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", var.watched.table],
      ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", var.watched.table],
    ] },
    { title = "Edge: requests", stat = "Sum", metrics = [
      ["AWS/CloudFront", "Requests", "DistributionId", var.watched.distribution_id, "Region", "Global"],
    ] },
    { title = "Edge: errors (%)", stat = "Average", metrics = [
      ["AWS/CloudFront", "4xxErrorRate", "DistributionId", var.watched.distribution_id, "Region", "Global"],
      ["AWS/CloudFront", "5xxErrorRate", "DistributionId", var.watched.distribution_id, "Region", "Global"],
    ] },
    { title = "Logged errors and findings", stat = "Sum", metrics = [
      [local.namespace, "Errors"],
      [local.namespace, "ReconcileFindings"],
      [local.namespace, "ReconcileRuns"],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = (index % 2) * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        region  = var.region
        stat    = graph.stat
        period  = 300
        view    = "timeSeries"
        metrics = graph.metrics
      }
    }]
  })
}
