# The network: three ways out, none in.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "as_the_stage_has_it" {
  command = plan

  assert {
    condition     = module.network.assign_public_ip == (var.egress == "public") && module.service.resources.service.network_configuration[0].assign_public_ip == module.network.assign_public_ip
    error_message = "Tasks have public addresses where that is their way out, and only there."
  }

  # With a public address, this is all that stands between a task and the internet.
  assert {
    condition = (
      module.service.resources.ingress.security_group_id == "sg-task" &&
      module.service.resources.ingress.referenced_security_group_id == "sg-balancer" &&
      module.service.resources.ingress.cidr_ipv4 == null && module.service.resources.ingress.cidr_ipv6 == null &&
      module.service.resources.ingress.from_port == 8000 && module.service.resources.ingress.to_port == 8000 &&
      module.service.resources.service.network_configuration[0].security_groups == toset(["sg-task"])
    )
    error_message = "Tasks let the balancer in and nobody else, on the API's port only (metrics stay inside)."
  }

  assert {
    condition = (
      module.service.resources.egress.security_group_id == "sg-task" &&
      module.service.resources.egress.ip_protocol == "tcp" &&
      module.service.resources.egress.from_port == 443 && module.service.resources.egress.to_port == 443 &&
      module.service.resources.egress.cidr_ipv4 == "0.0.0.0/0"
    )
    error_message = "Tasks reach out over HTTPS only, and everywhere: JWKS, CloudFront's API, ECR."
  }

  assert {
    condition     = length(module.network.private_subnet_ids) == var.zone_count && length(distinct([for subnet in module.network.resources.private_subnets : subnet.availability_zone])) == var.zone_count
    error_message = "A private subnet in each zone."
  }

  # Only by NAT. A route to the internet gateway would make these subnets public.
  assert {
    condition = alltrue([
      for route in module.network.resources.nat_routes : route.gateway_id == null && route.destination_cidr_block == "0.0.0.0/0"
    ])
    error_message = "Private subnets have no route to the internet gateway."
  }

  assert {
    condition     = alltrue([for subnet in module.network.resources.public_subnets : !subnet.map_public_ip_on_launch])
    error_message = "Nothing gets a public address without asking for one."
  }

  # They carry the pictures and the metadata: without them NAT charges 4.5 cents a GB.
  assert {
    condition = {
      for endpoint in module.network.resources.gateway_endpoints : endpoint.service_name => endpoint.vpc_endpoint_type
    } == { "com.amazonaws.us-east-1.dynamodb" = "Gateway", "com.amazonaws.us-east-1.s3" = "Gateway" }
    error_message = "S3 and DynamoDB are reached by gateway endpoints, which are free; the others are not."
  }

  assert {
    condition     = length(module.network.resources.default_security_group.ingress) == 0 && length(module.network.resources.default_security_group.egress) == 0
    error_message = "The VPC's default security group lets nothing through."
  }

  assert {
    condition     = module.network.resources.flow_log.traffic_type == "REJECT" && module.network.resources.flow_log.log_destination == "arn:aws:s3:::tests-logs"
    error_message = "Refused connections are logged."
  }

  assert {
    condition     = toset(module.balancer.resources.balancer.subnets) == toset(module.network.private_subnet_ids)
    error_message = "The balancer is in the private subnets, whatever the way out."
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
    condition = length(module.network.resources.nat_routes) == 3 && alltrue([
      for zone, route in module.network.resources.nat_routes : route.nat_gateway_id == module.network.resources.nat_gateways[zone].id
    ])
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
    egress     = "single-nat"
    zone_count = 2
  }

  assert {
    condition = keys(module.network.resources.nat_gateways) == ["a"] && length(module.network.resources.nat_routes) == 2 && alltrue([
      for route in module.network.resources.nat_routes : route.nat_gateway_id == module.network.resources.nat_gateways["a"].id
    ])
    error_message = "Both zones leave by one NAT."
  }

  assert {
    condition     = toset(module.network.task_subnet_ids) == toset(module.network.private_subnet_ids) && !module.network.assign_public_ip
    error_message = "Tasks are in the private subnets."
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
}
