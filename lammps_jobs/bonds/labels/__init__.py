"""Labels: bond strengths from tblite, LOBSTER and Quantum ESPRESSO."""
