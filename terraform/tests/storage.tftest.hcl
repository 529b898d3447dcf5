# The table and the bucket: encrypted, private, kept and let go as promised.

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

run "table" {
  command = plan

  assert {
    condition     = module.storage.table_name == "ImageMetadata-${var.stage}"
    error_message = "The table is called ImageMetadata-{stage}."
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
    condition     = module.storage.resources.table.deletion_protection_enabled == (var.stage == "prod")
    error_message = "Production's table can't be deleted; others must be removable."
  }
}

run "bucket" {
  command = plan

  assert {
    condition     = module.storage.bucket == "images-lego-moc-${var.stage}"
    error_message = "The bucket is called images-lego-moc-{stage}."
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
    condition     = module.storage.resources.bucket.force_destroy == (var.stage != "prod")
    error_message = "Production's pictures don't go with the bucket."
  }

  assert {
    condition     = module.storage.resources.logging.target_bucket == "images-lego-moc-${var.stage}-logs"
    error_message = "Who reads the bucket is logged."
  }
}

run "lifecycle" {
  command = plan

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
      rule.id == "old-versions" && try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 14
    ])
    error_message = "Old versions go after 14 days."
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
      try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, 0) == 1
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
      try(rule.expiration[0].days, 0) == { dev = 7, staging = 14, prod = 90 }[var.stage]
    ])
    error_message = "Access logs hold addresses of users; they go with the stage's retention."
  }
}

run "bucket_policy" {
  command = plan

  assert {
    condition = anytrue([
      for statement in jsondecode(module.storage.resources.policy.policy).Statement :
      statement.Effect == "Deny" && statement.Action == "s3:*" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "Nobody reaches the bucket without TLS."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(module.storage.resources.policy.policy).Statement :
      statement.Effect == "Deny" && statement.Action == "s3:*" && try(statement.Condition.NumericLessThan["s3:TlsVersion"], "") == "1.2"
    ])
    error_message = "Nor with an old one."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(module.access_logs.resources.policy.policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "Nobody reaches the logs without TLS."
  }

  # The service principal stands for every distribution of every customer of AWS.
  assert {
    condition = alltrue([
      for statement in jsondecode(module.storage.resources.policy.policy).Statement :
      statement.Effect == "Deny" || (
        try(statement.Principal.Service, "") == "cloudfront.amazonaws.com" &&
        try(statement.Condition.StringEquals["aws:SourceArn"], "") == module.cdn.distribution_arn
      )
    ])
    error_message = "Only this stage's distribution is let in."
  }

  assert {
    condition = [
      for statement in jsondecode(module.storage.resources.policy.policy).Statement :
      statement.Resource if statement.Action == "s3:GetObject"
    ] == ["arn:aws:s3:::tests/images/*"]
    error_message = "The distribution reads images/ and not temp/, where uploads lie unchecked."
  }

  # Without ListBucket S3 answers 403 for what isn't there: a deleted picture would look
  # forbidden, and CloudFront would be tempted to map 403 to 404 for the API too.
  assert {
    condition = anytrue([
      for statement in jsondecode(module.storage.resources.policy.policy).Statement :
      statement.Effect == "Allow" && statement.Action == "s3:ListBucket" && statement.Resource == "arn:aws:s3:::tests"
    ])
    error_message = "A picture that isn't there is 404."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.access_logs.resources.policy.policy).Statement :
      statement.Effect == "Deny" || try(statement.Condition.StringEquals["aws:SourceAccount"], "") == "111122223333"
    ])
    error_message = "Only this account's logs are taken."
  }
}
