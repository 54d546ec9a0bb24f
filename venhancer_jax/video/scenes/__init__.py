"""Where scenes begin, and which frames repeat."""
