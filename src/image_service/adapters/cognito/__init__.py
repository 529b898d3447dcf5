"""Verification of Cognito's tokens against the pool's keys."""
