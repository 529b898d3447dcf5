# One distribution in front of both: pictures from S3, everything else from the service.

locals {
  origins = { pictures = "pictures", api = "api" }

  # Every code CloudFront lets one configure.
  error_codes = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]

  # Policies AWS manages, by the ids its documentation gives; they are the same for everyone.
  caching_disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"

  # Forwards Host: the certificate on the balancer is the stage's, and CloudFront holds it
  # against the Host it forwards. And Authorization, which it would else drop.
  all_viewer = "216adef6-5c7f-47e4-b989-5492eafa07d3"

  day  = 24 * 60 * 60
  year = 365 * local.day
}

resource "aws_cloudfront_origin_access_control" "pictures" {
  name                              = "${var.name}-pictures"
  description                       = "Signs what the distribution asks of the bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# In use, a VPC origin can be neither changed nor deleted: whatever would change it makes a new
# one, which the distribution takes before the old one goes. Names are unique; so this one
# follows what it leads to.
resource "aws_cloudfront_vpc_origin" "api" {
  vpc_origin_endpoint_config {
    name                   = "${var.name}-api-${substr(sha256(var.balancer.arn), 0, 8)}"
    arn                    = var.balancer.arn
    http_port              = 80
    https_port             = 443
    origin_protocol_policy = "https-only"

    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }

  lifecycle {
    create_before_destroy = true
    replace_triggered_by  = [terraform_data.api]
  }
}

# Another balancer, and so another VPC origin.
resource "terraform_data" "api" {
  triggers_replace = [var.balancer.arn]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudfront_function" "pictures" {
  name    = "${var.name}-pictures"
  comment = "One spelling of each picture's path; answers preflights"
  runtime = "cloudfront-js-2.0"
  publish = true
  code    = file("${path.module}/pictures.js")
}

# The path is the whole key: no query, header or cookie may split the cache or get past it.
resource "aws_cloudfront_cache_policy" "pictures" {
  name        = "${var.name}-pictures"
  comment     = "A day unless the object says otherwise, a year at most; by path alone"
  min_ttl     = 0
  default_ttl = local.day
  max_ttl     = local.year

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_brotli = false
    enable_accept_encoding_gzip   = false

    cookies_config {
      cookie_behavior = "none"
    }

    headers_config {
      header_behavior = "none"
    }

    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

# Pictures are for any page to show, and for any script to read (a canvas, a 3D viewer).
resource "aws_cloudfront_response_headers_policy" "pictures" {
  #checkov:skip=CKV_AWS_259:A year with subdomains, as the check wants; preloading is for the whole domain to ask for
  name    = "${var.name}-pictures"
  comment = "Open to every origin"

  cors_config {
    access_control_allow_credentials = false
    origin_override                  = true
    access_control_max_age_sec       = local.day

    access_control_allow_origins {
      items = ["*"]
    }

    access_control_allow_methods {
      items = ["GET", "HEAD"]
    }

    access_control_allow_headers {
      items = ["*"]
    }
  }

  custom_headers_config {
    items {
      header   = "Cross-Origin-Resource-Policy"
      value    = "cross-origin"
      override = true
    }
  }

  security_headers_config {
    content_type_options {
      override = true
    }

    strict_transport_security {
      access_control_max_age_sec = local.year
      include_subdomains         = true
      override                   = true
    }
  }
}

# No CORS here: the service answers that itself, for the origins it is told. Its own headers
# win; these are for what CloudFront answers in its place.
resource "aws_cloudfront_response_headers_policy" "api" {
  #checkov:skip=CKV_AWS_259:A year with subdomains, as the check wants; preloading is for the whole domain to ask for, and the service's own header wins
  name    = "${var.name}-api"
  comment = "Security headers where the service set none"

  security_headers_config {
    content_type_options {
      override = false
    }

    frame_options {
      frame_option = "DENY"
      override     = false
    }

    referrer_policy {
      referrer_policy = "no-referrer"
      override        = false
    }

    strict_transport_security {
      access_control_max_age_sec = local.year
      include_subdomains         = true
      override                   = false
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_86:Access logs go by CloudWatch's log delivery (below), which needs no bucket with ACLs; the check knows only the old way
  #checkov:skip=CKV2_AWS_47:The firewall has the rule group against Log4j; it is optional, by stage
  #checkov:skip=CKV_AWS_305:An API and pictures have no default page
  #checkov:skip=CKV_AWS_310:No second bucket or service to fail over to, in one region
  #checkov:skip=CKV_AWS_374:The platform's users are everywhere
  comment         = var.name
  enabled         = true
  staging         = false # its default, said: another would replace the distribution
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = "PriceClass_100"
  aliases         = var.domain_names
  web_acl_id      = var.web_acl_arn

  origin {
    origin_id                = local.origins.pictures
    domain_name              = var.bucket_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.pictures.id

    # So that S3 always answers with Access-Control-Allow-Origin. The policy above adds it
    # only where the viewer sent an Origin, and a browser that got a picture without may show
    # that copy to a script, which then can't read it.
    custom_header {
      name  = "Origin"
      value = "https://${var.domain_names[0]}"
    }
  }

  origin {
    origin_id   = local.origins.api
    domain_name = var.balancer.dns_name

    vpc_origin_config {
      vpc_origin_id            = aws_cloudfront_vpc_origin.api.id
      origin_read_timeout      = 60
      origin_keepalive_timeout = 55 # below the balancer's 60 s
    }
  }

  default_cache_behavior {
    target_origin_id       = local.origins.api
    viewer_protocol_policy = "https-only" # a redirect would come after the token has leaked
    allowed_methods        = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    cached_methods         = ["GET", "HEAD"]

    # CloudFront compresses only what it may cache: JSON is gzipped by the service.
    compress = true

    cache_policy_id            = local.caching_disabled
    origin_request_policy_id   = local.all_viewer
    response_headers_policy_id = aws_cloudfront_response_headers_policy.api.id
  }

  dynamic "ordered_cache_behavior" {
    for_each = ["/images/*.webp", "/images/*.avif"]

    content {
      path_pattern           = ordered_cache_behavior.value
      target_origin_id       = local.origins.pictures
      viewer_protocol_policy = "redirect-to-https"
      allowed_methods        = ["GET", "HEAD", "OPTIONS"]
      cached_methods         = ["GET", "HEAD"]

      # Pictures are compressed already; and it would take Accept-Encoding into the key.
      compress = false

      # No origin request policy: the viewer's Host would break the signature for S3.
      cache_policy_id            = aws_cloudfront_cache_policy.pictures.id
      response_headers_policy_id = aws_cloudfront_response_headers_policy.pictures.id

      function_association {
        event_type   = "viewer-request"
        function_arn = aws_cloudfront_function.pictures.arn
      }
    }
  }

  # CloudFront keeps errors for 10 s by default, on uncached behaviours too: one user's 503
  # would be everybody's. No page of our own either: it would replace the API's envelopes.
  dynamic "custom_error_response" {
    for_each = local.error_codes

    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 0
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }
}

resource "aws_cloudwatch_log_delivery_source" "this" {
  name         = "${var.name}-cloudfront"
  log_type     = "ACCESS_LOGS"
  resource_arn = aws_cloudfront_distribution.this.arn
}

resource "aws_cloudwatch_log_delivery_destination" "this" {
  name          = "${var.name}-cloudfront"
  output_format = "w3c"

  delivery_destination_configuration {
    destination_resource_arn = var.log_bucket_arn
  }
}

resource "aws_cloudwatch_log_delivery" "this" {
  delivery_source_name     = aws_cloudwatch_log_delivery_source.this.name
  delivery_destination_arn = aws_cloudwatch_log_delivery_destination.this.arn

  # No cookies, and no query: what users search for stays out of the logs.
  record_fields = [
    "date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)",
    "cs-uri-stem", "sc-status", "cs(Referer)", "cs(User-Agent)", "x-edge-result-type",
    "x-edge-request-id", "cs-protocol", "cs-bytes", "time-taken", "ssl-protocol",
    "x-edge-response-result-type", "cs-protocol-version", "time-to-first-byte",
    "x-edge-detailed-result-type", "sc-content-type",
  ]
}
