"""Bond strengths: make and label cells, learn the strengths of their bonds, and predict those of large structures."""
