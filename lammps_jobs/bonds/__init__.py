"""Bond strengths: from structures and DFT or tight-binding calculations to labeled bonds, and back to bond lists."""
