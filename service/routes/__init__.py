"""The resources of the native API, one file each."""
