variable "name" {
  description = "What every name starts with, such as image-service-dev."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 of a-z, 0-9 and -, starting with a letter."
  }
}

variable "region" {
  description = "The AWS region, for the names of the gateway endpoints."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "cidr" {
  description = "The addresses of the VPC; cut into a public and a private subnet per zone."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr must be an IPv4 network of /22 or larger, such as 10.40.0.0/20."
  }
}

variable "zone_count" {
  description = "How many availability zones: 2 or 3."
  type        = number
  nullable    = false

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "zone_count must be 2 or 3."
  }
}

variable "egress" {
  description = "How tasks reach the internet: single-nat, nat-per-az, or public (public subnets, nothing let in)."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["single-nat", "nat-per-az", "public"], var.egress)
    error_message = "egress must be single-nat, nat-per-az or public."
  }
}

variable "log_bucket_arn" {
  description = "ARN of the bucket that takes the flow logs."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.log_bucket_arn, "arn:")
    error_message = "log_bucket_arn must be an ARN."
  }
}
