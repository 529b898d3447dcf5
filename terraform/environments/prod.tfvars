stage       = "prod"
domain_name = "images.lego-api.com"

# One NAT: while its zone is away running tasks serve on (S3 and DynamoDB don't need it, keys
# are cached, invalidations wait in the outbox), but none can start. "nat-per-az" mends that
# for $36 a month: docs/costs.md.
vpc_cidr = "10.42.0.0/20"
egress   = "single-nat"

# A whole CPU: an upload's P95 below a second asks for it.
task_cpu    = 1024
task_memory = 2048
min_tasks   = 2
max_tasks   = 10

cors_origins = ["https://lego-api.com", "https://*.lego-api.com"]

# Off until the would-be hit rate passes 50 %; two nodes, in two zones, when it is on.
redis_enabled = false
redis_nodes   = 2

waf_enabled = true

deletion_protection = true
log_retention_days  = 90
monthly_budget      = 160

# To be added here once they are known; none is a secret, and whoever applies without one
# undoes it: cognito_user_pool_id, cognito_client_ids,
# waf_exempt_cidrs, alarm_emails, github_repository, state_bucket, allowed_account_ids.
# image_digest comes with each deployment.
