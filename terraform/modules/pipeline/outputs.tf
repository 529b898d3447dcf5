output "role_arn" {
  description = "ARN of the role the deploy workflow assumes."
  value       = aws_iam_role.deploy.arn
}

output "plan_role_arn" {
  description = "ARN of the role that plans before approval, and for pull requests."
  value       = aws_iam_role.plan.arn
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    role          = aws_iam_role.deploy
    deploy_policy = aws_iam_role_policy.deploy
    plan_role     = aws_iam_role.plan
    plan_policy   = aws_iam_role_policy.plan
  }
}
