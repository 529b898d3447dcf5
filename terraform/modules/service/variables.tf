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

variable "image_digest" {
  description = "Digest of the image to run, sha256:…; a tag could be moved. Null only while the repository is made."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest must be sha256: and 64 hexadecimal digits."
  }
}

variable "cpu" {
  description = "CPU units of a task: 1024 is one CPU."
  type        = number
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "cpu must be 256, 512, 1024, 2048 or 4096."
  }
}

variable "memory" {
  description = "Memory of a task, in MiB."
  type        = number
  nullable    = false

  validation {
    condition     = var.memory >= 1024
    error_message = "memory must be 1024 or more: the dearest picture of 8000x8000 takes 640 MiB to decode. 2048 takes all, 1024 all but the two dearest kinds."
  }
}

variable "min_tasks" {
  description = "The fewest tasks autoscaling keeps."
  type        = number
  nullable    = false

  validation {
    condition     = var.min_tasks >= 1
    error_message = "min_tasks must be 1 or more."
  }
}

variable "max_tasks" {
  description = "The most tasks autoscaling starts; the ceiling of the bill."
  type        = number
  nullable    = false

  validation {
    condition     = var.max_tasks >= var.min_tasks
    error_message = "max_tasks must not be below min_tasks."
  }
}

variable "requests_per_target" {
  description = "Requests a minute and task that autoscaling aims at."
  type        = number
  nullable    = false

  validation {
    condition     = var.requests_per_target >= 60
    error_message = "requests_per_target must be 60 (one a second) or more."
  }
}

variable "use_spot" {
  description = "Run on Fargate Spot: about 70 % cheaper, and taken away with two minutes' notice."
  type        = bool
  nullable    = false
}

variable "environment" {
  description = "Environment variables of the container; nothing secret."
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

variable "ports" {
  description = "The port of the API and the port of operations (metrics)."
  type = object({
    api        = number
    operations = number
  })
  nullable = false

  validation {
    condition     = var.ports.api != var.ports.operations && min(var.ports.api, var.ports.operations) >= 1024
    error_message = "The two ports must differ and be 1024 or above: the service is not root."
  }
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL; up to 80 are used."
  type        = number
  nullable    = false

  validation {
    condition     = var.stop_timeout > 45 && var.stop_timeout <= 120
    error_message = "stop_timeout must be above 45 (10 s draining, 30 s requests, the worker), 120 at most (Fargate's limit)."
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

variable "network" {
  description = "Where tasks run: VPC, subnets, and whether they need public addresses to get out."
  type = object({
    vpc_id           = string
    subnet_ids       = list(string)
    assign_public_ip = bool
  })
  nullable = false

  validation {
    condition     = length(var.network.subnet_ids) >= 2
    error_message = "Tasks need subnets in at least two zones."
  }
}

variable "balancer" {
  description = "The load balancer in front: its security group, target group and what metrics call them."
  type = object({
    security_group_id       = string
    target_group_arn        = string
    arn_suffix              = string
    target_group_arn_suffix = string
  })
  nullable = false

  validation {
    condition     = startswith(var.balancer.security_group_id, "sg-")
    error_message = "balancer.security_group_id must be the ID of a security group."
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
  description = "The CloudFront distribution whose paths the service invalidates."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:cloudfront::[0-9]+:distribution/", var.distribution_arn))
    error_message = "distribution_arn must be the ARN of a CloudFront distribution."
  }
}

variable "log_groups" {
  description = "Name and ARN of the log groups that tasks of this execution role write to."
  type = object({
    service   = object({ name = string, arn = string })
    reconcile = object({ name = string, arn = string })
  })
  nullable = false

  validation {
    condition     = alltrue([for group in values(var.log_groups) : startswith(group.name, "/")])
    error_message = "Names in log_groups must start with /."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the image repository while it holds images."
  type        = bool
  nullable    = false
}

variable "telemetry" {
  description = "The collector beside the service: its image, the namespace of its metrics, and its log group. Null: none."
  type = object({
    image     = string
    namespace = string
    log_group = object({
      name = string
      arn  = string
    })
  })
  default = null

  validation {
    condition     = try(var.telemetry.image, null) == null || var.memory >= 2048
    error_message = "telemetry needs memory of 2048 or more."
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
