"""The doctor: checks of everything the service depends on, each with its remedy."""
