output "repository_url" {
  description = "Where images are pushed."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "ARN of the image repository."
  value       = aws_ecr_repository.this.arn
}

output "image" {
  description = "The image that runs, by digest."
  value       = local.image
}

output "cluster" {
  description = "Name and ARN of the cluster."
  value       = { name = aws_ecs_cluster.this.name, arn = aws_ecs_cluster.this.arn }
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "service_arn" {
  description = "ARN of the ECS service."
  value       = aws_ecs_service.this.id
}

output "task_definition_arn" {
  description = "The revision of the task definition that the service is to run."
  value       = aws_ecs_task_definition.this.arn
}


output "task_security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.task.id
}

output "execution_role" {
  description = "Name and ARN of the role ECS starts tasks with; reconcile uses it too."
  value       = { name = aws_iam_role.execution.name, arn = aws_iam_role.execution.arn }
}

output "task_role_arn" {
  description = "ARN of the role the service runs as."
  value       = aws_iam_role.task.arn
}

output "environment" {
  description = "The whole environment of the container, so that reconcile has the same."
  value       = local.environment
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    repository       = aws_ecr_repository.this
    task_definition  = aws_ecs_task_definition.this
    service          = aws_ecs_service.this
    ingress          = aws_vpc_security_group_ingress_rule.from_balancer
    egress           = aws_vpc_security_group_egress_rule.https
    scaling_target   = aws_appautoscaling_target.this
    scaling_policies = aws_appautoscaling_policy.this
    roles            = [aws_iam_role.task, aws_iam_role.execution]
    task_policy      = aws_iam_role_policy.task
    execution_policy = aws_iam_role_policy.execution
  }
}
