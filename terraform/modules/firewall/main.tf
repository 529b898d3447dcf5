# A firewall at CloudFront, no narrower than the API's contract:
# - Titles, tags, queries and pictures may hold anything, scripts and paths too; the service
#   stores them as data. So the managed rules that look into bodies and queries only count.
# - Bodies, paths, queries and cookies have the service's own bounds (a picture is over 8 KB, a
#   filter of 20 tags over 2), and a client needs no User-Agent: those rules only count, too.
# - Cookies are never read: those of the platform's whole domain come with each picture. And a
#   user's id, which a picture's path begins with, may end in .log or .ini.
# - What blocks are rules about paths, headers and methods that no client of the API has.

locals {
  managed_groups = {
    AWSManagedRulesCommonRuleSet = {
      priority = 20
      counted = [
        "NoUserAgent_HEADER",
        "SizeRestrictions_BODY",
        "SizeRestrictions_Cookie_HEADER",
        "SizeRestrictions_QUERYSTRING",
        "SizeRestrictions_URIPATH",
        "CrossSiteScripting_BODY",
        "CrossSiteScripting_COOKIE",
        "CrossSiteScripting_QUERYARGUMENTS",
        "EC2MetaDataSSRF_BODY",
        "EC2MetaDataSSRF_COOKIE",
        "EC2MetaDataSSRF_QUERYARGUMENTS",
        "GenericLFI_BODY",
        "GenericLFI_QUERYARGUMENTS",
        "GenericRFI_BODY",
        "GenericRFI_QUERYARGUMENTS",
        "RestrictedExtensions_QUERYARGUMENTS",
        "RestrictedExtensions_URIPATH",
      ]
    }
    AWSManagedRulesKnownBadInputsRuleSet = {
      priority = 30
      counted = [
        "JavaDeserializationRCE_BODY",
        "JavaDeserializationRCE_QUERYSTRING",
        "Log4JRCE_BODY",
        "Log4JRCE_QUERYSTRING",
        "ReactJSRCE_BODY",
      ]
    }
  }

  # Preflights are counted by themselves: a browser whose preflight is refused can't read the
  # 429 of the request.
  rate_limits = {
    rate-limit            = { priority = 10, preflights = false }
    rate-limit-preflights = { priority = 11, preflights = true }
  }

  # A gallery asks for hundreds of pictures at once, and the edge has them. Passed over is a
  # picture's path as the service writes it, letter for letter: what CloudFront and the service
  # make of any other spelling, WAF can't know, so that all of them count.
  name_character = "([A-Za-z0-9_-]|%(3A|40|7C))"
  picture_path   = "^/images/[.]*${local.name_character}(${local.name_character}|[.])*/(thumbnails/)?[0-9A-Za-z-]+(/w[0-9]+)?[.](webp|avif)$"

  # WAF looks at the rate every few seconds, and lets in again once the last 5 minutes are below.
  retry_after = 60

  too_many_headers = {
    Access-Control-Allow-Origin   = "*"
    Access-Control-Expose-Headers = "Retry-After"
    Cache-Control                 = "no-store"
    Retry-After                   = tostring(local.retry_after)
  }
}

resource "aws_wafv2_ip_set" "exempt" {
  name               = "${var.name}-exempt"
  description        = "Egress addresses of the main API"
  scope              = "CLOUDFRONT"
  ip_address_version = "IPV4"
  addresses          = var.exempt_cidrs
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV_AWS_192:The rule group against Log4j is there; the check doesn't see through dynamic blocks
  name        = var.name
  description = "Rate limit and managed rules in front of the image service"
  scope       = "CLOUDFRONT"

  default_action {
    allow {}
  }

  # The service's own envelope. WAF knows no request id: X-Amz-Cf-Id is the one to ask with.
  custom_response_body {
    key          = "too-many"
    content_type = "APPLICATION_JSON"

    content = jsonencode({
      error      = "TooManyRequests"
      message    = "More than ${var.rate_limit} requests in 5 minutes from this address; try again in ${local.retry_after} s"
      code       = "RATE_LIMIT_EXCEEDED"
      details    = { limit = var.rate_limit }
      requestId  = "edge"
      retryAfter = local.retry_after
    })
  }

  dynamic "rule" {
    for_each = local.rate_limits

    content {
      name     = rule.key
      priority = rule.value.priority

      action {
        block {
          custom_response {
            response_code            = 429
            custom_response_body_key = "too-many"

            dynamic "response_header" {
              for_each = local.too_many_headers

              content {
                name  = response_header.key
                value = response_header.value
              }
            }
          }
        }
      }

      statement {
        rate_based_statement {
          limit                 = var.rate_limit
          aggregate_key_type    = "IP"
          evaluation_window_sec = 300

          scope_down_statement {
            and_statement {
              statement {
                not_statement {
                  statement {
                    ip_set_reference_statement {
                      arn = aws_wafv2_ip_set.exempt.arn
                    }
                  }
                }
              }

              statement {
                not_statement {
                  statement {
                    regex_match_statement {
                      regex_string = local.picture_path

                      field_to_match {
                        uri_path {}
                      }

                      text_transformation {
                        priority = 0
                        type     = "NONE"
                      }
                    }
                  }
                }
              }

              statement {
                dynamic "byte_match_statement" {
                  for_each = rule.value.preflights ? ["OPTIONS"] : []

                  content {
                    search_string         = byte_match_statement.value
                    positional_constraint = "EXACTLY"

                    field_to_match {
                      method {}
                    }

                    text_transformation {
                      priority = 0
                      type     = "NONE"
                    }
                  }
                }

                dynamic "not_statement" {
                  for_each = rule.value.preflights ? [] : ["OPTIONS"]

                  content {
                    statement {
                      byte_match_statement {
                        search_string         = not_statement.value
                        positional_constraint = "EXACTLY"

                        field_to_match {
                          method {}
                        }

                        text_transformation {
                          priority = 0
                          type     = "NONE"
                        }
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "rule" {
    for_each = local.managed_groups

    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key

          dynamic "rule_action_override" {
            for_each = rule.value.counted

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }

  # In use it can't be deleted: switched off, the distribution has to let go of it first.
  lifecycle {
    create_before_destroy = true
  }
}

# WAF takes only log groups whose names start like this.
resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted with CloudWatch's own key; tokens are redacted before
  #checkov:skip=CKV_AWS_338:Addresses of users are kept as briefly as the stage needs
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.this.arn]

  redacted_fields {
    single_header {
      name = "authorization"
    }
  }

  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }
    }
  }
}
