variable "name" {
  description = "What every name starts with, such as image-service-dev."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 of a-z, 0-9 and -, starting with a letter."
  }
}

variable "vpc_id" {
  description = "The VPC the load balancer stands in."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the ID of a VPC."
  }
}

variable "subnet_ids" {
  description = "Private subnets, in two zones at least."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A load balancer needs subnets in at least two zones."
  }
}

variable "certificate_arn" {
  description = "Certificate for the stage's domain: CloudFront compares it with the Host header it forwards."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:acm:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate."
  }
}

variable "container_port" {
  description = "The port the service listens on."
  type        = number
  nullable    = false

  validation {
    condition     = var.container_port >= 1024 && var.container_port <= 65535
    error_message = "container_port must be 1024 to 65535: the service is not root."
  }
}

variable "deregistration_delay" {
  description = "Seconds a leaving task keeps its running requests."
  type        = number
  nullable    = false

  validation {
    condition     = var.deregistration_delay >= 40 && var.deregistration_delay <= 120
    error_message = "deregistration_delay must be 40 (10 s of draining, 30 s for an upload) to 120."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the load balancer."
  type        = bool
  nullable    = false
}

variable "log_bucket" {
  description = "Name of the bucket that takes the access logs."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.log_bucket) >= 3
    error_message = "log_bucket must be the name of a bucket."
  }
}
