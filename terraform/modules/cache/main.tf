# One Redis node, or a primary with replicas; cluster mode is not used. Nothing is lost with
# it: the service answers every request without.

# ElastiCache takes the password as an argument, so it is in the state: that bucket is
# encrypted and closed for this reason. The parameter is made by hand, so that it is in no
# file and no shell history of the pipeline.
data "aws_ssm_parameter" "token" {
  name            = var.token_parameter
  with_decryption = true
}

locals {
  # Most ways to store a text end it with a newline, which ElastiCache refuses.
  token = trimspace(data.aws_ssm_parameter.token.value)
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis: in from the tasks only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "from_tasks" {
  security_group_id            = aws_security_group.this.id
  description                  = "Redis from the tasks"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  referenced_security_group_id = var.client_security_group_id
}

resource "aws_vpc_security_group_egress_rule" "tasks_to_redis" {
  security_group_id            = var.client_security_group_id
  description                  = "Redis"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  referenced_security_group_id = aws_security_group.this.id
}

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_191:Encrypted with the AWS-owned key; a cache of public metadata and counters
  #checkov:skip=CKV2_AWS_50:On wherever there is a replica to fail over to
  replication_group_id = var.name
  description          = "Cache and rate-limit counters of ${var.name}"

  # The fork of Redis that stayed open; by the node a fifth cheaper.
  engine         = "valkey"
  engine_version = "8.0"
  node_type      = var.node_type
  port           = 6379

  num_cache_clusters         = var.nodes
  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1

  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token                 = local.token
  auth_token_update_strategy = "ROTATE"

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.this.id]

  # The default parameters evict only what has a time to live; everything here has one.
  snapshot_retention_limit   = 0
  auto_minor_version_upgrade = true
  maintenance_window         = "sun:05:00-sun:06:00"
  apply_immediately          = true

  lifecycle {
    precondition {
      # The value isn't shown: a condition on a secret says only that it failed.
      condition     = can(regex("^[A-Za-z0-9!&#$^<>-]{16,128}$", local.token))
      error_message = "The password in ${var.token_parameter} must be 16 to 128 of A-Z, a-z, 0-9 and !&#$^<>-, all that ElastiCache takes: docs/deployment.md, Redis, later."
    }
  }
}

resource "aws_ssm_parameter" "url" {
  #checkov:skip=CKV_AWS_337:Encrypted with the account's SSM key; a key of our own would add nothing to who may read it
  name        = var.url_parameter
  description = "Where Redis is, password included"
  type        = "SecureString"

  value = format(
    "rediss://:%s@%s:6379/0",
    urlencode(local.token),
    aws_elasticache_replication_group.this.primary_endpoint_address,
  )
}
