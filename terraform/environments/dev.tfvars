# Cheap, and gone without a trace when it is no longer needed.
stage       = "dev"
domain_name = "images-dev.lego-api.com"

# No NAT: tasks stand in public subnets with nothing let in, and get out by themselves.
vpc_cidr = "10.40.0.0/20"
egress   = "public"

task_cpu    = 256
task_memory = 1024
use_spot    = true
min_tasks   = 1
max_tasks   = 2

cors_origins = ["http://localhost:3000", "http://localhost:5173"]

# A pool of its own; set this to false and give cognito_user_pool_id to use the platform's.
create_user_pool = true

deletion_protection = false
log_retention_days  = 7
monthly_budget      = 50

# To be added here once they are known; none is a secret, and whoever applies without one
# undoes it: alarm_emails, github_repository, state_bucket,
# allowed_account_ids.
# image_digest comes with each deployment.
