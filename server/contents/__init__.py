"""Contents of files, named by their SHA-256: of calculations' results, and of runs' artifacts."""
