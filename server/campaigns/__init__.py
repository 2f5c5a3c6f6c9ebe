"""Campaigns: compositions, and a loop that decides what to calculate next, runs it and learns from it."""
