output "role_arn" {
  description = "ARN of the role the deploy workflow assumes."
  value       = aws_iam_role.deploy.arn
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    role          = aws_iam_role.deploy
    deploy_policy = aws_iam_role_policy.deploy
  }
}
