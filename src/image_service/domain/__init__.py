"""Values and rules of the service; standard library only."""
