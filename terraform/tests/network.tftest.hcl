# The network: three ways out, none in.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

# What the tfvars leave open. Dev makes a user pool of its own.
variables {
  image_digest         = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cognito_user_pool_id = var.stage == "dev" ? null : "us-east-1_TestsTest"
  cognito_client_ids   = var.stage == "dev" ? [] : ["1234567890abcdefghij"]
  github_repository    = "lego-moc/image-service"
  state_bucket         = "lego-moc-terraform-state"
}

run "as_the_stage_has_it" {
  command = plan

  assert {
    condition     = length(module.network.resources.nat_gateways) == { dev = 0, staging = 1, prod = 1 }[var.stage]
    error_message = "Dev pays for no NAT; staging and production for one."
  }

  assert {
    condition     = module.service.resources.service.network_configuration[0].assign_public_ip == (var.stage == "dev")
    error_message = "Only dev's tasks have public addresses."
  }

  # With a public address, this is all that stands between a task and the internet.
  assert {
    condition = (
      module.service.resources.ingress.referenced_security_group_id == "sg-0123456789abcdef0" &&
      module.service.resources.ingress.cidr_ipv4 == null && module.service.resources.ingress.cidr_ipv6 == null &&
      module.service.resources.ingress.from_port == 8000 && module.service.resources.ingress.to_port == 8000
    )
    error_message = "Tasks let the balancer in and nobody else, on the API's port only (metrics stay inside)."
  }

  assert {
    condition     = module.service.resources.egress.from_port == 443 && module.service.resources.egress.to_port == 443
    error_message = "Tasks reach out over HTTPS only."
  }

  assert {
    condition     = length(module.network.private_subnet_ids) == 2 && length(distinct([for subnet in module.network.resources.private_subnets : subnet.availability_zone])) == 2
    error_message = "Two zones."
  }

  assert {
    condition     = alltrue([for subnet in module.network.resources.public_subnets : !subnet.map_public_ip_on_launch])
    error_message = "Nothing gets a public address without asking for one."
  }

  # They carry the pictures and the metadata: without them NAT charges 4.5 cents a GB.
  assert {
    condition     = toset([for endpoint in module.network.resources.gateway_endpoints : endpoint.service_name]) == toset(["com.amazonaws.us-east-1.dynamodb", "com.amazonaws.us-east-1.s3"])
    error_message = "S3 and DynamoDB are reached by gateway endpoints."
  }

  assert {
    condition     = alltrue([for endpoint in module.network.resources.gateway_endpoints : endpoint.vpc_endpoint_type == "Gateway"])
    error_message = "Gateway endpoints, which are free; the others are not."
  }

  assert {
    condition     = length(module.network.resources.default_security_group.ingress) == 0 && length(module.network.resources.default_security_group.egress) == 0
    error_message = "The VPC's default security group lets nothing through."
  }

  assert {
    condition     = module.network.resources.flow_log.traffic_type == "REJECT"
    error_message = "Refused connections are logged."
  }
}

run "nat_per_zone" {
  command = plan

  variables {
    egress     = "nat-per-az"
    zone_count = 3
  }

  assert {
    condition     = toset(keys(module.network.resources.nat_gateways)) == toset(["a", "b", "c"])
    error_message = "A NAT in each zone."
  }

  assert {
    condition     = length(module.network.resources.nat_routes) == 3
    error_message = "Each zone leaves by its own."
  }

  assert {
    condition     = toset(module.network.task_subnet_ids) == toset(module.network.private_subnet_ids) && !module.network.assign_public_ip
    error_message = "Tasks are in the private subnets."
  }
}

run "single_nat" {
  command = plan

  variables {
    egress = "single-nat"
  }

  assert {
    condition     = keys(module.network.resources.nat_gateways) == ["a"] && length(module.network.resources.nat_routes) == 2
    error_message = "Both zones leave by one NAT."
  }
}

run "public" {
  command = plan

  variables {
    egress = "public"
  }

  assert {
    condition     = length(module.network.resources.nat_gateways) == 0 && length(module.network.resources.nat_routes) == 0
    error_message = "No NAT to pay for."
  }

  assert {
    condition     = toset(module.network.task_subnet_ids) == toset([for subnet in module.network.resources.public_subnets : subnet.id]) && module.network.assign_public_ip
    error_message = "Tasks are in the public subnets, with an address to get out."
  }

  assert {
    condition     = toset(module.balancer.resources.balancer.subnets) == toset(module.network.private_subnet_ids)
    error_message = "The balancer stays in the private ones."
  }
}
