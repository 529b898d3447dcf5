# A collector (AWS Distro for OpenTelemetry) beside the service: scrapes its metrics into
# CloudWatch, takes its traces for X-Ray. The service runs on without it.

locals {
  telemetry_on = var.telemetry != null

  tracing = { for name, value in { OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318" } : name => value if local.telemetry_on }

  collector_config = {
    receivers = {
      prometheus = {
        config = {
          scrape_configs = [{
            job_name        = "image-service"
            scrape_interval = "60s" # a finer one costs, and CloudWatch keeps minutes
            static_configs  = [{ targets = ["localhost:${var.ports.operations}"] }]

            # The exporter writes what is declared below as metrics, and all else as log lines.
            metric_relabel_configs = [{ source_labels = ["__name__"], regex = "image_service_.*", action = "keep" }]
          }]
        }
      }

      otlp = {
        protocols = {
          grpc = { endpoint = "localhost:4317" }
          http = { endpoint = "localhost:4318" }
        }
      }
    }

    processors = {
      memory_limiter = { check_interval = "1s", limit_mib = 180, spike_limit_mib = 40 }
      batch          = { timeout = "5s" }

      # Counters the exporter turns into differences itself; of histograms it would send the
      # totals since the start, every minute anew.
      cumulativetodelta = { include = { match_type = "strict", metrics = keys(local.histograms) } }
    }

    exporters = {
      awsemf = {
        region                  = var.region
        namespace               = try(var.telemetry.namespace, "")
        log_group_name          = try(var.telemetry.log_group.name, "")
        log_stream_name         = local.metric_stream
        dimension_rollup_option = "NoDimensionRollup"

        # A counter that is there for the first time has just counted something rare.
        retain_initial_value_of_delta_metric = true

        metric_declarations = concat(
          [
            for name, labels in merge(local.histograms, local.counters, local.gauges) :
            { metric_name_selectors = ["^${name}"], dimensions = [labels] }
          ],
          # Which call went wrong, and how. Not of those that went well: two dozen metrics more.
          # No outcome but ok begins with an o; a dollar sign can't be in here.
          [{
            metric_name_selectors = ["^image_service_dependency_call_seconds"]
            dimensions            = [["service", "operation", "outcome"]]
            label_matchers        = [{ label_names = ["outcome"], regex = "^[^o]" }]
          }],
        )
      }

      awsxray = { region = var.region }
    }

    service = {
      telemetry = { logs = { level = "warn" } }

      pipelines = {
        metrics = { receivers = ["prometheus"], processors = ["memory_limiter", "cumulativetodelta"], exporters = ["awsemf"] }
        traces  = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["awsxray"] }
      }
    }
  }

  # What is sent, with the labels that become dimensions: each combination of values is a
  # metric, and costs 30 cents a month. Of histograms CloudWatch gets count and sum: averages,
  # no percentiles.
  histograms = {
    image_service_http_request_duration_seconds = ["method", "route"]
    image_service_processing_seconds            = ["stage"]
    image_service_queue_wait_seconds            = []
    image_service_dependency_call_seconds       = ["service"]
  }

  counters = {
    image_service_uploads_total             = ["outcome"]
    image_service_rejected_total            = ["reason"]
    image_service_connections_refused_total = ["code"]
    image_service_cache_requests_total      = ["result"]
    image_service_orphans_found_total       = ["kind"]
  }

  gauges = {
    image_service_outbox_depth                        = []
    image_service_outbox_oldest_age_seconds           = []
    image_service_outbox_set_aside                    = []
    image_service_outbox_last_round_timestamp_seconds = []
    image_service_outbox_measured_timestamp_seconds   = []
  }

  metric_stream = "metrics"

  collectors = [for settings in var.telemetry[*] : {
    name      = "collector"
    image     = settings.image
    essential = false
    user      = var.container_user
    memory    = 256 # MiB; killed above, and started again

    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }

    environment = [
      { name = "AOT_CONFIG_CONTENT", value = yamlencode(local.collector_config) },
      { name = "GOMEMLIMIT", value = "200MiB" },
    ]

    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = 15
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }

    # Not into the service's group: its filters would count a collector's errors as ours.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = settings.log_group.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "collector"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }]
}
