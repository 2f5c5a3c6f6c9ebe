"""Descriptors: definitions of a bond's features, and SOAP vectors."""
