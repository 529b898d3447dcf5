# The collector beside the service: nothing of it unless it is switched on.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "telemetry_off" {
  command = plan

  variables {
    telemetry_enabled = false
    extra_environment = {}
  }

  assert {
    condition     = [for container in jsondecode(module.service.resources.task_definition.container_definitions) : container.name] == ["service"]
    error_message = "The task is the service alone."
  }

  # An exporter without a collector would log a failure every few seconds.
  assert {
    condition     = !strcontains(module.service.resources.task_definition.container_definitions, "OTEL_")
    error_message = "The service sends no traces where nobody takes them."
  }

  assert {
    condition = (
      !strcontains(module.service.resources.task_policy.policy, "xray:") &&
      !strcontains(module.service.resources.task_policy.policy, "logs:")
    )
    error_message = "Nothing is allowed for a collector that isn't there."
  }

  assert {
    condition = (
      !contains(keys(module.observability.resources.alarms), "telemetry-missing") &&
      length(module.observability.resources.worker_stalled) == 0 &&
      alltrue([for alarm in module.observability.resources.alarms : !startswith(alarm.metric_name, "image_service_")]) &&
      length(module.observability.resources.cache_hits) == 0 &&
      !contains(keys(module.observability.resources.log_groups), "telemetry") &&
      !strcontains(module.observability.resources.dashboard.dashboard_body, "image_service_")
    )
    error_message = "No alarm, graph or log group of metrics that aren't there."
  }
}

run "telemetry_on" {
  command = plan

  variables {
    task_cpu          = 1024
    task_memory       = 2048
    telemetry_enabled = true
    redis_enabled     = false
  }

  assert {
    condition = {
      for container in jsondecode(module.service.resources.task_definition.container_definitions) : container.name => container.essential
    } == { service = true, collector = false }
    error_message = "The service outlives its collector."
  }

  assert {
    condition = (
      jsondecode(module.service.resources.task_definition.container_definitions)[1].readonlyRootFilesystem &&
      !jsondecode(module.service.resources.task_definition.container_definitions)[1].privileged &&
      jsondecode(module.service.resources.task_definition.container_definitions)[1].linuxParameters.capabilities.drop == ["ALL"] &&
      jsondecode(module.service.resources.task_definition.container_definitions)[1].user == "10001:10001"
    )
    error_message = "The collector is as closed as the service."
  }

  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[1].image == var.telemetry_image
    error_message = "One version of the collector, not the latest."
  }

  # Of the 2 GB the service takes 1.4 at its peak.
  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[1].memory <= 512 && jsondecode(module.service.resources.task_definition.container_definitions)[1].restartPolicy.enabled
    error_message = "A collector that grows is killed and started again, and not the task."
  }

  assert {
    condition = (
      try(length(jsondecode(module.service.resources.task_definition.container_definitions)[1].portMappings), 0) == 0 &&
      !strcontains(yamlencode(yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value)), "0.0.0.0")
    )
    error_message = "The collector listens on the task's loopback only."
  }

  # Else the last metrics and traces of a task that stops are lost.
  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[0].dependsOn == [{ containerName = "collector", condition = "START" }]
    error_message = "The service stops before its collector."
  }

  assert {
    condition = (
      contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318") &&
      !strcontains(module.reconcile.resources.task_definition.container_definitions, "OTEL_")
    )
    error_message = "The service sends its traces to the collector; reconcile has none."
  }

  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].name == "AOT_CONFIG_CONTENT"
    error_message = "The collector reads its configuration from its environment."
  }

  assert {
    condition = (
      yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).receivers.prometheus.config.scrape_configs[0].static_configs[0].targets == ["localhost:9090"] &&
      yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).receivers.otlp.protocols.grpc.endpoint == "localhost:4317"
    )
    error_message = "It scrapes the port of operations, and takes traces."
  }

  assert {
    condition = {
      for name, pipeline in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).service.pipelines :
      name => "${join(",", pipeline.receivers)} ${join(",", pipeline.exporters)}"
    } == { metrics = "prometheus awsemf", traces = "otlp awsxray" }
    error_message = "Metrics go to CloudWatch, traces to X-Ray."
  }

  # A pipeline that names a part which isn't there keeps the collector from starting.
  assert {
    condition = alltrue(flatten([
      for pipeline in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).service.pipelines : [
        for kind in ["receivers", "processors", "exporters"] : [
          for part in pipeline[kind] : contains(keys(yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value)[kind]), part)
        ]
      ]
    ]))
    error_message = "Every part of a pipeline is configured."
  }

  # The collector expands what looks like a variable.
  assert {
    condition     = !strcontains(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value, "$")
    error_message = "No dollar in the configuration."
  }

  assert {
    condition = (
      yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.namespace == "ImageService/${var.stage}" &&
      yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.log_group_name == "/image-service-${var.stage}/telemetry" &&
      yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.dimension_rollup_option == "NoDimensionRollup"
    )
    error_message = "Metrics come where alarms and graphs look for them, each once."
  }

  # Otherwise the first refusal, and the first orphan, is the one that isn't counted.
  assert {
    condition     = yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.retain_initial_value_of_delta_metric
    error_message = "A counter's first value counts."
  }

  assert {
    condition = alltrue([
      for metric in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).processors.cumulativetodelta.include.metrics :
      endswith(metric, "_seconds")
    ]) && contains(yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).service.pipelines.metrics.processors, "cumulativetodelta")
    error_message = "Histograms are turned into differences: the exporter does it for counters only."
  }

  # Labels are dimensions, and each combination of their values costs.
  assert {
    condition = alltrue([
      for declared in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.metric_declarations :
      length(declared.dimensions) == 1 && length(declared.dimensions[0]) <= (can(declared.label_matchers) ? 3 : 2)
    ])
    error_message = "Few dimensions."
  }

  assert {
    condition = (
      module.observability.resources.alarms["outbox-age"].metric_name == "image_service_outbox_oldest_age_seconds" &&
      module.observability.resources.alarms["outbox-age"].namespace == "ImageService/${var.stage}" &&
      module.observability.resources.alarms["outbox-age"].statistic == "Maximum" &&
      module.observability.resources.alarms["outbox-age"].threshold == 900
    )
    error_message = "Work that waits for a quarter of an hour is an alarm."
  }

  # Which call goes wrong is worth a metric, which goes well is not.
  assert {
    condition = [
      for declared in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.metric_declarations :
      [
        declared.metric_name_selectors, declared.dimensions[0], declared.label_matchers[0].label_names,
        [for outcome in ["ok", "refused", "throttled", "failed", "unanswered", "cancelled"] : outcome if can(regex(declared.label_matchers[0].regex, outcome))],
      ] if can(declared.label_matchers)
      ] == [[
        ["^image_service_dependency_call_seconds"], ["service", "operation", "outcome"], ["outcome"],
        ["refused", "throttled", "failed", "unanswered", "cancelled"],
    ]]
    error_message = "Calls that went wrong are told apart by operation and outcome."
  }

  # What was set aside stays so, whatever five minutes bring.
  assert {
    condition = (
      module.observability.resources.alarms["outbox-set-aside"].metric_name == "image_service_outbox_set_aside" &&
      module.observability.resources.alarms["outbox-set-aside"].statistic == "Maximum" &&
      module.observability.resources.alarms["outbox-set-aside"].treat_missing_data == "ignore" &&
      length(module.observability.resources.alarms["outbox-set-aside"].ok_actions) == 1
    )
    error_message = "That nothing is set aside any more is known, and told."
  }

  # The oldest of all tasks: one that works would hide one that doesn't.
  assert {
    condition = (
      module.observability.resources.worker_stalled[0].threshold == 900 &&
      module.observability.resources.worker_stalled[0].evaluation_periods == 2 &&
      module.observability.resources.worker_stalled[0].comparison_operator == "GreaterThanThreshold" &&
      toset(module.observability.resources.worker_stalled[0].alarm_actions) == toset(["arn:aws:sns:us-east-1:111122223333:tests"]) &&
      { for query in module.observability.resources.worker_stalled[0].metric_query : query.id => coalesce(query.expression, try("${query.metric[0].metric_name} ${query.metric[0].stat} ${query.metric[0].period}", "")) } == {
        old      = "EPOCH(measured) - MIN([measured, round])"
        measured = "image_service_outbox_measured_timestamp_seconds Minimum 300"
        round    = "image_service_outbox_last_round_timestamp_seconds Minimum 300"
      }
    )
    error_message = "A worker that hangs, or can't measure the outbox, is an alarm."
  }

  # The collector isn't essential: nobody else would miss it.
  assert {
    condition     = module.observability.resources.alarms["telemetry-missing"].treat_missing_data == "breaching"
    error_message = "Silence of the collector is an alarm."
  }

  # What an alarm reads has to be what is sent, under the dimensions it is sent with.
  assert {
    condition = alltrue([
      for metric in concat(
        [for alarm in module.observability.resources.alarms : alarm.metric_name],
        flatten([for query in module.observability.resources.worker_stalled[0].metric_query : query.metric[*].metric_name]),
      ) :
      contains([
        for declared in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.metric_declarations :
        declared.metric_name_selectors[0] if length(declared.dimensions[0]) == 0
      ], "^${metric}")
      if startswith(metric, "image_service_")
    ])
    error_message = "What an alarm reads, the collector sends."
  }

  assert {
    condition     = length(module.observability.resources.cache_hits) == 0
    error_message = "No Redis, no hit rate to watch."
  }

  assert {
    condition = alltrue([
      for result in ["hit", "miss", "would_hit", "would_miss"] :
      strcontains(module.observability.resources.dashboard.dashboard_body, "\"${result}\"")
    ])
    error_message = "The dashboard shows the hit rate, or what it would be."
  }

  assert {
    condition = alltrue([
      for metric in regexall("image_service_[a-z_]+", module.observability.resources.dashboard.dashboard_body) :
      contains(flatten([
        for declared in yamldecode(jsondecode(module.service.resources.task_definition.container_definitions)[1].environment[0].value).exporters.awsemf.metric_declarations : declared.metric_name_selectors
      ]), "^${metric}")
    ])
    error_message = "What the dashboard shows, the collector sends."
  }

  assert {
    condition     = length(jsondecode(module.observability.resources.dashboard.dashboard_body).widgets) == 21
    error_message = "The dashboard has the collector's graphs too."
  }

  assert {
    condition     = module.observability.resources.log_groups["telemetry"].retention_in_days == var.log_retention_days
    error_message = "What the collector writes goes like all logs."
  }
}

run "redis_and_telemetry" {
  command = plan

  variables {
    task_cpu          = 1024
    task_memory       = 2048
    telemetry_enabled = true
    redis_enabled     = true
    redis_nodes       = 2
  }

  assert {
    condition = (
      module.observability.resources.cache_hits[0].threshold == 50 &&
      module.observability.resources.cache_hits[0].comparison_operator == "LessThanThreshold" &&
      toset(flatten([
        for query in module.observability.resources.cache_hits[0].metric_query : [for metric in query.metric : "${metric.metric_name} ${metric.dimensions.result}"]
      ])) == toset(["image_service_cache_requests_total hit", "image_service_cache_requests_total miss"])
    )
    error_message = "A Redis that isn't hit half of the time is an alarm."
  }
}
