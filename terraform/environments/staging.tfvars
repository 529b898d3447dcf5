# Like production in kind, smaller in size.
stage       = "staging"
domain_name = "images-staging.lego-api.com"

vpc_cidr = "10.41.0.0/20"
egress   = "single-nat"

# Half a CPU, but production's memory: what fits there has to fit here.
task_cpu    = 512
task_memory = 2048
min_tasks   = 1
max_tasks   = 3

cors_origins = ["https://staging.lego-api.com", "https://*.staging.lego-api.com"]

deletion_protection = false
log_retention_days  = 14
monthly_budget      = 110

# To be added here once they are known; none is a secret, and whoever applies without one
# undoes it: cognito_user_pool_id, cognito_client_ids,
# alarm_emails, github_repository, state_bucket, allowed_account_ids.
# image_digest comes with each deployment.
