# Both are known once the policy is there: without it the writers are refused.

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
  depends_on  = [aws_s3_bucket_policy.this]
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
  depends_on  = [aws_s3_bucket_policy.this]
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    public_access_block = aws_s3_bucket_public_access_block.this
    encryption          = aws_s3_bucket_server_side_encryption_configuration.this
    lifecycle           = aws_s3_bucket_lifecycle_configuration.this
    policy              = aws_s3_bucket_policy.this
  }
}
