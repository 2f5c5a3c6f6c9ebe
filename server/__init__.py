"""The server. The settings of floating-point arithmetic are made here, because they must precede any computation."""

from tailrace.estimators import arithmetic

arithmetic.pin()
