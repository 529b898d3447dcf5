output "certificate_arn" {
  description = "ARN of the certificate, known once it is validated."
  value       = aws_acm_certificate_validation.this.certificate_arn
}

output "names" {
  description = "The names that lead to the distribution."
  value       = var.domain_names
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    certificate = aws_acm_certificate.this
    records     = aws_route53_record.this
    validation  = aws_route53_record.validation
  }
}
