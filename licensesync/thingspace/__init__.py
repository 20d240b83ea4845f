"""The ThingSpace side: requests, answers, products."""
