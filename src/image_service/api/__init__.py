"""The REST API: routes by noun, middleware by job, bodies, schemas and the OpenAPI document."""
