variable "name" {
  description = "What every name starts with, such as image-service-dev."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 of a-z, 0-9 and -, starting with a letter."
  }
}

variable "repository" {
  description = "The GitHub repository that may deploy, as the subject of its tokens has it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|[A-Za-z0-9_.-]+@[0-9]+/[A-Za-z0-9_.-]+@[0-9]+)$", var.repository))
    error_message = "repository must be owner/name, or owner@id/name@id; no wildcards."
  }
}

variable "stage" {
  description = "The GitHub environment the role is for; its approvals and branch rules guard it."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "prod"], var.stage)
    error_message = "stage must be dev, staging or prod."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "account_id" {
  description = "The AWS account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "repository_arn" {
  description = "ARN of the image repository it pushes to."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:ecr:", var.repository_arn))
    error_message = "repository_arn must be the ARN of an ECR repository."
  }
}

variable "service_arn" {
  description = "The ECS service it updates."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:ecs:", var.service_arn))
    error_message = "service_arn must be the ARN of an ECS service."
  }
}

variable "state_bucket" {
  description = "Bucket with Terraform's state."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket."
  }
}

variable "state_key" {
  description = "Key of this stage's state in it."
  type        = string
  nullable    = false

  validation {
    condition     = endswith(var.state_key, ".tfstate")
    error_message = "state_key must end in .tfstate."
  }
}

variable "extra_policy_arns" {
  description = "Policies for teams whose pipeline is to change the infrastructure too."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.extra_policy_arns : can(regex("^arn:[^:]+:iam::", arn))])
    error_message = "extra_policy_arns must be ARNs of policies."
  }
}

variable "redis_parameter" {
  description = "The SSM parameter with Redis' password, which the plan reads; null: there is no Redis."
  type        = string
  default     = null

  validation {
    condition     = var.redis_parameter == null || startswith(coalesce(var.redis_parameter, "/"), "/")
    error_message = "redis_parameter must be a path that starts with /."
  }
}
