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
  description = "The VPC Redis stands in."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the ID of a VPC."
  }
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "Redis needs subnets in at least two zones."
  }
}

variable "client_security_group_id" {
  description = "Security group of the tasks, the only ones let in."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.client_security_group_id, "sg-")
    error_message = "client_security_group_id must be the ID of a security group."
  }
}

variable "node_type" {
  description = "ElastiCache node type."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "node_type must be an ElastiCache node type, such as cache.t4g.micro."
  }
}

variable "nodes" {
  description = "One node, or a primary with replicas in other zones that can take over."
  type        = number
  nullable    = false

  validation {
    condition     = var.nodes >= 1 && var.nodes <= 6
    error_message = "nodes must be 1 to 6."
  }
}

variable "token_parameter" {
  description = "Name of the SSM SecureString with the Redis password, made by hand before."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.token_parameter, "/")
    error_message = "token_parameter must be a path that starts with /."
  }
}

variable "url_parameter" {
  description = "Name of the SSM SecureString that is to hold the whole URL, for the tasks."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.url_parameter, "/")
    error_message = "url_parameter must be a path that starts with /."
  }
}
