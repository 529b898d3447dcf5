variable "name" {
  description = "What every name starts with, such as image-service-dev."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 of a-z, 0-9 and -, starting with a letter."
  }
}

variable "rate_limit" {
  description = "API requests one address may make in 5 minutes; pictures don't count."
  type        = number
  nullable    = false

  validation {
    condition     = var.rate_limit >= 100 && var.rate_limit <= 2000000000
    error_message = "rate_limit must be 100 or more."
  }
}

variable "exempt_cidrs" {
  description = "Addresses the rate limit passes over: the main API's egress, behind which all its users stand."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.exempt_cidrs : can(cidrnetmask(cidr))])
    error_message = "exempt_cidrs must be IPv4 networks, such as 203.0.113.7/32."
  }
}

variable "log_retention_days" {
  description = "Days the log of blocked requests is kept."
  type        = number
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60 or 90."
  }
}
