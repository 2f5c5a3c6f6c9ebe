"""Files of Quantum ESPRESSO's pw.x: its input, its report and its XML."""
