output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.this.arn
}

output "index_arns" {
  description = "ARNs of the table's two indexes."
  value       = [for name in ["UserIndex", "AlbumIndex"] : "${aws_dynamodb_table.this.arn}/index/${name}"]
}

output "stream_arn" {
  description = "ARN of the table's stream, for those who will listen to changes."
  value       = aws_dynamodb_table.this.stream_arn
}

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "bucket_domain_name" {
  description = "Regional domain name of the bucket, for CloudFront."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    table               = aws_dynamodb_table.this
    bucket              = aws_s3_bucket.this
    public_access_block = aws_s3_bucket_public_access_block.this
    ownership           = aws_s3_bucket_ownership_controls.this
    encryption          = aws_s3_bucket_server_side_encryption_configuration.this
    cors                = aws_s3_bucket_cors_configuration.this
    versioning          = aws_s3_bucket_versioning.this
    acceleration        = aws_s3_bucket_accelerate_configuration.this
    lifecycle           = aws_s3_bucket_lifecycle_configuration.this
    policy              = aws_s3_bucket_policy.this
    logging             = aws_s3_bucket_logging.this
  }
}
