# Values AWS would give, so that a plan knows them: what is asserted is what the
# configuration makes of them.

mock_data "aws_caller_identity" {
  defaults = { account_id = "111122223333" }
}

mock_data "aws_availability_zones" {
  defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"] }
}

mock_data "aws_ec2_managed_prefix_list" {
  defaults = { id = "pl-3b927c52" }
}

mock_data "aws_route53_zone" {
  defaults = { zone_id = "Z0000000000000000000A" }
}

mock_data "aws_ssm_parameter" {
  defaults = { value = "a-redis-password-of-the-tests-only\n" } # as most ways to store it end it
}

mock_resource "aws_vpc" {
  defaults = { id = "vpc-0123456789abcdef0" }
}

# Without an id: each subnet gets one of its own, so that tests can tell them apart.
mock_resource "aws_subnet" {
  defaults = { owner_id = "111122223333" }
}

mock_resource "aws_internet_gateway" {
  defaults = { id = "igw-0123456789abcdef0" }
}

mock_resource "aws_nat_gateway" {
  defaults = { public_ip = "203.0.113.1" } # an id of its own, as the subnets
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-0123456789abcdef0" }
}

mock_resource "aws_lb" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/tests/0123456789abcdef"
    arn_suffix = "app/tests/0123456789abcdef"
    dns_name   = "internal-tests-1234567890.us-east-1.elb.amazonaws.com"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/tests/0123456789abcdef"
    arn_suffix = "targetgroup/tests/0123456789abcdef"
  }
}

mock_resource "aws_lb_listener" {
  defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:listener/app/tests/0123456789abcdef/0123456789abcdef" }
}

mock_resource "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:us-east-1:111122223333:repository/tests"
    repository_url = "111122223333.dkr.ecr.us-east-1.amazonaws.com/tests"
  }
}

mock_resource "aws_ecs_cluster" {
  defaults = {
    id  = "arn:aws:ecs:us-east-1:111122223333:cluster/tests"
    arn = "arn:aws:ecs:us-east-1:111122223333:cluster/tests"
  }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:us-east-1:111122223333:task-definition/tests:1" }
}

mock_resource "aws_ecs_service" {
  defaults = { id = "arn:aws:ecs:us-east-1:111122223333:service/tests/tests" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::111122223333:role/tests" }
}

mock_resource "aws_dynamodb_table" {
  defaults = { arn = "arn:aws:dynamodb:us-east-1:111122223333:table/tests" }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    arn                         = "arn:aws:s3:::tests"
    bucket_regional_domain_name = "tests.s3.us-east-1.amazonaws.com"
  }
}

mock_resource "aws_cloudfront_distribution" {
  defaults = {
    id             = "E1TESTS"
    arn            = "arn:aws:cloudfront::111122223333:distribution/E1TESTS"
    domain_name    = "d111111abcdef8.cloudfront.net"
    hosted_zone_id = "Z2FDTNDATAQYW2"
  }
}

mock_resource "aws_cloudfront_vpc_origin" {
  defaults = { id = "vo_tests" }
}

mock_resource "aws_cloudfront_function" {
  defaults = { arn = "arn:aws:cloudfront::111122223333:function/tests-pictures" }
}

mock_resource "aws_cloudfront_response_headers_policy" {
  defaults = { etag = "E3TESTS" }
}

mock_resource "aws_cloudfront_cache_policy" {
  defaults = { id = "cache-policy-of-pictures" }
}

mock_resource "aws_cloudfront_origin_access_control" {
  defaults = { id = "E2TESTS" }
}

mock_resource "aws_cloudwatch_log_delivery_destination" {
  defaults = { arn = "arn:aws:logs:us-east-1:111122223333:delivery-destination:tests", delivery_destination_type = "S3" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/tests" }
}

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:us-east-1:111122223333:certificate/tests"

    domain_validation_options = [
      for name in ["images.example.com", "pictures.example.com"] : {
        domain_name           = name
        resource_record_name  = "_tests.${name}."
        resource_record_type  = "CNAME"
        resource_record_value = "_tests.acm-validations.aws."
      }
    ]
  }
}

mock_resource "aws_acm_certificate_validation" {
  defaults = { certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/tests" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:us-east-1:111122223333:tests", fifo_throughput_scope = "" }
}

mock_resource "aws_s3_bucket_lifecycle_configuration" {
  defaults = { transition_default_minimum_object_size = "all_storage_classes_128K" }
}

mock_resource "aws_ssm_parameter" {
  defaults = { arn = "arn:aws:ssm:us-east-1:111122223333:parameter/tests" }
}

mock_resource "aws_wafv2_web_acl" {
  defaults = { arn = "arn:aws:wafv2:us-east-1:111122223333:global/webacl/tests/tests" }
}

mock_resource "aws_wafv2_ip_set" {
  defaults = { arn = "arn:aws:wafv2:us-east-1:111122223333:global/ipset/tests/tests" }
}

mock_resource "aws_elasticache_replication_group" {
  defaults = { primary_endpoint_address = "master.tests.use1.cache.amazonaws.com" }
}

mock_resource "aws_cognito_user_pool" {
  defaults = { id = "us-east-1_TestsTest" }
}

mock_resource "aws_cognito_user_pool_client" {
  defaults = { id = "1234567890abcdefghij" }
}

# Of these there are several, and a test has to tell them apart.

override_resource {
  target = module.service.aws_iam_role.task
  values = { arn = "arn:aws:iam::111122223333:role/task" }
}

override_resource {
  target = module.service.aws_iam_role.execution
  values = { arn = "arn:aws:iam::111122223333:role/execution" }
}

override_resource {
  target = module.reconcile.aws_iam_role.task
  values = { arn = "arn:aws:iam::111122223333:role/reconcile" }
}

override_resource {
  target = module.reconcile.aws_iam_role.scheduler
  values = { arn = "arn:aws:iam::111122223333:role/scheduler" }
}

override_resource {
  target = module.observability.aws_cloudwatch_log_group.this["service"]
  values = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/tests/service" }
}

override_resource {
  target = module.observability.aws_cloudwatch_log_group.this["reconcile"]
  values = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/tests/reconcile" }
}

override_resource {
  target = module.observability.aws_cloudwatch_log_group.this["telemetry"]
  values = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/tests/telemetry" }
}

override_resource {
  target = module.service.aws_security_group.task
  values = { id = "sg-task" }
}

override_resource {
  target = module.balancer.aws_security_group.this
  values = { id = "sg-balancer" }
}

override_resource {
  target = module.cache[0].aws_security_group.this
  values = { id = "sg-redis" }
}

override_resource {
  target = module.service.aws_ecs_task_definition.this
  values = { arn = "arn:aws:ecs:us-east-1:111122223333:task-definition/tests:1" }
}

override_resource {
  target = module.reconcile.aws_ecs_task_definition.this
  values = { arn = "arn:aws:ecs:us-east-1:111122223333:task-definition/tests-reconcile:1" }
}

override_resource {
  target = module.access_logs.aws_s3_bucket.this
  values = { arn = "arn:aws:s3:::tests-logs" }
}

override_resource {
  target = module.cdn.aws_cloudfront_response_headers_policy.pictures
  values = { id = "headers-of-pictures" }
}

override_resource {
  target = module.cdn.aws_cloudfront_response_headers_policy.api
  values = { id = "headers-of-api" }
}
