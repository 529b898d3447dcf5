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
  description = "The AWS region, for the log driver."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "account_id" {
  description = "The AWS account, for the trust policies."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "image" {
  description = "The image to run, by digest."
  type        = string
  nullable    = false

  validation {
    condition     = strcontains(var.image, "@")
    error_message = "image must name a digest."
  }
}

variable "environment" {
  description = "The same environment the service has."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "Names of environment variables are upper case."
  }
}

variable "secrets" {
  description = "Environment variables whose values come from SSM: name to parameter ARN."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[^:]+:ssm:[^:]+:[0-9]+:parameter/", arn))])
    error_message = "secrets must map names to ARNs of SSM parameters."
  }
}

variable "container_user" {
  description = "User and group IDs the container runs as."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]*:[1-9][0-9]*$", var.container_user))
    error_message = "container_user must be uid:gid, neither of them 0."
  }
}

variable "schedule" {
  description = "When it runs, in EventBridge Scheduler's notation, UTC."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule must be rate(…) or cron(…)."
  }
}

variable "fix" {
  description = "Repair what it finds, instead of only reporting it."
  type        = bool
  nullable    = false
}

variable "cluster_arn" {
  description = "The cluster it runs in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:ecs:", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of a cluster."
  }
}

variable "execution_role_arn" {
  description = "The role ECS starts it with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:iam::", var.execution_role_arn))
    error_message = "execution_role_arn must be the ARN of a role."
  }
}

variable "network" {
  description = "Where it runs: subnets, security group, and whether it needs a public address to get out."
  type = object({
    subnet_ids        = list(string)
    security_group_id = string
    assign_public_ip  = bool
  })
  nullable = false

  validation {
    condition     = startswith(var.network.security_group_id, "sg-")
    error_message = "network.security_group_id must be the ID of a security group."
  }
}

variable "storage" {
  description = "ARNs of the table, its indexes and the bucket."
  type = object({
    table_arn  = string
    index_arns = list(string)
    bucket_arn = string
  })
  nullable = false

  validation {
    condition     = alltrue([for arn in concat([var.storage.table_arn, var.storage.bucket_arn], var.storage.index_arns) : startswith(arn, "arn:")])
    error_message = "storage must hold ARNs."
  }
}

variable "distribution_arn" {
  description = "The CloudFront distribution whose paths it invalidates when it finishes a deletion."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:cloudfront::[0-9]+:distribution/", var.distribution_arn))
    error_message = "distribution_arn must be the ARN of a CloudFront distribution."
  }
}

variable "log_group_name" {
  description = "The log group; alarms read what it finds from there."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.log_group_name, "/")
    error_message = "log_group_name must start with /."
  }
}

variable "topic_arn" {
  description = "The SNS topic that hears of a run that failed."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:sns:", var.topic_arn))
    error_message = "topic_arn must be the ARN of a topic."
  }
}
