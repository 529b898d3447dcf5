# Where CloudFront, the load balancer, S3 and the VPC put their access logs. They hold
# addresses of users, so they go when the stage's retention says.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:The bucket of the logs would log itself
  #checkov:skip=CKV_AWS_21:Logs are written once and expire; versions would keep them longer
  #checkov:skip=CKV_AWS_144:Logs are not worth a second region
  #checkov:skip=CKV_AWS_145:The load balancer can write to SSE-S3 only
  #checkov:skip=CKV2_AWS_62:Nothing listens to the logs
  bucket        = var.bucket_name
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {
      prefix = "" # all: said, because a plan doesn't know what an empty filter becomes
    }

    expiration {
      days = var.retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

locals {
  log_deliveries = "arn:aws:logs:${var.region}:${var.account_id}:*"

  # Each writer, the folder it may write to, and for this account's resources only.
  writers = {
    LoadBalancer = { service = "logdelivery.elasticloadbalancing.amazonaws.com", prefix = "alb/AWSLogs/${var.account_id}/" }
    S3           = { service = "logging.s3.amazonaws.com", prefix = "s3/" }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "TlsOnly"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
        # The VPC's flow logs and CloudFront. Word for word as AWS documents them, Sids too:
        # whoever makes a flow log and may change the policy has these put there by AWS, and
        # every later plan would take them away again.
        {
          Sid       = "AWSLogDeliveryWrite"
          Effect    = "Allow"
          Principal = { Service = "delivery.logs.amazonaws.com" }
          Action    = "s3:PutObject"
          Resource  = "${aws_s3_bucket.this.arn}/AWSLogs/${var.account_id}/*"
          Condition = {
            StringEquals = { "aws:SourceAccount" = var.account_id, "s3:x-amz-acl" = "bucket-owner-full-control" }
            ArnLike      = { "aws:SourceArn" = local.log_deliveries }
          }
        },
        {
          Sid       = "AWSLogDeliveryAclCheck"
          Effect    = "Allow"
          Principal = { Service = "delivery.logs.amazonaws.com" }
          Action    = "s3:GetBucketAcl"
          Resource  = aws_s3_bucket.this.arn
          Condition = {
            StringEquals = { "aws:SourceAccount" = var.account_id }
            ArnLike      = { "aws:SourceArn" = local.log_deliveries }
          }
        },
      ],
      [for name, writer in local.writers : {
        Sid       = "${name}Writes"
        Effect    = "Allow"
        Principal = { Service = writer.service }
        Action    = "s3:PutObject"
        Resource  = ["${aws_s3_bucket.this.arn}/${writer.prefix}*"]
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      }],
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}
