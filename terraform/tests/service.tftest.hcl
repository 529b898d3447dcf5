# Tasks: how big, how closed, how they come and go.

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

run "sizes" {
  command = plan

  assert {
    condition = [module.service.resources.task_definition.cpu, module.service.resources.task_definition.memory] == {
      dev     = ["256", "1024"]
      staging = ["512", "2048"]
      prod    = ["1024", "2048"]
    }[var.stage]
    error_message = "CPU and memory of the stage."
  }

  assert {
    condition = [module.service.resources.scaling_target.min_capacity, module.service.resources.scaling_target.max_capacity] == {
      dev     = [1, 2]
      staging = [1, 3]
      prod    = [2, 10]
    }[var.stage]
    error_message = "Number of tasks of the stage."
  }

  # Python sees two CPUs on every Fargate task, even on a quarter of one.
  assert {
    condition     = contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], "IMAGE_SERVICE_WORKER_THREADS=1")
    error_message = "Up to one CPU there is one worker thread."
  }

  # The table in the README, by the stage's memory; what may wait by its CPU.
  assert {
    condition = {
      for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment :
      trimprefix(entry.name, "IMAGE_SERVICE_") => entry.value if strcontains(entry.name, "_MEMORY_") || strcontains(entry.name, "_MAX_") || strcontains(entry.name, "_WAITING_")
      } == {
      dev     = { UPLOAD_MEMORY_BYTES = "134217728", DECODE_MEMORY_BYTES = "536870912", MAX_UPLOADS = "64", WAITING_DECODE_BYTES = "1073741824" }
      staging = { UPLOAD_MEMORY_BYTES = "268435456", DECODE_MEMORY_BYTES = "805306368", MAX_UPLOADS = "128", WAITING_DECODE_BYTES = "2147483648" }
      prod    = { UPLOAD_MEMORY_BYTES = "268435456", DECODE_MEMORY_BYTES = "805306368", MAX_UPLOADS = "128", WAITING_DECODE_BYTES = "4294967296" }
    }[var.stage]
    error_message = "The service takes as much as the task has room for."
  }

  assert {
    condition = toset([for strategy in module.service.resources.service.capacity_provider_strategy : strategy.capacity_provider]) == {
      dev     = toset(["FARGATE_SPOT"])
      staging = toset(["FARGATE"])
      prod    = toset(["FARGATE"])
    }[var.stage]
    error_message = "Spot in dev only."
  }

  assert {
    condition = (
      module.service.resources.task_definition.runtime_platform[0].cpu_architecture == "ARM64" &&
      module.reconcile.resources.task_definition.runtime_platform[0].cpu_architecture == "ARM64"
    )
    error_message = "ARM64: a fifth cheaper, and what the pipeline builds."
  }

  assert {
    condition     = { for key, policy in module.service.resources.scaling_policies : key => policy.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type } == { cpu = "ECSServiceAverageCPUUtilization", requests = "ALBRequestCountPerTarget" }
    error_message = "Scaled by CPU (uploads) and by requests per target (reads)."
  }

  assert {
    condition     = module.service.resources.scaling_policies["requests"].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].resource_label == "app/tests/0123456789abcdef/targetgroup/tests/0123456789abcdef"
    error_message = "Requests are counted at this balancer's target group."
  }
}

run "worker_threads" {
  command = plan

  variables {
    task_cpu    = 4096
    task_memory = 8192
  }

  assert {
    condition     = contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], "IMAGE_SERVICE_WORKER_THREADS=4")
    error_message = "A worker thread for each CPU of the task."
  }
}

run "a_larger_task" {
  command = plan

  variables {
    task_cpu          = 2048
    task_memory       = 4096
    extra_environment = { IMAGE_SERVICE_MAX_UPLOADS = "200" }
  }

  assert {
    condition = alltrue([
      for line in [
        "IMAGE_SERVICE_WORKER_THREADS=2",
        "IMAGE_SERVICE_UPLOAD_MEMORY_BYTES=536870912",
        "IMAGE_SERVICE_DECODE_MEMORY_BYTES=1610612736",
        "IMAGE_SERVICE_WAITING_DECODE_BYTES=8589934592",
      ] : contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], line)
    ])
    error_message = "Two CPUs and 4 GB: the README's last line."
  }

  assert {
    condition     = contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], "IMAGE_SERVICE_MAX_UPLOADS=200")
    error_message = "What a stage sets itself wins."
  }
}

run "container" {
  command = plan

  # Nobody but the task itself reaches the metrics: not by a port, not by an address.
  assert {
    condition = (
      [for mapping in jsondecode(module.service.resources.task_definition.container_definitions)[0].portMappings : mapping.containerPort] == [8000] &&
      [for balanced in module.service.resources.service.load_balancer : balanced.container_port] == [8000]
    )
    error_message = "The API's port is the only one."
  }

  # Those of the service and of its dependencies go to the internet by HTTPS alone.
  assert {
    condition     = toset([for rule in [module.service.resources.egress] : rule.ip_protocol]) == toset(["tcp"])
    error_message = "TCP only."
  }

  assert {
    condition = alltrue([
      for definitions in [module.service.resources.task_definition.container_definitions, module.reconcile.resources.task_definition.container_definitions] :
      jsondecode(definitions)[0].readonlyRootFilesystem &&
      !jsondecode(definitions)[0].privileged &&
      jsondecode(definitions)[0].linuxParameters.capabilities.drop == ["ALL"] &&
      !can(jsondecode(definitions)[0].linuxParameters.capabilities.add) &&
      jsondecode(definitions)[0].linuxParameters.initProcessEnabled &&
      jsondecode(definitions)[0].user == "10001:10001"
    ])
    error_message = "Read-only root, no capability, an init process, not root: service and reconcile alike."
  }

  assert {
    condition = alltrue([
      for definitions in [module.service.resources.task_definition.container_definitions, module.reconcile.resources.task_definition.container_definitions] :
      endswith(jsondecode(definitions)[0].image, "@${var.image_digest}")
    ])
    error_message = "By digest: a tag could be moved between two tasks of one deployment."
  }

  assert {
    condition = (
      concat(jsondecode(module.service.resources.task_definition.container_definitions)[0].entryPoint, jsondecode(module.service.resources.task_definition.container_definitions)[0].command) == ["image-service", "serve"] &&
      concat(jsondecode(module.reconcile.resources.task_definition.container_definitions)[0].entryPoint, jsondecode(module.reconcile.resources.task_definition.container_definitions)[0].command) == ["image-service", "reconcile"]
    )
    error_message = "The service serves, the schedule reconciles, and without --fix unless told."
  }

  assert {
    condition = alltrue([
      for line in [
        "IMAGE_SERVICE_STAGE=${var.stage}",
        "IMAGE_SERVICE_TABLE_NAME=ImageMetadata-${var.stage}",
        "IMAGE_SERVICE_BUCKET=images-lego-moc-${var.stage}",
        "IMAGE_SERVICE_STORAGE_CLASS=INTELLIGENT_TIERING",
        "IMAGE_SERVICE_CDN_BASE_URL=https://${var.domain_name}",
        "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID=E1TESTS",
        "IMAGE_SERVICE_COGNITO_ISSUER=https://cognito-idp.us-east-1.amazonaws.com/us-east-1_TestsTest",
        "IMAGE_SERVICE_COGNITO_CLIENT_IDS=1234567890abcdefghij",
        "IMAGE_SERVICE_CORS_ORIGINS=${join(",", var.cors_origins)}",
        "IMAGE_SERVICE_RATE_LIMIT_REQUESTS=1000/second",
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS=100/minute",
        "IMAGE_SERVICE_HOST=0.0.0.0",
        "IMAGE_SERVICE_PORT=8000",
        "IMAGE_SERVICE_OPS_HOST=127.0.0.1",
        "IMAGE_SERVICE_OPS_PORT=9090",
        "AWS_REGION=us-east-1",
      ] : contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], line)
    ])
    error_message = "The container has the settings the service reads."
  }

  # Without Redis the setting is absent, which is how the service knows.
  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[0].secrets == []
    error_message = "No secret where none is needed."
  }

  # A CloudWatch that stalls would else block every write to stdout, and so every request.
  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[0].logConfiguration.options.mode == "non-blocking"
    error_message = "Logging doesn't block."
  }
}

run "comings_and_goings" {
  command = plan

  # After SIGTERM: 10 s of serving with readiness at 503, 30 s for running requests, 30 s to
  # finish what is half-written, 10 s for the worker. Killed sooner, an upload ends half-way;
  # Fargate's limit is 120 s.
  assert {
    condition = (
      jsondecode(module.service.resources.task_definition.container_definitions)[0].stopTimeout >= 10 + 30 + 30 + 10 &&
      jsondecode(module.service.resources.task_definition.container_definitions)[0].stopTimeout <= 120
    )
    error_message = "A task has the time it needs to stop."
  }

  # Shorter, and the balancer cuts uploads the task would still finish; longer than the task
  # lives, and it waits for one that is gone.
  assert {
    condition = (
      tonumber(module.balancer.resources.target_group.deregistration_delay) >= 10 + 30 &&
      tonumber(module.balancer.resources.target_group.deregistration_delay) <= jsondecode(module.service.resources.task_definition.container_definitions)[0].stopTimeout
    )
    error_message = "The balancer keeps a leaving task's requests as long as the task does."
  }

  # The server keeps connections for 75 s.
  assert {
    condition     = module.balancer.resources.balancer.idle_timeout == 60
    error_message = "The balancer gives connections up before the server does: else a 502 now and then."
  }

  assert {
    condition = alltrue([
      for check in module.balancer.resources.target_group.health_check : check.path == "/health/ready" && check.matcher == "200"
    ]) && length(module.balancer.resources.target_group.health_check) == 1
    error_message = "Readiness, which knows nothing of dependencies: /health would take every task down with DynamoDB."
  }

  assert {
    condition = alltrue([
      for breaker in module.service.resources.service.deployment_circuit_breaker : breaker.enable && breaker.rollback
    ]) && length(module.service.resources.service.deployment_circuit_breaker) == 1
    error_message = "A deployment that doesn't come up is rolled back."
  }

  assert {
    condition     = module.service.resources.service.deployment_minimum_healthy_percent == 100 && module.service.resources.service.deployment_maximum_percent == 200
    error_message = "New tasks come before old ones go."
  }

  assert {
    condition     = module.balancer.resources.balancer.drop_invalid_header_fields
    error_message = "Headers that servers read differently are dropped."
  }

  assert {
    condition     = module.balancer.resources.balancer.enable_deletion_protection == (var.stage == "prod")
    error_message = "Production's balancer can't be deleted."
  }
}

run "reconcile" {
  command = plan

  assert {
    condition     = module.reconcile.resources.schedule.schedule_expression == "cron(17 4 * * ? *)"
    error_message = "Once a day."
  }

  assert {
    condition     = [for strategy in module.reconcile.resources.schedule.target[0].ecs_parameters[0].capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
    error_message = "Never on Spot: a run taken away half-way has found nothing."
  }

  assert {
    condition     = module.reconcile.resources.schedule.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip == (var.stage == "dev")
    error_message = "It gets out the way the service does."
  }

  assert {
    condition     = jsondecode(module.reconcile.resources.failure_rule.event_pattern).detail["$or"][0].containers.exitCode == [{ "anything-but" = [0] }]
    error_message = "A run that failed is told."
  }
}

run "repository" {
  command = plan

  assert {
    condition     = module.service.resources.repository.image_tag_mutability == "IMMUTABLE" && module.service.resources.repository.image_scanning_configuration[0].scan_on_push
    error_message = "Images can't be changed once pushed, and are scanned."
  }

  assert {
    condition     = module.service.resources.repository.force_delete == (var.stage != "prod")
    error_message = "Production's images are kept."
  }
}
