output "url" {
  description = "The address of the service."
  value       = "https://${var.domain_name}"
}

output "repository_url" {
  description = "Where the pipeline pushes images."
  value       = module.service.repository_url
}

output "cluster_name" {
  description = "The ECS cluster."
  value       = module.service.cluster.name
}

output "service_name" {
  description = "The ECS service."
  value       = module.service.service_name
}

output "task_definition" {
  description = "The revision of the task definition that the service is to run."
  value       = module.service.task_definition_arn
}

output "image" {
  description = "The image that runs, by digest; what a rollback goes back to."
  value       = module.service.image
}

output "reconcile" {
  description = "What `aws ecs run-task` needs to start reconcile by hand."
  value = {
    task_family      = module.reconcile.task_family
    subnet_ids       = module.network.task_subnet_ids
    security_group   = module.service.task_security_group_id
    assign_public_ip = module.network.assign_public_ip ? "ENABLED" : "DISABLED"
  }
}

output "rerender_role_arn" {
  description = "The role that `aws ecs run-task` gives a task of reconcile's definition to run rerender."
  value       = module.reconcile.rerender_role_arn
}

output "table_name" {
  description = "The table."
  value       = module.storage.table_name
}

output "bucket" {
  description = "The bucket with the pictures."
  value       = module.storage.bucket
}

output "distribution_id" {
  description = "The CloudFront distribution."
  value       = module.cdn.distribution_id
}

output "user_pool" {
  description = "The Cognito pool and the app clients whose tokens are accepted."
  value = {
    id         = module.auth.user_pool_id
    issuer     = module.auth.issuer
    client_ids = module.auth.client_ids
  }
}

output "nat_addresses" {
  description = "Addresses the tasks' requests come from; empty where egress is public."
  value       = module.network.nat_addresses
}

output "deploy_role_arn" {
  description = "The role GitHub Actions assumes; null where there is no pipeline."
  value       = one(module.pipeline[*].role_arn)
}

output "plan_role_arn" {
  description = "The role GitHub Actions plans with; null where there is no pipeline."
  value       = one(module.pipeline[*].plan_role_arn)
}

output "tags" {
  description = "The tags everything carries."
  value       = local.tags
}
