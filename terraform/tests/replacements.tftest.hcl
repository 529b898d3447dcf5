# What a stage that runs keeps, whichever variable changes. The stage is made up by the mocked
# provider; the changes are planned by the real one, which alone knows what it has to replace.
# What is replaced has no id until it is made, and the assertion fails.

mock_provider "aws" {
  alias  = "made_up"
  source = "./tests/mocks"
}

provider "aws" {
  alias                       = "real"
  region                      = "us-east-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}

override_data {
  target = module.network.data.aws_availability_zones.available
  values = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
}

override_data {
  target = module.balancer.data.aws_ec2_managed_prefix_list.cloudfront
  values = { id = "pl-3b927c52" }
}

override_data {
  target = module.dns.data.aws_route53_zone.this
  values = { zone_id = "Z0000000000000000000A" }
}

override_data {
  target = module.cache[0].data.aws_ssm_parameter.token
  values = { value = "a-redis-password-of-the-tests-only" }
}

# Dev chooses the most freely. Everything optional is on, so that it can be switched off.
variables {
  stage             = "dev"
  zone_count        = 3
  egress            = "nat-per-az"
  use_spot          = true
  task_memory       = 2048
  task_cpu          = 1024
  min_tasks         = 1
  waf_enabled       = true
  redis_enabled     = true
  redis_nodes       = 2
  telemetry_enabled = true
}

run "stage" {
  command   = apply
  providers = { aws = aws.made_up }
}

run "everything_that_may_change" {
  command   = plan
  providers = { aws = aws.real }

  plan_options {
    refresh = false
  }

  variables {
    cost_center         = "another"
    zone_count          = 2
    egress              = "public"
    use_spot            = false
    image_digest        = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    task_cpu            = 2048
    task_memory         = 8192
    min_tasks           = 2
    max_tasks           = 9
    requests_per_target = 77
    container_user      = "20002:20002"
    domain_aliases      = ["pictures.example.com"]
    deletion_protection = true
    waf_enabled         = false
    redis_enabled       = false
    telemetry_enabled   = false
    log_retention_days  = 30
    github_repository   = null
  }

  assert {
    condition = alltrue([for id in [
      module.service.resources.service.id, # replaced, it is away until the new one is up
      module.service.resources.repository.id,
      module.balancer.resources.balancer.id,
      module.balancer.resources.listener.id,
      module.balancer.resources.target_group.id, # in use, it can't be deleted
      module.cdn.resources.vpc_origin.id,        # in use, it can't even be changed
      module.cdn.resources.distribution.id,
      module.storage.resources.table.id,
      module.storage.resources.bucket.id,
      module.network.resources.vpc.id,
    ] : length(id) > 0])
    error_message = "What serves users, and what holds their data, stays."
  }
}

# The old name stays an alias: stored URLs lead there.
run "another_domain_name" {
  command   = plan
  providers = { aws = aws.real }

  plan_options {
    refresh = false
  }

  variables {
    domain_name    = "pictures.example.com"
    domain_aliases = ["images.example.com"]
  }

  assert {
    condition = alltrue([for id in [
      module.service.resources.service.id, # replaced, it is away until the new one is up
      module.service.resources.repository.id,
      module.balancer.resources.balancer.id,
      module.balancer.resources.listener.id,
      module.balancer.resources.target_group.id, # in use, it can't be deleted
      module.cdn.resources.vpc_origin.id,        # in use, it can't even be changed
      module.cdn.resources.distribution.id,
      module.storage.resources.table.id,
      module.storage.resources.bucket.id,
      module.network.resources.vpc.id,
    ] : length(id) > 0])
    error_message = "What serves users, and what holds their data, stays."
  }

  assert {
    condition     = toset(module.cdn.resources.distribution.aliases) == toset(["images.example.com", "pictures.example.com"])
    error_message = "Both names lead to the distribution."
  }
}
