locals {
  graphs = concat(local.standing_graphs, local.telemetry_graphs)

  standing_graphs = [
    { title = "Requests and failures", stat = "Sum", metrics = [
      ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_Target_4XX_Count", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", var.watched.balancer],
      ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "LoadBalancer", var.watched.balancer],
    ] },
    { title = "Response time, p95 (s)", stat = "p95", metrics = [
      ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.watched.balancer],
    ] },
    { title = "Uploads: p95 (ms)", stat = "p95", metrics = [
      [local.namespace, "UploadTime"],
    ] },
    { title = "Uploads refused by overload; outbox entries that fail for long, or were set aside", stat = "Sum", metrics = [
      [local.namespace, "Overloaded"],
      [local.namespace, "OutboxDelayed"],
      [local.namespace, "OutboxSetAside"],
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

  # Of the collector's metrics: for each graph a list of them, or a search over a label.
  telemetry_graphs = [for graph in [
    { title = "Outbox: depth, and what was set aside", stat = "Maximum", metrics = [
      [local.namespace, "image_service_outbox_depth"],
      [local.namespace, "image_service_outbox_set_aside"],
    ] },
    { title = "Outbox: age of the oldest (s)", stat = "Maximum", metrics = [
      [local.namespace, "image_service_outbox_oldest_age_seconds"],
    ] },
    { title = "Outbox: since the last round, and since it was measured (s)", stat = "Minimum", metrics = concat([
      for id, name in { round = "last_round", measured = "measured" } : [
        [{ id = "${id}_age", label = id, expression = "EPOCH(${id}) - ${id}" }],
        [local.namespace, "image_service_outbox_${name}_timestamp_seconds", { id = id, visible = false }],
      ]
    ]...) },
    # One pair is there at a time: hits where Redis is on, would-be hits where it is off.
    { title = "Cache: hit rate, or what it would be (%)", stat = "Sum", metrics = concat(
      [[{ id = "rate", label = "%", expression = "100 * (FILL(h, 0) + FILL(wh, 0)) / (FILL(h, 0) + FILL(wh, 0) + FILL(m, 0) + FILL(wm, 0))" }]],
      [for id, result in { h = "hit", wh = "would_hit", m = "miss", wm = "would_miss" } :
      [local.namespace, "image_service_cache_requests_total", "result", result, { id = id, visible = false }]],
    ) },
    { title = "Uploads by outcome", stat = "Sum", metrics = [
      [{ expression = "SEARCH('{${local.namespace},outcome} MetricName=\"image_service_uploads_total\"', 'Sum', 300)" }],
    ] },
    { title = "Refused by reason", stat = "Sum", metrics = [
      [{ expression = "SEARCH('{${local.namespace},reason} MetricName=\"image_service_rejected_total\"', 'Sum', 300)" }],
    ] },
    { title = "Orphans found by kind", stat = "Sum", metrics = [
      [{ expression = "SEARCH('{${local.namespace},kind} MetricName=\"image_service_orphans_found_total\"', 'Sum', 300)" }],
    ] },
    { title = "Processing by stage, on average (s)", stat = "Average", metrics = [
      [{ expression = "SEARCH('{${local.namespace},stage} MetricName=\"image_service_processing_seconds\"', 'Average', 300)" }],
      [local.namespace, "image_service_queue_wait_seconds"],
    ] },
    { title = "Calls to dependencies, on average (s)", stat = "Average", metrics = [
      [{ expression = "SEARCH('{${local.namespace},service} MetricName=\"image_service_dependency_call_seconds\"', 'Average', 300)" }],
    ] },
    { title = "Calls to dependencies that went wrong, by outcome", stat = "SampleCount", metrics = [
      [{ expression = "SEARCH('{${local.namespace},service,operation,outcome} MetricName=\"image_service_dependency_call_seconds\"', 'SampleCount', 300)" }],
    ] },
    { title = "Response time by route, on average (s)", stat = "Average", metrics = [
      [{ expression = "SEARCH('{${local.namespace},method,route} MetricName=\"image_service_http_request_duration_seconds\"', 'Average', 300)" }],
    ] },
  ] : graph if var.telemetry_enabled]
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
