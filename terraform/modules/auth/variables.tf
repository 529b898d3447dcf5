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
  description = "The region of the user pool."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "create_user_pool" {
  description = "Make a pool for this stage instead of using the platform's."
  type        = bool
  nullable    = false
}

variable "user_pool_id" {
  description = "ID of the platform's pool; null where one is made."
  type        = string
  default     = null

  validation {
    condition     = var.create_user_pool != (var.user_pool_id != null)
    error_message = "Either make a user pool, or name one."
  }
}

variable "client_ids" {
  description = "App clients of the platform's pool that are let in."
  type        = list(string)
  nullable    = false

  validation {
    condition     = var.create_user_pool || length(var.client_ids) > 0
    error_message = "Name the app clients of the pool that are let in: without one nobody is."
  }
}
