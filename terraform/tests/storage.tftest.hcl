# The table and the bucket: encrypted, private, kept and let go as promised.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "table_and_bucket" {
  command = plan

  assert {
    condition     = module.storage.table_name == coalesce(var.table_name, "ImageMetadata-${var.stage}")
    error_message = "The table is called ImageMetadata-{stage}, or as the stage says."
  }

  assert {
    condition     = module.storage.resources.table.hash_key == "PK" && module.storage.resources.table.range_key == "SK"
    error_message = "The service's keys are PK and SK."
  }

  assert {
    condition = {
      for index in module.storage.resources.table.global_secondary_index : index.name => "${index.hash_key} ${index.range_key} ${index.projection_type}"
      } == {
      UserIndex  = "GSI1PK GSI1SK ALL"
      AlbumIndex = "GSI2PK GSI2SK ALL"
    }
    error_message = "Two indexes, over the attributes the service writes, with whole items."
  }

  assert {
    condition     = module.storage.resources.table.billing_mode == "PAY_PER_REQUEST"
    error_message = "On demand: 50 uploads a day are not worth a provisioned unit."
  }

  assert {
    condition     = module.storage.resources.table.server_side_encryption[0].enabled
    error_message = "The table is encrypted."
  }

  assert {
    condition     = module.storage.resources.table.point_in_time_recovery[0].enabled
    error_message = "Without point-in-time recovery there is nothing to restore."
  }

  assert {
    condition     = module.storage.resources.table.stream_enabled && module.storage.resources.table.stream_view_type == "NEW_AND_OLD_IMAGES"
    error_message = "Change events need the stream, with old and new images."
  }

  # Idempotency records would else stay for ever.
  assert {
    condition     = module.storage.resources.table.ttl[0].enabled && module.storage.resources.table.ttl[0].attribute_name == "ttl"
    error_message = "The TTL attribute is ttl."
  }

  assert {
    condition     = module.storage.resources.table.deletion_protection_enabled == var.deletion_protection
    error_message = "A protected table can't be deleted; others must be removable."
  }

  assert {
    condition     = module.storage.bucket == coalesce(var.bucket_name, "images-lego-moc-${var.stage}")
    error_message = "The bucket is called images-lego-moc-{stage}, or as the stage says."
  }

  assert {
    condition = alltrue([
      for block in [module.storage.resources.public_access_block, module.access_logs.resources.public_access_block] :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "No bucket is public, by any of the four ways."
  }

  assert {
    condition     = one(module.storage.resources.ownership.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "No ACLs."
  }

  assert {
    condition = alltrue([
      for encryption in [module.storage.resources.encryption, module.access_logs.resources.encryption] :
      one(one(encryption.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    ])
    error_message = "SSE-S3: the service asks for AES256, and CloudFront can read it without a key policy."
  }

  assert {
    condition     = one(module.storage.resources.versioning.versioning_configuration).status == "Enabled"
    error_message = "A restore of the table needs the objects it names."
  }

  assert {
    condition     = module.storage.resources.acceleration.status == "Enabled"
    error_message = "Direct uploads will come over Transfer Acceleration."
  }

  assert {
    condition     = module.storage.resources.bucket.force_destroy == !var.deletion_protection
    error_message = "Protected pictures don't go with the bucket."
  }

  assert {
    condition     = module.storage.resources.logging.target_bucket == "${module.storage.bucket}-logs"
    error_message = "Who reads the bucket is logged."
  }

  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      rule.status == "Enabled" && try(rule.filter[0].prefix, "") == "temp/" && try(rule.expiration[0].days, 0) == 1
    ])
    error_message = "What lies under temp/ goes after a day."
  }

  # In a versioned bucket expiry only adds a marker: the bytes stay until this goes too.
  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      try(rule.filter[0].prefix, "") == "temp/" && try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 1
    ])
    error_message = "Old versions under temp/ go after a day too."
  }

  # 14 days: as long as a restore may reach back, and as long as an erasure takes to be final.
  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      rule.id == "old-versions" && rule.status == "Enabled" && rule.filter[0].prefix == "" &&
      try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 14
    ])
    error_message = "Old versions go after 14 days, wherever in the bucket."
  }

  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      try(rule.expiration[0].expired_object_delete_marker, false)
    ])
    error_message = "Delete markers with nothing behind them go."
  }

  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      rule.id == "old-versions" && try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, 0) == 1
    ])
    error_message = "Parts of uploads nobody finished go after a day."
  }

  assert {
    condition = anytrue([
      for rule in module.storage.resources.lifecycle.rule :
      try(rule.filter[0].prefix, "") == "images/" && try(tolist(rule.transition)[0].storage_class, "") == "INTELLIGENT_TIERING"
    ])
    error_message = "Pictures are tiered by use."
  }

  # A rule that expires current versions under images/ would delete users' pictures. That of
  # old-versions is for markers (above), and S3 takes no days beside it.
  assert {
    condition = toset([
      for rule in module.storage.resources.lifecycle.rule : rule.id if length(rule.expiration) > 0
    ]) == toset(["temporary-uploads", "old-versions"])
    error_message = "No rule expires a current object outside temp/."
  }

  assert {
    condition = anytrue([
      for rule in module.access_logs.resources.lifecycle.rule :
      rule.status == "Enabled" && rule.filter[0].prefix == "" && try(rule.expiration[0].days, 0) == var.log_retention_days
    ])
    error_message = "Access logs hold addresses of users; they go with the stage's retention."
  }

  # Who may, by statement. CloudFront's service principal stands for every distribution of
  # every customer of AWS; and without ListBucket S3 answers 403 for what isn't there.
  assert {
    condition = {
      for statement in jsondecode(module.storage.resources.policy.policy).Statement : statement.Sid => statement
      } == {
      TlsOnly = {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::tests", "arn:aws:s3:::tests/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
      ModernTlsOnly = {
        Sid       = "ModernTlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::tests", "arn:aws:s3:::tests/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      }
      CloudFrontReadsPictures = {
        Sid       = "CloudFrontReadsPictures"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:GetObject"
        Resource  = "arn:aws:s3:::tests/images/*"
        Condition = { StringEquals = { "aws:SourceArn" = "arn:aws:cloudfront::111122223333:distribution/E1TESTS" } }
      }
      CloudFrontSeesWhatIsMissing = {
        Sid       = "CloudFrontSeesWhatIsMissing"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:ListBucket"
        Resource  = "arn:aws:s3:::tests"
        Condition = { StringEquals = { "aws:SourceArn" = "arn:aws:cloudfront::111122223333:distribution/E1TESTS" } }
      }
    }
    error_message = "TLS 1.2 for all; this stage's distribution reads images/, and not temp/, where uploads lie unchecked."
  }

  # AWS puts the two of log delivery there itself, by these names, where it may: with others
  # every plan would find a change.
  assert {
    condition = {
      for statement in jsondecode(module.access_logs.resources.policy.policy).Statement : statement.Sid => statement
      } == {
      TlsOnly = {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::tests-logs", "arn:aws:s3:::tests-logs/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
      AWSLogDeliveryWrite = {
        Sid       = "AWSLogDeliveryWrite"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "arn:aws:s3:::tests-logs/AWSLogs/111122223333/*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "111122223333", "s3:x-amz-acl" = "bucket-owner-full-control" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:logs:us-east-1:111122223333:*" }
        }
      }
      AWSLogDeliveryAclCheck = {
        Sid       = "AWSLogDeliveryAclCheck"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = "s3:GetBucketAcl"
        Resource  = "arn:aws:s3:::tests-logs"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "111122223333" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:logs:us-east-1:111122223333:*" }
        }
      }
      LoadBalancerWrites = {
        Sid       = "LoadBalancerWrites"
        Effect    = "Allow"
        Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = ["arn:aws:s3:::tests-logs/alb/AWSLogs/111122223333/*"]
        Condition = { StringEquals = { "aws:SourceAccount" = "111122223333" } }
      }
      S3Writes = {
        Sid       = "S3Writes"
        Effect    = "Allow"
        Principal = { Service = "logging.s3.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = ["arn:aws:s3:::tests-logs/s3/*"]
        Condition = { StringEquals = { "aws:SourceAccount" = "111122223333" } }
      }
    }
    error_message = "Only this account's logs are taken, over TLS."
  }

  # Together with the Origin that CloudFront sends (cdn.tftest.hcl).
  assert {
    condition = alltrue([
      for rule in module.storage.resources.cors.cors_rule : rule.allowed_origins == toset(["*"]) && rule.allowed_methods == toset(["GET", "HEAD"]) && rule.allowed_headers == toset(["*"])
    ]) && length(module.storage.resources.cors.cors_rule) == 1
    error_message = "S3 lets any page read."
  }
}
