"""The local stack: embedded AWS, its provisioning, and the local token issuer."""
