variable "name" {
  description = "What every name starts with, such as image-service-dev."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 of a-z, 0-9 and -, starting with a letter."
  }
}

variable "domain_names" {
  description = "The stage's domain first, then its aliases: a domain once used in an imageUrl stays one."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.domain_names) >= 1 && alltrue([for name in var.domain_names : can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", name))])
    error_message = "domain_names must be one or more lower-case domain names."
  }
}

variable "certificate_arn" {
  description = "Certificate for all the domain names, in us-east-1."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:acm:us-east-1:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate in us-east-1."
  }
}

variable "balancer" {
  description = "The internal load balancer: ARN and DNS name."
  type = object({
    arn      = string
    dns_name = string
  })
  nullable = false

  validation {
    condition     = can(regex("^arn:[^:]+:elasticloadbalancing:", var.balancer.arn))
    error_message = "balancer.arn must be the ARN of a load balancer."
  }
}

variable "bucket_domain_name" {
  description = "Regional domain name of the bucket with the pictures."
  type        = string
  nullable    = false

  validation {
    condition     = strcontains(var.bucket_domain_name, ".s3.")
    error_message = "bucket_domain_name must be a regional one: with the global name CloudFront follows redirects for hours."
  }
}

variable "web_acl_arn" {
  description = "The firewall in front; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:[^:]+:wafv2:us-east-1:[0-9]+:global/", var.web_acl_arn))
    error_message = "web_acl_arn must be the ARN of a CloudFront web ACL."
  }
}

variable "log_bucket_arn" {
  description = "ARN of the bucket that takes the access logs."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.log_bucket_arn, "arn:")
    error_message = "log_bucket_arn must be an ARN."
  }
}
