"""A study of policies of campaigns: labels needed to reach a target, on cells whose labels are revealed when they are asked for."""
