"""The command line, whence; cli/local is whence up."""
