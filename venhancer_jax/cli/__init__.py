"""Commands: thin layers of flags over the packages below."""
