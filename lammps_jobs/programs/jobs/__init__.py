"""What runs in the jobs of programs that are Python code of ours."""
