output "distribution_id" {
  description = "ID of the distribution, for invalidations."
  value       = aws_cloudfront_distribution.this.id
}

output "distribution_arn" {
  description = "ARN of the distribution."
  value       = aws_cloudfront_distribution.this.arn
}

output "domain_name" {
  description = "The distribution's own domain name, for DNS."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "hosted_zone_id" {
  description = "CloudFront's zone, for DNS aliases."
  value       = aws_cloudfront_distribution.this.hosted_zone_id
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    distribution          = aws_cloudfront_distribution.this
    origin_access_control = aws_cloudfront_origin_access_control.pictures
    vpc_origin            = aws_cloudfront_vpc_origin.api
    pictures_function     = aws_cloudfront_function.pictures
    cache_policy          = aws_cloudfront_cache_policy.pictures
    picture_headers       = aws_cloudfront_response_headers_policy.pictures
    api_headers           = aws_cloudfront_response_headers_policy.api
    log_delivery          = aws_cloudwatch_log_delivery.this
  }
}
