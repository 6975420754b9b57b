"""The API: pure parts by cases, the rest on a real Redis, whole workers as processes."""
