# What is off until someone turns it on: Redis, the firewall, a user pool.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

# What the tfvars leave to whoever applies. Dev makes a user pool of its own.
variables {
  image_digest         = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cognito_user_pool_id = var.stage == "dev" ? null : "us-east-1_TestsTest"
  cognito_client_ids   = var.stage == "dev" ? [] : ["1234567890abcdefghij"]
  github_repository    = "lego-moc/image-service"
  state_bucket         = "lego-moc-terraform-state"
}

run "redis_off" {
  command = plan

  # On only once the hit rate it would have had passes 50 %.
  assert {
    condition     = length(module.cache) == 0
    error_message = "No stage pays for Redis yet."
  }
}

run "redis_on" {
  command = plan

  variables {
    redis_enabled = true
  }

  assert {
    condition = (
      nonsensitive(module.cache[0].resources.replication_group.transit_encryption_enabled) &&
      nonsensitive(module.cache[0].resources.replication_group.transit_encryption_mode) == "required" &&
      nonsensitive(tobool(module.cache[0].resources.replication_group.at_rest_encryption_enabled)) &&
      nonsensitive(module.cache[0].resources.replication_group.auth_token) == "a-redis-password-of-the-tests-only"
    )
    error_message = "Encrypted on the way and at rest, with a password."
  }

  assert {
    condition     = nonsensitive(module.cache[0].resources.replication_group.node_type) == "cache.t4g.micro" && nonsensitive(module.cache[0].resources.replication_group.engine_version) == "7.1"
    error_message = "Redis 7 on the smallest node."
  }

  assert {
    condition = (
      nonsensitive(module.cache[0].resources.replication_group.multi_az_enabled) == (var.stage == "prod") &&
      nonsensitive(module.cache[0].resources.replication_group.automatic_failover_enabled) == (var.stage == "prod") &&
      nonsensitive(module.cache[0].resources.replication_group.num_cache_clusters) == { dev = 1, staging = 1, prod = 2 }[var.stage]
    )
    error_message = "Two zones in production, one node elsewhere."
  }

  assert {
    condition = (
      nonsensitive(module.cache[0].resources.url.type) == "SecureString" &&
      nonsensitive(module.cache[0].resources.url.value) == "rediss://:a-redis-password-of-the-tests-only@master.tests.use1.cache.amazonaws.com:6379/0"
    )
    error_message = "The URL is a secret, and asks for TLS."
  }

  assert {
    condition = (
      jsondecode(module.service.resources.task_definition.container_definitions)[0].secrets == [{ name = "IMAGE_SERVICE_REDIS_URL", valueFrom = "arn:aws:ssm:us-east-1:111122223333:parameter/tests" }] &&
      !strcontains(module.service.resources.task_definition.container_definitions, "a-redis-password")
    )
    error_message = "Tasks get the URL from SSM; the password is in no task definition."
  }

  assert {
    condition = [
      for statement in jsondecode(module.service.resources.execution_policy.policy).Statement : statement if statement.Sid == "Secrets"
      ] == [
      { Sid = "Secrets", Effect = "Allow", Action = ["ssm:GetParameters"], Resource = ["arn:aws:ssm:us-east-1:111122223333:parameter/tests"] }
    ]
    error_message = "ECS reads this one parameter."
  }

  assert {
    condition     = nonsensitive(module.cache[0].resources.ingress.cidr_ipv4) == null && nonsensitive(module.cache[0].resources.ingress.from_port) == 6379
    error_message = "Redis lets the tasks in and nobody else."
  }
}

run "firewall_by_stage" {
  command = plan

  assert {
    condition     = length(module.firewall) == { dev = 0, staging = 0, prod = 1 }[var.stage]
    error_message = "A firewall in production."
  }

  assert {
    condition     = try(length(module.cdn.resources.distribution.web_acl_id), 0) > 0 == (var.stage == "prod")
    error_message = "It stands in front of the distribution."
  }
}

run "firewall_on" {
  command = plan

  variables {
    waf_enabled      = true
    waf_exempt_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = toset([for rule in module.firewall[0].resources.web_acl.rule : rule.name]) == toset(["rate-limit", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "bad-bodies-but-uploads"])
    error_message = "A rate limit, two managed groups, and the rule for what they label."
  }

  # It would block every body over 8 KB: every picture.
  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule : contains(
        [for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : override.name if length(override.action_to_use[0].count) == 1],
        "SizeRestrictions_BODY",
      ) if rule.name == "AWSManagedRulesCommonRuleSet"
    ])
    error_message = "SizeRestrictions_BODY only counts."
  }

  # Random bytes look like scripts and paths now and then: an upload in a thousand would fail.
  assert {
    condition = alltrue([
      for name in ["CrossSiteScripting_BODY", "GenericLFI_BODY", "GenericRFI_BODY", "EC2MetaDataSSRF_BODY", "JavaDeserializationRCE_BODY", "Log4JRCE_BODY"] :
      contains(flatten([
        for rule in module.firewall[0].resources.web_acl.rule : [
          for override in try(rule.statement[0].managed_rule_group_statement[0].rule_action_override, []) : override.name if length(override.action_to_use[0].count) == 1
        ]
      ]), name)
    ])
    error_message = "Rules that look into bodies only label."
  }

  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule : length(rule.action[0].block) == 1 && toset([
        for match in rule.statement[0].and_statement[0].statement[1].not_statement[0].statement[0].and_statement[0].statement :
        "${match.byte_match_statement[0].positional_constraint} ${match.byte_match_statement[0].search_string}"
      ]) == toset(["EXACTLY POST", "EXACTLY /images"]) if rule.name == "bad-bodies-but-uploads"
    ])
    error_message = "What is labelled is blocked, but for POST /images."
  }

  # It has to come after the groups whose labels it reads.
  assert {
    condition = (
      [for rule in module.firewall[0].resources.web_acl.rule : rule.priority if rule.name == "bad-bodies-but-uploads"][0] >
      max([for rule in module.firewall[0].resources.web_acl.rule : rule.priority if startswith(rule.name, "AWSManaged")]...)
    )
    error_message = "Labels are read after they are put."
  }

  # All users of the main API come from these addresses; one would stop all.
  assert {
    condition     = module.firewall[0].resources.exempt.addresses == toset(["203.0.113.7/32"])
    error_message = "The main API's egress is not rate-limited."
  }

  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule :
      length(rule.statement[0].rate_based_statement[0].scope_down_statement[0].and_statement[0].statement) == 2 if rule.name == "rate-limit"
    ])
    error_message = "The rate limit passes over exempt addresses and over pictures."
  }

  assert {
    condition     = module.firewall[0].resources.logging.redacted_fields[0].single_header[0].name == "authorization"
    error_message = "No token in the firewall's log."
  }

  assert {
    condition     = startswith(module.firewall[0].resources.log_group.name, "aws-waf-logs-")
    error_message = "WAF takes no log group of another name."
  }
}

run "user_pool_by_stage" {
  command = plan

  assert {
    condition     = length(module.auth.resources.user_pools) == { dev = 1, staging = 0, prod = 0 }[var.stage]
    error_message = "Only dev has a pool of its own."
  }

  assert {
    condition     = alltrue([for pool in module.auth.resources.user_pools : pool.admin_create_user_config[0].allow_admin_create_user_only])
    error_message = "Nobody signs up to it from outside."
  }
}

run "reconcile_that_mends" {
  command = plan

  variables {
    reconcile_fix = true
  }

  assert {
    condition     = jsondecode(module.reconcile.resources.task_definition.container_definitions)[0].command == ["reconcile", "--fix"]
    error_message = "It mends when it is told to."
  }
}
