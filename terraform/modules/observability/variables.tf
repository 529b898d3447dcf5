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
  description = "The AWS region, for the dashboard."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "account_id" {
  description = "The AWS account, for the topic's policy."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "stage" {
  description = "The stage, for the budget's filter."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "prod"], var.stage)
    error_message = "stage must be dev, staging or prod."
  }
}

variable "log_retention_days" {
  description = "Days the service's logs are kept."
  type        = number
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60 or 90."
  }
}

variable "emails" {
  description = "Who is written to when an alarm goes off; each has to confirm once."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[a-z]+$", email))])
    error_message = "emails must be e-mail addresses."
  }
}

variable "monthly_budget" {
  description = "US dollars a month; a mail goes out at 80 % spent and when the forecast passes it."
  type        = number
  nullable    = false

  validation {
    condition     = var.monthly_budget > 0
    error_message = "monthly_budget must be above 0."
  }
}

variable "watched" {
  description = "What CloudWatch calls the parts that are watched."
  type = object({
    cluster         = string
    service         = string
    balancer        = string
    target_group    = string
    table           = string
    distribution_id = string
    schedule_group  = string
    redis_node_ids  = list(string)
  })
  nullable = false

  validation {
    condition     = length(var.watched.cluster) > 0 && length(var.watched.service) > 0
    error_message = "watched must name the cluster and the service."
  }
}

variable "telemetry_enabled" {
  description = "A collector sends the service's own metrics: alarms and graphs of them."
  type        = bool
  nullable    = false
}

variable "min_tasks" {
  description = "Healthy tasks below this are an alarm."
  type        = number
  nullable    = false

  validation {
    condition     = var.min_tasks >= 1
    error_message = "min_tasks must be 1 or more."
  }
}
