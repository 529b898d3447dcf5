# What the tests need to know, whatever a stage has. Read after the stage's own settings.

image_digest      = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
github_repository = "lego-moc/image-service"
state_bucket      = "lego-moc-terraform-state"

# The mocked certificate is for these.
zone_name      = "example.com"
domain_name    = "images.example.com"
domain_aliases = []

create_user_pool     = false
cognito_user_pool_id = "us-east-1_TestsTest"
cognito_client_ids   = ["1234567890abcdefghij"]

rendition_widths = [480, 960]

cors_headers = ["X-Client-Version", "X-Locale"]

service_client_ids   = ["abcdefghij1234567890", "bcdefghij1234567890a"]
service_scope_prefix = "https://images.example.com"
admin_groups         = ["image-admins", "moderators"]
