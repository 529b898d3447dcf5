output "arn" {
  description = "ARN of the load balancer, for the VPC origin."
  # With the listener: CloudFront finds nobody home before it is there.
  value      = aws_lb.this.arn
  depends_on = [aws_lb_listener.https]
}

output "arn_suffix" {
  description = "What CloudWatch and autoscaling call the load balancer."
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "Internal DNS name of the load balancer."
  value       = aws_lb.this.dns_name
}

output "security_group_id" {
  description = "Security group of the load balancer."
  value       = aws_security_group.this.id
}

output "target_group_arn" {
  description = "ARN of the target group. Known once the listener is there, without which ECS refuses the group."
  value       = aws_lb_target_group.this.arn
  depends_on  = [aws_lb_listener.https]
}

output "target_group_arn_suffix" {
  description = "What CloudWatch and autoscaling call the target group."
  value       = aws_lb_target_group.this.arn_suffix
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    balancer     = aws_lb.this
    target_group = aws_lb_target_group.this
    listener     = aws_lb_listener.https
    ingress      = aws_vpc_security_group_ingress_rule.cloudfront
  }
}
