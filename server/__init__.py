"""The server. Importing it comes before any arithmetic, so what that depends on is set here."""

from tailrace import arithmetic

arithmetic.pin()
