variable "bucket_name" {
  description = "Name of the bucket."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 of a-z, 0-9 and -, without dots."
  }
}

variable "account_id" {
  description = "The AWS account whose logs are taken, and no other's."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "The AWS region whose log deliveries are taken."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "retention_days" {
  description = "Days the logs are kept."
  type        = number
  nullable    = false

  validation {
    condition     = var.retention_days >= 1
    error_message = "retention_days must be 1 or more."
  }
}
