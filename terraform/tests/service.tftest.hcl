# Tasks: how big, how closed, how they come and go.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "as_the_stage_has_it" {
  command = plan

  assert {
    condition = (
      module.service.resources.task_definition.cpu == tostring(var.task_cpu) &&
      module.service.resources.task_definition.memory == tostring(var.task_memory) &&
      module.service.resources.scaling_target.min_capacity == var.min_tasks &&
      module.service.resources.scaling_target.max_capacity == var.max_tasks
    )
    error_message = "Tasks as large and as many as the stage says."
  }

  assert {
    condition     = [for strategy in module.service.resources.service.capacity_provider_strategy : strategy.capacity_provider] == [var.use_spot ? "FARGATE_SPOT" : "FARGATE"]
    error_message = "Spot where the stage says so."
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

  # Nobody but the task itself reaches the metrics: not by a port, not by an address.
  assert {
    condition = (
      [for mapping in jsondecode(module.service.resources.task_definition.container_definitions)[0].portMappings : mapping.containerPort] == [8000] &&
      [for balanced in module.service.resources.service.load_balancer : balanced.container_port] == [8000]
    )
    error_message = "The API's port is the only one."
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
      concat(jsondecode(module.reconcile.resources.task_definition.container_definitions)[0].entryPoint, jsondecode(module.reconcile.resources.task_definition.container_definitions)[0].command) == concat(["image-service", "reconcile"], var.reconcile_fix ? ["--fix"] : [])
    )
    error_message = "The service serves, the schedule reconciles, and with --fix where the stage says so."
  }

  assert {
    condition = alltrue([
      for line in [
        "IMAGE_SERVICE_STAGE=${var.stage}",
        "IMAGE_SERVICE_TABLE_NAME=${module.storage.table_name}",
        "IMAGE_SERVICE_BUCKET=${module.storage.bucket}",
        "IMAGE_SERVICE_STORAGE_CLASS=INTELLIGENT_TIERING",
        "IMAGE_SERVICE_CDN_BASE_URL=https://${var.domain_name}",
        "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID=E1TESTS",
        "IMAGE_SERVICE_COGNITO_ISSUER=https://cognito-idp.us-east-1.amazonaws.com/us-east-1_TestsTest",
        "IMAGE_SERVICE_COGNITO_CLIENT_IDS=1234567890abcdefghij",
        "IMAGE_SERVICE_SERVICE_CLIENT_IDS=abcdefghij1234567890,bcdefghij1234567890a",
        "IMAGE_SERVICE_SERVICE_SCOPE_PREFIX=https://images.example.com",
        "IMAGE_SERVICE_ADMIN_GROUPS=image-admins,moderators",
        "IMAGE_SERVICE_CORS_ORIGINS=${join(",", var.cors_origins)}",
        "IMAGE_SERVICE_CORS_HEADERS=X-Client-Version,X-Locale",
        "IMAGE_SERVICE_RENDITION_WIDTHS=480,960",
        "IMAGE_SERVICE_RATE_LIMIT_REQUESTS=${var.rate_limits.requests}",
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS=${var.rate_limits.uploads}",
        "IMAGE_SERVICE_RATE_LIMIT_MACHINES=${var.rate_limits.machines}",
        "IMAGE_SERVICE_HOST=0.0.0.0",
        "IMAGE_SERVICE_PORT=8000",
        "IMAGE_SERVICE_OPS_HOST=127.0.0.1",
        "IMAGE_SERVICE_OPS_PORT=9090",
        "AWS_REGION=us-east-1",
      ] : contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], line)
    ])
    error_message = "The container has the settings the service reads."
  }

  # A CloudWatch that stalls would else block every write to stdout, and so every request.
  assert {
    condition     = jsondecode(module.service.resources.task_definition.container_definitions)[0].logConfiguration.options.mode == "non-blocking"
    error_message = "Logging doesn't block."
  }

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
    condition     = module.balancer.resources.balancer.enable_deletion_protection == var.deletion_protection
    error_message = "A protected balancer can't be deleted."
  }

  assert {
    condition     = module.reconcile.resources.schedule.schedule_expression == var.reconcile_schedule
    error_message = "Reconcile runs when the stage says."
  }

  assert {
    condition     = [for strategy in module.reconcile.resources.schedule.target[0].ecs_parameters[0].capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
    error_message = "Never on Spot: a run taken away half-way has found nothing."
  }

  assert {
    condition     = module.reconcile.resources.schedule.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip == module.network.assign_public_ip
    error_message = "It gets out the way the service does."
  }

  # Its container ended with something but 0, or never began. Lines with RUNNING in them come
  # for every run.
  assert {
    condition = jsondecode(module.reconcile.resources.failure_rule.event_pattern) == {
      source        = ["aws.ecs"]
      "detail-type" = ["ECS Task State Change"]
      detail = {
        clusterArn = ["arn:aws:ecs:us-east-1:111122223333:cluster/tests"]
        lastStatus = ["STOPPED"]
        group      = ["family:image-service-${var.stage}-reconcile"]
        "$or"      = [{ containers = { exitCode = [{ "anything-but" = [0] }] } }, { stopCode = ["TaskFailedToStart"] }]
      }
    }
    error_message = "A run that failed is told."
  }

  # To a revision that is deregistered ECS doesn't go back.
  assert {
    condition     = module.service.resources.task_definition.skip_destroy && module.reconcile.resources.task_definition.skip_destroy
    error_message = "Old revisions stay, for rollbacks."
  }

  assert {
    condition = (
      module.service.resources.service.task_definition == "arn:aws:ecs:us-east-1:111122223333:task-definition/tests:1" &&
      output.task_definition == module.service.resources.service.task_definition &&
      module.reconcile.resources.schedule.target[0].ecs_parameters[0].task_definition_arn == "arn:aws:ecs:us-east-1:111122223333:task-definition/tests-reconcile:1"
    )
    error_message = "The service runs its revision, the schedule its own."
  }

  # Where it may write is asserted in iam.tftest.hcl, by the mocks' ARNs.
  assert {
    condition = [
      for definitions in [module.service.resources.task_definition.container_definitions, module.reconcile.resources.task_definition.container_definitions] :
      "${jsondecode(definitions)[0].logConfiguration.options["awslogs-group"]} ${jsondecode(definitions)[0].logConfiguration.options["awslogs-stream-prefix"]}"
    ] == ["/image-service-${var.stage}/service task", "/image-service-${var.stage}/reconcile task"]
    error_message = "Service and reconcile log each to its own group."
  }

  assert {
    condition     = module.service.resources.repository.image_tag_mutability == "IMMUTABLE" && module.service.resources.repository.image_scanning_configuration[0].scan_on_push
    error_message = "Images can't be changed once pushed, and are scanned."
  }

  assert {
    condition     = module.service.resources.repository.force_delete == !var.deletion_protection
    error_message = "Protected images are kept."
  }
}

# What the service takes at once it derives from the size (tests/unit/domain/test_task_size.py), which a
# task on Fargate can't see by itself.
run "size" {
  command = plan

  variables {
    task_cpu          = 256
    task_memory       = 1024
    telemetry_enabled = false
    extra_environment = { IMAGE_SERVICE_MAX_UPLOADS = "7" }
  }

  assert {
    condition = {
      for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment :
      trimprefix(entry.name, "IMAGE_SERVICE_") => entry.value if strcontains(entry.name, "_TASK_") || strcontains(entry.name, "_MEMORY_") || strcontains(entry.name, "_MAX_") || strcontains(entry.name, "_WORKER_")
    } == { TASK_CPUS = "0.25", TASK_MEMORY_BYTES = "1073741824", MAX_UPLOADS = "7" }
    error_message = "A quarter of a CPU and 1 GB; what a stage sets itself is passed on."
  }
}

# ECS drops variables that are empty: no widths must not become the usual ones.
run "empty_lists" {
  command = plan

  variables {
    rendition_widths   = []
    cors_headers       = []
    service_client_ids = []
    admin_groups       = []
  }

  assert {
    condition = alltrue([
      for definitions in [module.service.resources.task_definition.container_definitions, module.reconcile.resources.task_definition.container_definitions] :
      contains(jsondecode(definitions)[0].environment, { name = "IMAGE_SERVICE_RENDITION_WIDTHS", value = "none" }) &&
      alltrue([for entry in jsondecode(definitions)[0].environment : entry.value != ""])
    ])
    error_message = "No variable is empty, and no widths are said in a word."
  }
}
