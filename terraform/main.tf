# One stage of the image service, from the network to the alarms.
#
#   browser, client -> cdn (firewall) -> balancer -> service -> storage, cache
#                          \-> storage (pictures)

data "aws_caller_identity" "current" {}

locals {
  name       = "image-service-${var.stage}"
  account_id = data.aws_caller_identity.current.account_id

  tags = {
    Project     = "lego-moc"
    Component   = "image-service"
    Environment = var.stage
    CostCenter  = var.cost_center
  }

  domain_names = concat([var.domain_name], var.domain_aliases)
  bucket_name  = coalesce(var.bucket_name, "images-lego-moc-${var.stage}")
  parameters   = { token = "/image-service/${var.stage}/redis-token", url = "/image-service/${var.stage}/redis-url" }

  ports = { api = 8000, operations = 9090 }

  # After SIGTERM a task serves on for 10 s with its readiness at 503, gives running requests
  # 30 s, finishes what is half-written (up to 30 s) and its worker's round (up to 10 s). The
  # load balancer keeps a leaving task's requests as long as the first two take; ECS kills
  # only after all four.
  deregistration_delay = 45
  stop_timeout         = 90
}

module "access_logs" {
  source = "./modules/access_logs"

  bucket_name    = "${local.bucket_name}-logs"
  account_id     = local.account_id
  region         = var.region
  retention_days = var.log_retention_days
}

module "network" {
  source = "./modules/network"

  name           = local.name
  region         = var.region
  cidr           = var.vpc_cidr
  zone_count     = var.zone_count
  egress         = var.egress
  log_bucket_arn = module.access_logs.bucket_arn
}

module "dns" {
  source = "./modules/dns"

  zone_name    = var.zone_name
  domain_names = local.domain_names

  distribution = {
    domain_name    = module.cdn.domain_name
    hosted_zone_id = module.cdn.hosted_zone_id
  }
}

module "storage" {
  source = "./modules/storage"

  table_name          = coalesce(var.table_name, "ImageMetadata-${var.stage}")
  bucket_name         = local.bucket_name
  distribution_arn    = module.cdn.distribution_arn
  deletion_protection = var.deletion_protection
  log_bucket          = module.access_logs.bucket
}

module "balancer" {
  source = "./modules/balancer"

  name                 = local.name
  vpc_id               = module.network.vpc_id
  subnet_ids           = module.network.private_subnet_ids
  certificate_arn      = module.dns.certificate_arn
  container_port       = local.ports.api
  deregistration_delay = local.deregistration_delay
  deletion_protection  = var.deletion_protection
  log_bucket           = module.access_logs.bucket
}

module "firewall" {
  source = "./modules/firewall"
  count  = var.waf_enabled ? 1 : 0

  name               = local.name
  rate_limit         = var.waf_rate_limit
  exempt_cidrs       = var.waf_exempt_cidrs
  log_retention_days = var.log_retention_days
}

module "cdn" {
  source = "./modules/cdn"

  name               = local.name
  domain_names       = local.domain_names
  certificate_arn    = module.dns.certificate_arn
  bucket_domain_name = module.storage.bucket_domain_name
  web_acl_arn        = one(module.firewall[*].web_acl_arn)
  log_bucket_arn     = module.access_logs.bucket_arn

  balancer = {
    arn      = module.balancer.arn
    dns_name = module.balancer.dns_name
  }
}

module "auth" {
  source = "./modules/auth"

  name             = local.name
  region           = var.region
  create_user_pool = var.create_user_pool
  user_pool_id     = var.cognito_user_pool_id
  client_ids       = var.cognito_client_ids
}

module "cache" {
  source = "./modules/cache"
  count  = var.redis_enabled ? 1 : 0

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.service.task_security_group_id
  node_type                = var.redis_node_type
  nodes                    = var.redis_nodes
  token_parameter          = local.parameters.token
  url_parameter            = local.parameters.url
}

locals {
  # ECS drops variables that are empty, and the provider then shows a change in every plan.
  lists = {
    for name, values in {
      IMAGE_SERVICE_SERVICE_CLIENT_IDS = var.service_client_ids
      IMAGE_SERVICE_ADMIN_GROUPS       = var.admin_groups
      IMAGE_SERVICE_CORS_ORIGINS       = var.cors_origins
      IMAGE_SERVICE_CORS_HEADERS       = var.cors_headers
      IMAGE_SERVICE_RENDITION_WIDTHS   = length(var.rendition_widths) > 0 ? [for width in var.rendition_widths : tostring(width)] : ["none"]
    } : name => join(",", values) if length(values) > 0
  }

  environment = merge(
    {
      AWS_REGION                               = var.region
      IMAGE_SERVICE_STAGE                      = var.stage
      IMAGE_SERVICE_TABLE_NAME                 = module.storage.table_name
      IMAGE_SERVICE_BUCKET                     = module.storage.bucket
      IMAGE_SERVICE_STORAGE_CLASS              = "INTELLIGENT_TIERING"
      IMAGE_SERVICE_CDN_BASE_URL               = "https://${var.domain_name}"
      IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID = module.cdn.distribution_id
      IMAGE_SERVICE_COGNITO_ISSUER             = module.auth.issuer
      IMAGE_SERVICE_COGNITO_CLIENT_IDS         = join(",", module.auth.client_ids)
      IMAGE_SERVICE_SERVICE_SCOPE_PREFIX       = var.service_scope_prefix
      IMAGE_SERVICE_RATE_LIMIT_REQUESTS        = var.rate_limits.requests
      IMAGE_SERVICE_RATE_LIMIT_UPLOADS         = var.rate_limits.uploads
      IMAGE_SERVICE_RATE_LIMIT_MACHINES        = var.rate_limits.machines
      IMAGE_SERVICE_LOG_FORMAT                 = "json"
    },
    local.lists,
    var.extra_environment,
  )

  # The Redis URL holds the password. Without Redis the setting is absent, and so is Redis.
  secrets = merge(
    var.redis_enabled ? { IMAGE_SERVICE_REDIS_URL = module.cache[0].url_parameter_arn } : {},
    var.extra_secrets,
  )

  telemetry = var.telemetry_enabled ? {
    image     = var.telemetry_image
    namespace = module.observability.namespace
    log_group = module.observability.log_groups["telemetry"]
  } : null

  storage = {
    table_arn  = module.storage.table_arn
    index_arns = module.storage.index_arns
    bucket_arn = module.storage.bucket_arn
  }
}

module "service" {
  source = "./modules/service"

  name                = local.name
  region              = var.region
  account_id          = local.account_id
  image_digest        = var.image_digest
  cpu                 = var.task_cpu
  memory              = var.task_memory
  min_tasks           = var.min_tasks
  max_tasks           = var.max_tasks
  requests_per_target = var.requests_per_target
  use_spot            = var.use_spot
  container_user      = var.container_user
  environment         = local.environment
  secrets             = local.secrets
  ports               = local.ports
  stop_timeout        = local.stop_timeout
  storage             = local.storage
  distribution_arn    = module.cdn.distribution_arn
  log_groups          = { service = module.observability.log_groups.service, reconcile = module.observability.log_groups.reconcile }
  deletion_protection = var.deletion_protection
  telemetry           = local.telemetry

  network = {
    vpc_id           = module.network.vpc_id
    subnet_ids       = module.network.task_subnet_ids
    assign_public_ip = module.network.assign_public_ip
  }

  balancer = {
    security_group_id       = module.balancer.security_group_id
    target_group_arn        = module.balancer.target_group_arn
    arn_suffix              = module.balancer.arn_suffix
    target_group_arn_suffix = module.balancer.target_group_arn_suffix
  }
}

module "reconcile" {
  source = "./modules/reconcile"

  name               = local.name
  region             = var.region
  account_id         = local.account_id
  image              = module.service.image
  environment        = module.service.environment
  secrets            = local.secrets
  container_user     = var.container_user
  schedule           = var.reconcile_schedule
  fix                = var.reconcile_fix
  cluster_arn        = module.service.cluster.arn
  execution_role_arn = module.service.execution_role.arn
  storage            = local.storage
  distribution_arn   = module.cdn.distribution_arn
  log_group_name     = module.observability.log_groups.reconcile.name
  topic_arn          = module.observability.topic_arn

  network = {
    subnet_ids        = module.network.task_subnet_ids
    security_group_id = module.service.task_security_group_id
    assign_public_ip  = module.network.assign_public_ip
  }
}

module "observability" {
  source = "./modules/observability"

  name               = local.name
  region             = var.region
  account_id         = local.account_id
  stage              = var.stage
  log_retention_days = var.log_retention_days
  emails             = var.alarm_emails
  monthly_budget     = var.monthly_budget
  min_tasks          = var.min_tasks
  telemetry_enabled  = var.telemetry_enabled

  watched = {
    cluster         = module.service.cluster.name
    service         = module.service.service_name
    balancer        = module.balancer.arn_suffix
    target_group    = module.balancer.target_group_arn_suffix
    table           = module.storage.table_name
    distribution_id = module.cdn.distribution_id
    schedule_group  = module.reconcile.schedule_group
    redis_node_ids  = var.redis_enabled ? [for index in range(var.redis_nodes) : format("%s-%03d", local.name, index + 1)] : []
  }
}

module "pipeline" {
  source = "./modules/pipeline"
  count  = var.github_repository == null ? 0 : 1

  name              = local.name
  stage             = var.stage
  region            = var.region
  account_id        = local.account_id
  repository        = var.github_repository
  repository_arn    = module.service.repository_arn
  service_arn       = module.service.service_arn
  state_bucket      = var.state_bucket
  state_key         = "image-service/${var.stage}.tfstate"
  extra_policy_arns = var.deploy_policy_arns
  redis_parameter   = var.redis_enabled ? local.parameters.token : null
}
