output "web_acl_arn" {
  description = "ARN of the web ACL, for the distribution."
  value       = aws_wafv2_web_acl.this.arn
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    web_acl   = aws_wafv2_web_acl.this
    exempt    = aws_wafv2_ip_set.exempt
    logging   = aws_wafv2_web_acl_logging_configuration.this
    log_group = aws_cloudwatch_log_group.this
  }
}
