output "task_family" {
  description = "Family of the reconcile task definitions."
  value       = aws_ecs_task_definition.this.family
}

output "task_role_arn" {
  description = "ARN of the role reconcile runs as."
  value       = aws_iam_role.task.arn
}

output "rerender_role_arn" {
  description = "ARN of the role rerender runs as, in a task of reconcile's definition."
  value       = aws_iam_role.rerender.arn
}

output "schedule_group" {
  description = "Group of the schedule, by which its metrics go."
  value       = aws_scheduler_schedule_group.this.name
}

output "resources" {
  description = "The resources themselves, for tests and for whoever builds on this module."
  value = {
    task_definition  = aws_ecs_task_definition.this
    roles            = [aws_iam_role.task, aws_iam_role.scheduler, aws_iam_role.rerender]
    task_policy      = aws_iam_role_policy.task
    rerender_policy  = aws_iam_role_policy.rerender
    scheduler_policy = aws_iam_role_policy.scheduler
    schedule         = aws_scheduler_schedule.this
    failure_rule     = aws_cloudwatch_event_rule.failed
  }
}
