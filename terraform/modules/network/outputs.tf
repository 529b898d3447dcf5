output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "IDs of the private subnets, one a zone: for the load balancer and Redis."
  value       = [for key in local.zone_keys : aws_subnet.private[key].id]

  # CloudFront's VPC origin refuses a VPC without an internet gateway.
  depends_on = [aws_internet_gateway.this]
}

output "task_subnet_ids" {
  description = "IDs of the subnets the tasks run in: public ones where egress is public, else private."
  value = [
    for key in local.zone_keys :
    var.egress == "public" ? aws_subnet.public[key].id : aws_subnet.private[key].id
  ]

  # Known once there is a way out: a task that can't pull its image fails its deployment.
  depends_on = [
    aws_route.internet, aws_route_table_association.public,
    aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.gateway,
  ]
}

output "assign_public_ip" {
  description = "Whether a task needs a public address of its own to reach the internet."
  value       = var.egress == "public"
}

output "nat_addresses" {
  description = "The public addresses that requests of the tasks come from; empty where egress is public."
  value       = [for key in local.nat_keys : aws_eip.nat[key].public_ip]
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    vpc                    = aws_vpc.this
    default_security_group = aws_default_security_group.this
    public_subnets         = aws_subnet.public
    private_subnets        = aws_subnet.private
    nat_gateways           = aws_nat_gateway.this
    nat_routes             = aws_route.nat
    gateway_endpoints      = aws_vpc_endpoint.gateway
    flow_log               = aws_flow_log.rejected
  }
}
