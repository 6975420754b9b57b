"""What fills up, and the ballast that makes room again."""
