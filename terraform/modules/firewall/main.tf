# A firewall at CloudFront. Two things about picture uploads shape it:
# - AWS's SizeRestrictions_BODY blocks every body over 8 KB: every picture, and a PATCH with
#   a long description. It only counts here; the service bounds its bodies itself.
# - Picture bytes set off the rules that look for scripts and paths in bodies. Those only
#   count in the managed groups and leave a label; a rule of our own then blocks what is
#   labelled, unless it is an upload.

locals {
  managed_groups = {
    AWSManagedRulesCommonRuleSet = {
      priority = 20
      counted = [
        "SizeRestrictions_BODY",
        "CrossSiteScripting_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "EC2MetaDataSSRF_BODY",
      ]
    }
    AWSManagedRulesKnownBadInputsRuleSet = {
      priority = 30
      counted  = ["JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"]
    }
  }

  body_labels = [
    "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body",
    "awswaf:managed:aws:core-rule-set:GenericLFI_Body",
    "awswaf:managed:aws:core-rule-set:GenericRFI_Body",
    "awswaf:managed:aws:core-rule-set:EC2MetaDataSSRF_Body",
    "awswaf:managed:aws:known-bad-inputs:JavaDeserializationRCE_Body",
    "awswaf:managed:aws:known-bad-inputs:Log4JRCE_Body",
    "awswaf:managed:aws:known-bad-inputs:ReactJSRCE_Body",
  ]
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

  rule {
    name     = "rate-limit"
    priority = 10

    action {
      block {}
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

            # A gallery asks for hundreds of pictures at once, and the edge has them.
            statement {
              not_statement {
                statement {
                  regex_match_statement {
                    regex_string = "^/images/.+[.](webp|avif)$"

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
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate-limit"
      sampled_requests_enabled   = true
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

  rule {
    name     = "bad-bodies-but-uploads"
    priority = 40

    action {
      block {}
    }

    statement {
      and_statement {
        statement {
          or_statement {
            dynamic "statement" {
              for_each = local.body_labels

              content {
                label_match_statement {
                  scope = "LABEL"
                  key   = statement.value
                }
              }
            }
          }
        }

        statement {
          not_statement {
            statement {
              and_statement {
                statement {
                  byte_match_statement {
                    search_string         = "POST"
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

                statement {
                  byte_match_statement {
                    search_string         = "/images"
                    positional_constraint = "EXACTLY"

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
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-bad-bodies"
      sampled_requests_enabled   = true
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
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
