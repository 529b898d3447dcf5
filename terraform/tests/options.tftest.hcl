# What is off until someone turns it on: Redis, the firewall, a user pool.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "all_off" {
  command = plan

  variables {
    redis_enabled = false
    waf_enabled   = false
    extra_secrets = {}
  }

  # Without Redis the setting is absent, which is how the service knows.
  assert {
    condition     = length(module.cache) == 0 && jsondecode(module.service.resources.task_definition.container_definitions)[0].secrets == []
    error_message = "No Redis, and no secret where none is needed."
  }

  assert {
    condition     = length(module.firewall) == 0 && try(length(module.cdn.resources.distribution.web_acl_id), 0) == 0
    error_message = "No firewall."
  }

  assert {
    condition     = length(module.auth.resources.user_pools) == 0 && module.auth.client_ids == tolist(["1234567890abcdefghij"])
    error_message = "The platform's pool and its clients."
  }
}

run "redis_on" {
  command = plan

  variables {
    redis_enabled = true
    redis_nodes   = 2
    extra_secrets = {}
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
    condition = nonsensitive([
      module.cache[0].resources.replication_group.engine, module.cache[0].resources.replication_group.engine_version, module.cache[0].resources.replication_group.node_type,
    ]) == ["valkey", "8.0", var.redis_node_type]
    error_message = "Valkey 8 on the node the stage says."
  }

  assert {
    condition = (
      nonsensitive(module.cache[0].resources.replication_group.multi_az_enabled) &&
      nonsensitive(module.cache[0].resources.replication_group.automatic_failover_enabled) &&
      nonsensitive(module.cache[0].resources.replication_group.num_cache_clusters) == 2
    )
    error_message = "With two nodes, in two zones."
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
    condition = (
      nonsensitive(module.cache[0].resources.ingress.cidr_ipv4) == null &&
      nonsensitive(module.cache[0].resources.ingress.referenced_security_group_id) == "sg-task" &&
      nonsensitive(module.cache[0].resources.ingress.security_group_id) == "sg-redis" &&
      nonsensitive(module.cache[0].resources.ingress.from_port) == 6379
    )
    error_message = "Redis lets the tasks in and nobody else."
  }
}

run "firewall_on" {
  command = plan

  variables {
    waf_enabled      = true
    waf_rate_limit   = 5000
    waf_exempt_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = module.cdn.resources.distribution.web_acl_id == "arn:aws:wafv2:us-east-1:111122223333:global/webacl/tests/tests"
    error_message = "It stands in front of the distribution."
  }

  assert {
    condition = { for rule in module.firewall[0].resources.web_acl.rule : rule.name => rule.priority } == {
      rate-limit                           = 10
      rate-limit-preflights                = 11
      AWSManagedRulesCommonRuleSet         = 20
      AWSManagedRulesKnownBadInputsRuleSet = 30
    }
    error_message = "Two rate limits and two managed groups; nothing else blocks."
  }

  # All users of the main API come from its addresses, and one would stop all. A gallery asks
  # for hundreds of pictures at once, which are no API requests. Which paths these are:
  # tests/pictures.test.mjs.
  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule : (
        rule.statement[0].rate_based_statement[0].limit == 5000 &&
        rule.statement[0].rate_based_statement[0].evaluation_window_sec == 300 &&
        [for statement in rule.statement[0].rate_based_statement[0].scope_down_statement[0].and_statement[0].statement : try(
          "but ${statement.not_statement[0].statement[0].ip_set_reference_statement[0].arn}",
          "but ${statement.not_statement[0].statement[0].regex_match_statement[0].regex_string}",
          "but ${statement.not_statement[0].statement[0].byte_match_statement[0].search_string}",
          "only ${statement.byte_match_statement[0].search_string}",
          )] == [
          "but arn:aws:wafv2:us-east-1:111122223333:global/ipset/tests/tests",
          "but ^/images/[.]*([A-Za-z0-9_-]|%(3A|40|7C))(([A-Za-z0-9_-]|%(3A|40|7C))|[.])*/(thumbnails/)?[0-9A-Za-z-]+(/w[0-9]+)?[.](webp|avif)$",
          rule.name == "rate-limit" ? "but OPTIONS" : "only OPTIONS",
        ] &&
        { for transformation in rule.statement[0].rate_based_statement[0].scope_down_statement[0].and_statement[0].statement[1].not_statement[0].statement[0].regex_match_statement[0].text_transformation :
        transformation.priority => transformation.type } == { "0" = "NONE" }
      ) if startswith(rule.name, "rate-limit")
    ]) && module.firewall[0].resources.exempt.addresses == toset(["203.0.113.7/32"])
    error_message = "Above the rate it blocks, but exempt addresses and pictures are passed over, and preflights counted apart."
  }

  # A browser shows a script only what carries CORS headers, and a client reads one envelope.
  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule : (
        rule.action[0].block[0].custom_response[0].response_code == 429 &&
        rule.action[0].block[0].custom_response[0].custom_response_body_key == "too-many" &&
        { for header in rule.action[0].block[0].custom_response[0].response_header : header.name => header.value } == {
          Access-Control-Allow-Origin   = "*"
          Access-Control-Expose-Headers = "Retry-After"
          Cache-Control                 = "no-store"
          Retry-After                   = "60"
        }
      ) if startswith(rule.name, "rate-limit")
    ])
    error_message = "What it blocks is told when to come again, in a browser too."
  }

  assert {
    condition = { for body in module.firewall[0].resources.web_acl.custom_response_body : body.key => jsondecode(body.content) if body.content_type == "APPLICATION_JSON" } == {
      too-many = {
        error      = "TooManyRequests"
        message    = "More than 5000 requests in 5 minutes from this address; try again in 60 s"
        code       = "RATE_LIMIT_EXCEEDED"
        details    = { limit = 5000 }
        requestId  = "edge"
        retryAfter = 60
      }
    }
    error_message = "The 429 is the service's envelope."
  }

  # Titles, tags and pictures may hold anything, a filter of 20 tags is long, and a client of
  # the API needs no User-Agent: what looks at these must not block.
  assert {
    condition = {
      for rule in module.firewall[0].resources.web_acl.rule : rule.name => sort([
        for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : override.name if length(override.action_to_use[0].count) == 1
      ]) if startswith(rule.name, "AWSManaged")
      } == {
      AWSManagedRulesCommonRuleSet = sort([
        "CrossSiteScripting_BODY", "CrossSiteScripting_COOKIE", "CrossSiteScripting_QUERYARGUMENTS",
        "EC2MetaDataSSRF_BODY", "EC2MetaDataSSRF_COOKIE", "EC2MetaDataSSRF_QUERYARGUMENTS",
        "GenericLFI_BODY", "GenericLFI_QUERYARGUMENTS",
        "GenericRFI_BODY", "GenericRFI_QUERYARGUMENTS",
        "NoUserAgent_HEADER", "RestrictedExtensions_QUERYARGUMENTS", "RestrictedExtensions_URIPATH",
        "SizeRestrictions_BODY", "SizeRestrictions_Cookie_HEADER", "SizeRestrictions_QUERYSTRING", "SizeRestrictions_URIPATH",
      ])
      AWSManagedRulesKnownBadInputsRuleSet = sort(["JavaDeserializationRCE_BODY", "JavaDeserializationRCE_QUERYSTRING", "Log4JRCE_BODY", "Log4JRCE_QUERYSTRING", "ReactJSRCE_BODY"])
    }
    error_message = "Rules that would refuse what the contract allows only count."
  }

  assert {
    condition = alltrue([
      for rule in module.firewall[0].resources.web_acl.rule :
      length(rule.override_action[0].none) == 1 && length(rule.override_action[0].count) == 0 if startswith(rule.name, "AWSManaged")
    ])
    error_message = "All other rules of the groups block."
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

run "a_pool_of_its_own" {
  command = plan

  variables {
    stage                = "dev"
    create_user_pool     = true
    cognito_user_pool_id = null
    cognito_client_ids   = []
  }

  assert {
    condition     = [for pool in module.auth.resources.user_pools : pool.admin_create_user_config[0].allow_admin_create_user_only] == [true]
    error_message = "A pool that nobody signs up to from outside."
  }

  assert {
    condition = [for client in module.auth.resources.clients : "${client.prevent_user_existence_errors} ${join(" ", sort(client.explicit_auth_flows))}"] == [
      "ENABLED ALLOW_ADMIN_USER_PASSWORD_AUTH ALLOW_REFRESH_TOKEN_AUTH ALLOW_USER_SRP_AUTH"
    ]
    error_message = "Its client tells nobody who has an account, and takes passwords from administrators only."
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
