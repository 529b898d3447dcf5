output "user_pool_id" {
  description = "ID of the pool whose tokens are accepted."
  value       = local.user_pool_id
}

output "issuer" {
  description = "Issuer of the tokens; the public keys are under it."
  value       = "https://cognito-idp.${var.region}.amazonaws.com/${local.user_pool_id}"
}

output "client_ids" {
  description = "App clients that are let in."
  value       = var.create_user_pool ? [aws_cognito_user_pool_client.this[0].id] : var.client_ids
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    user_pools = aws_cognito_user_pool.this
    clients    = aws_cognito_user_pool_client.this
  }
}
