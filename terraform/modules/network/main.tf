# A VPC over two or three zones. The load balancer and Redis always live in the private
# subnets; tasks live there too, or in the public ones where `egress` is "public".

data "aws_availability_zones" "available" {
  state = "available"

  # By their ids, so that a zone AWS adds doesn't move the subnets. use1-az3 isn't among
  # them: CloudFront can't reach VPC origins there.
  filter {
    name   = "zone-id"
    values = ["use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6"]
  }
}

locals {
  zone_keys = slice(["a", "b", "c"], 0, var.zone_count)
  zones     = { for index, key in local.zone_keys : key => { index = index } }

  nat_keys = {
    "single-nat" = ["a"]
    "nat-per-az" = local.zone_keys
    "public"     = []
  }[var.egress]
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  instance_tenancy     = "default" # said, as are the defaults below that would replace what hangs on them
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# Nothing may use the VPC's default group by accident.
resource "aws_default_security_group" "this" {
  vpc_id  = aws_vpc.this.id
  ingress = []
  egress  = []

  tags = { Name = "${var.name}-default-unused" }
}

# Needed even where nothing has a public address: CloudFront's VPC origins ask for it.
resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = data.aws_availability_zones.available.names[each.value.index]
  cidr_block              = cidrsubnet(var.cidr, 4, each.value.index)
  map_public_ip_on_launch = false
  ipv6_native             = false

  tags = { Name = "${var.name}-public-${each.key}" }

  lifecycle {
    create_before_destroy = true # with a zone less, the balancer and the tasks leave it first
  }
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = data.aws_availability_zones.available.names[each.value.index]
  cidr_block        = cidrsubnet(var.cidr, 4, each.value.index + 8)
  ipv6_native       = false

  tags = { Name = "${var.name}-private-${each.key}" }

  lifecycle {
    create_before_destroy = true # with a zone less, the balancer and the tasks leave it first
  }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = local.zones

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_eip" "nat" {
  for_each = toset(local.nat_keys)

  domain = "vpc"

  tags = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = toset(local.nat_keys)

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id

  tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true # with fewer of them, the routes lead elsewhere first
  }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  for_each = length(local.nat_keys) > 0 ? local.zones : {}

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[var.egress == "single-nat" ? "a" : each.key].id
}

# Free, and they keep all picture and table traffic off the NAT's meter.
resource "aws_vpc_endpoint" "gateway" {
  for_each = toset(["s3", "dynamodb"])

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids = concat(
    [aws_route_table.public.id],
    [for key in local.zone_keys : aws_route_table.private[key].id],
  )

  tags = { Name = "${var.name}-${each.key}" }
}

# Refusals only: what was let through is in the access logs already.
resource "aws_flow_log" "rejected" {
  vpc_id               = aws_vpc.this.id
  traffic_type         = "REJECT"
  log_destination_type = "s3"
  log_destination      = var.log_bucket_arn

  tags = { Name = "${var.name}-rejected" }
}
