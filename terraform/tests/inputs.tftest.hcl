# Bad inputs are refused before anything is planned. Run on production's settings only:
# the rules are the same for all stages, and strictest there.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "unknown_stage" {
  command = plan

  variables {
    stage = "production"
  }

  expect_failures = [var.stage]
}

# CloudFront takes certificates from us-east-1 only.
run "another_region" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  expect_failures = [var.region]
}

run "domain_of_another_zone" {
  command = plan

  variables {
    domain_name = "images.example.org"
  }

  expect_failures = [var.domain_name]
}

run "alias_of_another_zone" {
  command = plan

  variables {
    domain_aliases = ["old.example.org"]
  }

  expect_failures = [var.domain_aliases]
}

run "network_too_small" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "one_zone" {
  command = plan

  variables {
    zone_count = 1
  }

  expect_failures = [var.zone_count]
}

run "unknown_egress" {
  command = plan

  variables {
    egress = "nat"
  }

  expect_failures = [var.egress]
}

# A tag could be moved between two tasks of one deployment.
run "image_by_tag" {
  command = plan

  variables {
    image_digest = "latest"
  }

  expect_failures = [var.image_digest]
}

run "odd_cpu" {
  command = plan

  variables {
    task_cpu = 300
  }

  expect_failures = [var.task_cpu]
}

run "memory_fargate_lacks" {
  command = plan

  variables {
    task_cpu    = 1024
    task_memory = 1024
  }

  expect_failures = [var.task_memory]
}

# One 64-megapixel picture decodes to 256 MiB.
run "too_little_memory" {
  command = plan

  variables {
    task_cpu    = 256
    task_memory = 512
  }

  expect_failures = [var.task_memory]
}

run "spot_in_production" {
  command = plan

  variables {
    use_spot = true
  }

  expect_failures = [var.use_spot]
}

run "one_task_in_production" {
  command = plan

  variables {
    min_tasks = 1
  }

  expect_failures = [var.min_tasks]
}

run "fewer_than_the_fewest" {
  command = plan

  variables {
    max_tasks = 1
  }

  expect_failures = [var.max_tasks]
}

run "root_user" {
  command = plan

  variables {
    container_user = "0:0"
  }

  expect_failures = [var.container_user]
}

run "cors_for_everybody" {
  command = plan

  variables {
    cors_origins = ["*"]
  }

  expect_failures = [var.cors_origins]
}

# The service refuses to start with it; a plan refuses earlier. It has no list of public suffixes,
# so that co.uk is the service's to refuse.
run "cors_for_a_top_level_domain" {
  command = plan

  variables {
    cors_origins = ["https://*.com"]
  }

  expect_failures = [var.cors_origins]
}

run "cors_header_with_a_comma" {
  command = plan

  variables {
    cors_headers = ["X-One, X-Two"]
  }

  expect_failures = [var.cors_headers]
}

run "rendition_width_of_the_main_picture" {
  command = plan

  variables {
    rendition_widths = [320, 2048]
  }

  expect_failures = [var.rendition_widths]
}

run "rendition_width_twice" {
  command = plan

  variables {
    rendition_widths = [320, 320]
  }

  expect_failures = [var.rendition_widths]
}

run "cors_without_tls" {
  command = plan

  variables {
    cors_origins = ["http://lego-api.com"]
  }

  expect_failures = [var.cors_origins]
}

run "odd_rate" {
  command = plan

  variables {
    rate_limits = { uploads = "many" }
  }

  expect_failures = [var.rate_limits]
}

# Credentials come from the task's role, never from the environment.
run "foreign_setting" {
  command = plan

  variables {
    extra_environment = { AWS_SECRET_ACCESS_KEY = "x" }
  }

  expect_failures = [var.extra_environment]
}

# Alarms that read the log would be quiet for ever.
run "log_for_people" {
  command = plan

  variables {
    extra_environment = { IMAGE_SERVICE_LOG_FORMAT = "console" }
  }

  expect_failures = [var.extra_environment]
}

run "log_without_warnings" {
  command = plan

  variables {
    extra_environment = { IMAGE_SERVICE_LOG_LEVEL = "error" }
  }

  expect_failures = [var.extra_environment]
}

run "secret_in_clear" {
  command = plan

  variables {
    extra_secrets = { IMAGE_SERVICE_X = "hunter2" }
  }

  expect_failures = [var.extra_secrets]
}

run "odd_schedule" {
  command = plan

  variables {
    reconcile_schedule = "daily"
  }

  expect_failures = [var.reconcile_schedule]
}

# Transfer Acceleration refuses dots.
run "bucket_with_dots" {
  command = plan

  variables {
    bucket_name = "images.lego.moc"
  }

  expect_failures = [var.bucket_name]
}

run "odd_table" {
  command = plan

  variables {
    table_name = "a b"
  }

  expect_failures = [var.table_name]
}

run "unprotected_production" {
  command = plan

  variables {
    deletion_protection = false
  }

  expect_failures = [var.deletion_protection]
}

run "one_redis_in_production" {
  command = plan

  variables {
    redis_enabled = true
    redis_nodes   = 1
  }

  expect_failures = [var.redis_nodes]
}

run "odd_redis_node" {
  command = plan

  variables {
    redis_node_type = "t4g.micro"
  }

  expect_failures = [var.redis_node_type]
}

# There is no switch that turns authentication off.
run "no_user_pool" {
  command = plan

  variables {
    cognito_user_pool_id = null
  }

  expect_failures = [var.cognito_user_pool_id]
}

run "machine_of_users" {
  command = plan

  variables {
    service_client_ids = ["1234567890abcdefghij"]
  }

  expect_failures = [var.service_client_ids]
}

run "scope_with_blank" {
  command = plan

  variables {
    service_scope_prefix = "image service"
  }

  expect_failures = [var.service_scope_prefix]
}

run "group_with_comma" {
  command = plan

  variables {
    admin_groups = ["image-admins,staff"]
  }

  expect_failures = [var.admin_groups]
}

run "no_client" {
  command = plan

  variables {
    cognito_client_ids = []
  }

  expect_failures = [var.cognito_client_ids]
}

run "pool_of_production" {
  command = plan

  variables {
    create_user_pool     = true
    cognito_user_pool_id = null
  }

  expect_failures = [var.create_user_pool]
}

run "exempt_everybody" {
  command = plan

  variables {
    waf_exempt_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.waf_exempt_cidrs]
}

run "rate_limit_too_low" {
  command = plan

  variables {
    waf_rate_limit = 10
  }

  expect_failures = [var.waf_rate_limit]
}

run "logs_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "odd_email" {
  command = plan

  variables {
    alarm_emails = ["nobody"]
  }

  expect_failures = [var.alarm_emails]
}

run "no_budget" {
  command = plan

  variables {
    monthly_budget = 0
  }

  expect_failures = [var.monthly_budget]
}

# Any repository of the owner could deploy.
run "any_repository" {
  command = plan

  variables {
    github_repository = "lego-moc/*"
  }

  expect_failures = [var.github_repository]
}

# A wildcard instead of an id too.
run "any_repository_of_an_id" {
  command = plan

  variables {
    github_repository = "lego-moc@123456/image-service@*"
  }

  expect_failures = [var.github_repository]
}

run "pipeline_without_state" {
  command = plan

  variables {
    state_bucket = null
  }

  expect_failures = [var.state_bucket]
}

run "odd_account" {
  command = plan

  variables {
    allowed_account_ids = ["1"]
  }

  expect_failures = [var.allowed_account_ids]
}

# In a gigabyte the collector would take what uploads may use.
run "telemetry_without_room" {
  command = plan

  variables {
    task_cpu          = 256
    task_memory       = 1024
    telemetry_enabled = true
  }

  expect_failures = [var.telemetry_enabled]
}

run "latest_collector" {
  command = plan

  variables {
    task_cpu          = 1024
    task_memory       = 2048
    telemetry_enabled = true
    telemetry_image   = "public.ecr.aws/aws-observability/aws-otel-collector:latest"
  }

  expect_failures = [var.telemetry_image]
}
