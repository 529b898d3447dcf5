# An internal load balancer: it has no public face, and CloudFront is all that reaches it.

# The addresses CloudFront comes from, kept by AWS. Allowing them before the VPC origin is
# made lets everything be made in one go; the balancer being internal, no other
# distribution can reach it by them.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_security_group" "this" {
  name        = "${var.name}-alb"
  description = "Load balancer: HTTPS from CloudFront only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-alb" }
}

resource "aws_vpc_security_group_ingress_rule" "cloudfront" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS from CloudFront"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
}

resource "aws_lb" "this" {
  name               = var.name
  internal           = true
  load_balancer_type = "application"
  subnets            = var.subnet_ids
  security_groups    = [aws_security_group.this.id]

  # The server keeps connections for 75 s and CloudFront for 55 s: each side outlasts the
  # one before it, so that none writes into a connection the next has just closed.
  idle_timeout = 60

  # What two servers could read in two ways is refused before it reaches one.
  desync_mitigation_mode     = "strictest"
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    bucket  = var.log_bucket
    prefix  = "alb"
    enabled = true
  }
}

# TLS ends at the balancer; between it and a task both security groups allow nothing else.
# In use, a group can't be deleted: one that has to be replaced gets a second beside it, which
# the listener takes first. Hence the prefix instead of a name.
resource "aws_lb_target_group" "this" {
  name_prefix      = "image-"
  vpc_id           = var.vpc_id
  port             = var.container_port
  protocol         = "HTTP"
  protocol_version = "HTTP1"
  target_type      = "ip"

  deregistration_delay          = var.deregistration_delay
  load_balancing_algorithm_type = "least_outstanding_requests"

  # Knows nothing of DynamoDB or S3: a blip of theirs can't take every task down.
  health_check {
    path                = "/health/ready"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Name = var.name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
