"""Tracking: experiments that happen elsewhere, their runs, metrics and artifacts; registered models."""
