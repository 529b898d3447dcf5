variable "zone_name" {
  description = "The hosted zone, such as lego-api.com. It is not made here."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.zone_name))
    error_message = "zone_name must be a lower-case domain name."
  }
}

variable "domain_names" {
  description = "The stage's domain first, then its aliases; all in the zone."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.domain_names) >= 1 && alltrue([for name in var.domain_names : endswith(name, ".${var.zone_name}")])
    error_message = "Every domain name must be in the zone."
  }
}

variable "distribution" {
  description = "Where the names lead: the distribution's own domain name and zone."
  type = object({
    domain_name    = string
    hosted_zone_id = string
  })
  nullable = false

  validation {
    condition     = length(var.distribution.domain_name) > 0 && length(var.distribution.hosted_zone_id) > 0
    error_message = "distribution must have a domain name and a zone."
  }
}
