variable "table_name" {
  description = "Name of the table."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "table_name must be 3 to 255 of letters, digits, _, . and -."
  }
}

variable "bucket_name" {
  description = "Name of the bucket. No dots: Transfer Acceleration refuses them."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 of a-z, 0-9 and -, without dots."
  }
}

variable "distribution_arn" {
  description = "The one CloudFront distribution that may read the pictures."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:cloudfront::[0-9]+:distribution/", var.distribution_arn))
    error_message = "distribution_arn must be the ARN of a CloudFront distribution."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the table, and the bucket while it holds objects."
  type        = bool
  nullable    = false
}

variable "old_version_days" {
  description = "Days a deleted picture can be brought back. An erasure is final after that."
  type        = number
  nullable    = false
  default     = 14

  validation {
    condition     = var.old_version_days >= 1 && var.old_version_days <= 35
    error_message = "old_version_days must be 1 to 35: the table can't be restored further back."
  }
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
