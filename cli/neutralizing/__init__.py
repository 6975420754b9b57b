"""Emergency orders as commands give them: signed, delivered, watched, and read of afterwards."""
