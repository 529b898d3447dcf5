output "url_parameter_arn" {
  description = "ARN of the SSM parameter with the Redis URL."
  value       = aws_ssm_parameter.url.arn
}

output "replication_group_id" {
  description = "What CloudWatch calls the group; its nodes are …-001, …-002."
  value       = aws_elasticache_replication_group.this.replication_group_id
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  sensitive   = true # the password is among them
  value = {
    replication_group = aws_elasticache_replication_group.this
    url               = aws_ssm_parameter.url
    ingress           = aws_vpc_security_group_ingress_rule.from_tasks
  }
}
