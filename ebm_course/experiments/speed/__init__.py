"""What the algorithms of the course cost on a machine."""
