# Who, where

variable "stage" {
  description = "The stage: dev, staging or prod."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "prod"], var.stage)
    error_message = "stage must be dev, staging or prod."
  }
}

variable "region" {
  description = "The AWS region. CloudFront takes certificates and firewalls from us-east-1 only."
  type        = string
  default     = "us-east-1"
  nullable    = false

  validation {
    condition     = var.region == "us-east-1"
    error_message = "region must be us-east-1: one certificate serves CloudFront and the load balancer."
  }
}

variable "allowed_account_ids" {
  description = "AWS accounts this stage may be applied to; empty: any."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.allowed_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be 12 digits each."
  }
}

variable "cost_center" {
  description = "The CostCenter tag."
  type        = string
  default     = "platform"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9 _.:/=+@-]{1,64}$", var.cost_center))
    error_message = "cost_center must be 1 to 64 characters that a tag may have."
  }
}

variable "zone_name" {
  description = "The Route 53 hosted zone, which is there already."
  type        = string
  default     = "lego-api.com"
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.zone_name))
    error_message = "zone_name must be a lower-case domain name."
  }
}

variable "domain_name" {
  description = "The stage's domain: what imageUrl starts with. In use for ever once used."
  type        = string
  nullable    = false

  validation {
    condition     = endswith(var.domain_name, ".${var.zone_name}") && can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name must be a lower-case name in the zone (zone_name)."
  }
}

variable "domain_aliases" {
  description = "Domains used before; stored imageUrls still lead there."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.domain_aliases : endswith(name, ".${var.zone_name}")]) && !contains(var.domain_aliases, var.domain_name)
    error_message = "domain_aliases must be other names in the zone (zone_name)."
  }
}

# Network

variable "vpc_cidr" {
  description = "Addresses of the stage's VPC; /22 or larger."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 15)) && try(tonumber(split("/", var.vpc_cidr)[1]) <= 22, false)
    error_message = "vpc_cidr must be an IPv4 network of /22 or larger, such as 10.40.0.0/20."
  }
}

variable "zone_count" {
  description = "How many availability zones: 2 or 3."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "zone_count must be 2 or 3."
  }
}

variable "egress" {
  description = "How tasks reach JWKS, CloudFront's API and ECR: single-nat, nat-per-az, or public (public subnets, nothing let in)."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["single-nat", "nat-per-az", "public"], var.egress)
    error_message = "egress must be single-nat, nat-per-az or public."
  }
}

# Service

variable "image_digest" {
  description = "Digest of the image to run, sha256:…; the pipeline gives it."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest must be sha256: and 64 hexadecimal digits; a tag could be moved."
  }
}

variable "task_cpu" {
  description = "CPU units of a task (1024 is one CPU); also decides how many pictures it processes at a time."
  type        = number
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.task_cpu)
    error_message = "task_cpu must be 256, 512, 1024, 2048 or 4096."
  }
}

variable "task_memory" {
  description = "Memory of a task, in MiB; Fargate has it in steps of 1024 that depend on the CPU."
  type        = number
  nullable    = false

  validation {
    condition = contains(lookup({
      256  = [1024, 2048]
      512  = range(1024, 4097, 1024)
      1024 = range(2048, 8193, 1024)
      2048 = range(4096, 16385, 1024)
      4096 = range(8192, 30721, 1024)
    }, var.task_cpu, []), var.task_memory)
    error_message = "task_memory must be an amount Fargate has for this task_cpu, and 1024 or more."
  }
}

variable "use_spot" {
  description = "Run on Fargate Spot. Not in production: both tasks can be taken away at once."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.use_spot && var.stage == "prod")
    error_message = "Production doesn't run on Spot."
  }
}

variable "min_tasks" {
  description = "The fewest tasks."
  type        = number
  nullable    = false

  validation {
    condition     = var.min_tasks >= (var.stage == "prod" ? 2 : 1)
    error_message = "min_tasks must be 1 or more, and 2 or more in prod: any task may die at any moment."
  }
}

variable "max_tasks" {
  description = "The most tasks autoscaling may start; the ceiling of the bill."
  type        = number
  nullable    = false

  validation {
    condition     = var.max_tasks >= var.min_tasks && var.max_tasks <= 100
    error_message = "max_tasks must be min_tasks to 100."
  }
}

variable "requests_per_target" {
  description = "Requests a minute and task that autoscaling aims at."
  type        = number
  default     = 3000
  nullable    = false

  validation {
    condition     = var.requests_per_target >= 60
    error_message = "requests_per_target must be 60 (one a second) or more."
  }
}

variable "container_user" {
  description = "User and group IDs the container runs as."
  type        = string
  default     = "10001:10001"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]*:[1-9][0-9]*$", var.container_user))
    error_message = "container_user must be uid:gid, neither of them 0."
  }
}

variable "cors_origins" {
  description = "Origins whose pages may call the API; https://*.example.com means its subdomains."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for origin in var.cors_origins : can(regex(
        "^(${var.stage == "dev" ? "https?" : "https"}://([*][.][a-z0-9-]+[.])?[a-z0-9.-]+(:[0-9]+)?|(capacitor|ionic|tauri)://[a-z0-9.-]*)$",
        origin,
      ))
    ])
    error_message = "cors_origins must be origins such as https://example.com, https://*.example.com or capacitor://localhost; http only in dev."
  }
}

variable "cors_headers" {
  description = "Request headers pages may send besides the API's own and those of tracing."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for header in var.cors_headers : can(regex("^[A-Za-z0-9_-]{1,100}$", header))])
    error_message = "cors_headers must be names of headers, such as X-Client-Version."
  }
}

variable "rendition_widths" {
  description = "Widths, in pixels, that pictures are also stored at; [] for none."
  type        = list(number)
  default     = [320, 640, 1280]
  nullable    = false

  validation {
    condition = length(var.rendition_widths) <= 8 && length(distinct(var.rendition_widths)) == length(var.rendition_widths) && alltrue([
      for width in var.rendition_widths : width >= 16 && width <= 2047 && floor(width) == width
    ])
    error_message = "rendition_widths must be up to 8 different whole numbers from 16 to 2047."
  }
}

variable "rate_limits" {
  description = "Requests and uploads a user may make, and requests a machine may, such as 1000/second and 100/minute."
  type = object({
    requests = optional(string, "1000/second")
    uploads  = optional(string, "100/minute")
    machines = optional(string, "1000/second")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for rate in values(var.rate_limits) : can(regex("^[1-9][0-9]*/(second|minute|hour|day)$", rate))])
    error_message = "rate_limits must be rates such as 100/minute."
  }
}

variable "extra_environment" {
  description = "Further IMAGE_SERVICE_* or OTEL_* settings of the container; nothing secret."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.extra_environment) : can(regex("^(IMAGE_SERVICE|OTEL)_[A-Z0-9_]+$", name))])
    error_message = "extra_environment takes IMAGE_SERVICE_* and OTEL_* only."
  }

  # In lines for people no metric filter finds anything: upload-p95, overloaded, outbox-* and
  # logged-errors would be quiet for ever. outbox-age reads warnings.
  validation {
    condition = (
      lookup(var.extra_environment, "IMAGE_SERVICE_LOG_FORMAT", "json") == "json" &&
      lookup(var.extra_environment, "IMAGE_SERVICE_LOG_LEVEL", "info") != "error"
    )
    error_message = "extra_environment must leave IMAGE_SERVICE_LOG_FORMAT at json and IMAGE_SERVICE_LOG_LEVEL below error: alarms read the log."
  }
}

variable "extra_secrets" {
  description = "Further settings whose values come from SSM: name to parameter ARN."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.extra_secrets) : can(regex("^arn:[^:]+:ssm:[^:]+:[0-9]+:parameter/", arn))])
    error_message = "extra_secrets must map names to ARNs of SSM parameters."
  }
}

variable "reconcile_schedule" {
  description = "When reconcile runs, UTC: rate(…) or cron(…)."
  type        = string
  default     = "cron(17 4 * * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.reconcile_schedule))
    error_message = "reconcile_schedule must be rate(…) or cron(…)."
  }
}

variable "reconcile_fix" {
  description = "Let the scheduled reconcile repair what it finds, instead of only reporting it."
  type        = bool
  default     = false
  nullable    = false
}

# Data

variable "table_name" {
  description = "Name of the table; null: ImageMetadata-{stage}. Another one after a restore."
  type        = string
  default     = null

  validation {
    condition     = var.table_name == null || can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "table_name must be 3 to 255 of letters, digits, _, . and -."
  }
}

variable "bucket_name" {
  description = "Name of the bucket; null: images-lego-moc-{stage}. For where someone else has that name."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 of a-z, 0-9 and -; no dots, which Transfer Acceleration refuses."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete table, bucket, load balancer and images."
  type        = bool
  nullable    = false

  validation {
    condition     = var.deletion_protection || var.stage != "prod"
    error_message = "Production keeps its deletion protection; to tear it down, see docs/operations.md."
  }
}

variable "redis_enabled" {
  description = "Run Redis. Worth it once image_service's would-be hit rate passes 50 %: docs/costs.md."
  type        = bool
  default     = false
  nullable    = false
}

variable "redis_node_type" {
  description = "ElastiCache node type."
  type        = string
  default     = "cache.t4g.micro"
  nullable    = false

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.redis_node_type))
    error_message = "redis_node_type must be an ElastiCache node type, such as cache.t4g.micro."
  }
}

variable "redis_nodes" {
  description = "Redis nodes: one, or a primary with replicas in other zones."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.redis_nodes >= (var.stage == "prod" ? 2 : 1) && var.redis_nodes <= 6
    error_message = "redis_nodes must be 1 to 6, and 2 or more in prod (Multi-AZ)."
  }
}

# Who may come in

variable "create_user_pool" {
  description = "Make a Cognito pool for this stage, instead of using the platform's. Not in production."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.create_user_pool && var.stage == "prod")
    error_message = "Production uses the platform's user pool."
  }
}

variable "cognito_user_pool_id" {
  description = "ID of the platform's Cognito pool."
  type        = string
  default     = null

  validation {
    condition     = var.create_user_pool != (var.cognito_user_pool_id != null)
    error_message = "Give cognito_user_pool_id, or create_user_pool; one of them, not both."
  }

  validation {
    condition     = var.cognito_user_pool_id == null || can(regex("^us-east-1_[A-Za-z0-9]+$", var.cognito_user_pool_id))
    error_message = "cognito_user_pool_id must look like us-east-1_AbCdEf123."
  }
}

variable "cognito_client_ids" {
  description = "App clients of the platform's pool whose tokens are accepted."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.cognito_client_ids : can(regex("^[a-z0-9]{10,128}$", id))]) && (var.create_user_pool || length(var.cognito_client_ids) > 0)
    error_message = "cognito_client_ids must name one or more app clients, in lower-case letters and digits."
  }
}

variable "service_client_ids" {
  description = "App clients of the pool that are machines (client credentials): docs/authentication.md. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.service_client_ids : can(regex("^[a-z0-9]{10,128}$", id))])
    error_message = "service_client_ids must be app clients, in lower-case letters and digits."
  }

  validation {
    condition     = length(setintersection(var.service_client_ids, var.cognito_client_ids)) == 0
    error_message = "service_client_ids must have clients of its own, none of cognito_client_ids."
  }
}

variable "service_scope_prefix" {
  description = "Identifier of the resource server in Cognito: machines have the scopes <prefix>/read and <prefix>/write."
  type        = string
  default     = "image-service"
  nullable    = false

  validation {
    condition     = can(regex("^[!#-\\[\\]-~]{1,256}$", var.service_scope_prefix))
    error_message = "service_scope_prefix must be the identifier of a resource server, without blanks and quotes."
  }
}

variable "admin_groups" {
  description = "Groups of the pool whose users are administrators of all images. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for group in var.admin_groups : can(regex("^[^\\s,]{1,128}$", group))])
    error_message = "admin_groups must be names of groups, without blanks and commas."
  }
}

variable "waf_enabled" {
  description = "Put a firewall in front: rate limit and managed rules."
  type        = bool
  default     = false
  nullable    = false
}

variable "waf_rate_limit" {
  description = "API requests one address may make in 5 minutes."
  type        = number
  default     = 10000
  nullable    = false

  validation {
    condition     = var.waf_rate_limit >= 100 && var.waf_rate_limit <= 2000000000
    error_message = "waf_rate_limit must be 100 or more."
  }
}

variable "waf_exempt_cidrs" {
  description = "The main API's egress addresses, which the rate limit passes over."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.waf_exempt_cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "waf_exempt_cidrs must be IPv4 networks of /16 or smaller, such as 203.0.113.7/32."
  }
}

# Watching

variable "log_retention_days" {
  description = "Days logs are kept: 7, 14, 30, 60 or 90."
  type        = number
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60 or 90."
  }
}

variable "alarm_emails" {
  description = "Who is written to when an alarm goes off."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[a-z]+$", email))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "telemetry_enabled" {
  description = "Run a collector beside each task: /metrics into CloudWatch, traces into X-Ray. About $14 a month: docs/costs.md."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.telemetry_enabled || var.task_memory >= 2048
    error_message = "telemetry_enabled needs task_memory of 2048 or more: in less, the collector would take what uploads may use."
  }
}

variable "telemetry_image" {
  description = "The collector's image, by tag or digest. Every task pulls it as it starts: with many tasks, from a pull-through cache of your own."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.48.0"
  nullable    = false

  validation {
    condition     = can(regex("(:v[0-9]+[.][0-9]+[.][0-9]+|@sha256:[0-9a-f]{64})$", var.telemetry_image))
    error_message = "telemetry_image must end with a version (:v0.48.0) or a digest (@sha256:…)."
  }
}

variable "monthly_budget" {
  description = "US dollars a month this stage may cost before someone is written to."
  type        = number
  nullable    = false

  validation {
    condition     = var.monthly_budget > 0
    error_message = "monthly_budget must be above 0."
  }
}

# Pipeline

variable "github_repository" {
  description = "The GitHub repository that may deploy, as the subject of its tokens has it: owner/name, or owner@id/name@id where subjects are immutable (docs/deployment.md). Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|[A-Za-z0-9_.-]+@[0-9]+/[A-Za-z0-9_.-]+@[0-9]+)$", var.github_repository))
    error_message = "github_repository must be owner/name or owner@id/name@id; no wildcards."
  }
}

variable "state_bucket" {
  description = "Bucket of Terraform's state, which the pipeline reads and writes. Needed with github_repository."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket."
  }

  validation {
    condition     = var.github_repository == null || var.state_bucket != null
    error_message = "Give state_bucket too: the pipeline works on the state."
  }
}

variable "deploy_policy_arns" {
  description = "Policies for teams whose pipeline is to change the infrastructure too, not only deploy."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.deploy_policy_arns : can(regex("^arn:[^:]+:iam::([0-9]{12}|aws):policy/", arn))])
    error_message = "deploy_policy_arns must be ARNs of IAM policies."
  }
}
