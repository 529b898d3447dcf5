"""Clients and errors that all AWS services share, and the adapters of S3 and CloudFront."""
